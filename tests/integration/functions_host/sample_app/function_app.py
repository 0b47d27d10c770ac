"""An app whose functions write what they see into a journal, one JSON object a line, and wait at gates."""

import asyncio
import json
import logging
import os
import sys
import time
import uuid
from pathlib import Path
from typing import List  # noqa: UP035 - the runtime does not take Out[list[str]]

import azure.functions as func

app = func.FunctionApp()
IMPORT = uuid.uuid4().hex  # another value after each import of this module
FOLDER = Path(os.environ["SAMPLE_FOLDER"])
STORAGE = "AzureWebJobsStorage"
log = logging.getLogger("sample")


def note(function: str, event: str, **fields: object) -> None:
    line = json.dumps({"function": function, "event": event, "import": IMPORT, **fields})
    with (FOLDER / "journal").open("a") as journal:
        journal.write(line + "\n")


def is_open(gate: str) -> bool:
    return (FOLDER / gate).exists()


async def passed(gate: str) -> None:
    while not is_open(gate):  # noqa: ASYNC110 - the gate is a file that the test makes
        await asyncio.sleep(0.01)


def status_of(timer: func.TimerRequest) -> object:
    # In the class that the runtime passes, not in the abstract one that the annotation names.
    return getattr(timer, "schedule_status", None)


def note_message(function: str, event: str, msg: func.QueueMessage) -> None:
    note(
        function,
        event,
        body=msg.get_body().decode(),
        id=msg.id,
        dequeue_count=msg.dequeue_count,
        inserted=msg.insertion_time.isoformat() if msg.insertion_time else None,
    )


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-ECHO", connection=STORAGE)
async def echo(msg: func.QueueMessage) -> None:
    log.info("echo sees %s", msg.get_body().decode())
    note_message("echo", "seen", msg)


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-failing", connection=STORAGE)
async def failing(msg: func.QueueMessage) -> None:
    note_message("failing", "seen", msg)
    if msg.get_body() == b"exit":
        sys.exit(3)
    raise ValueError(f"cannot work with {msg.get_body().decode()}")


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-gated", connection=STORAGE)
async def gated(msg: func.QueueMessage) -> None:
    note_message("gated", "started", msg)
    await passed("gate-" + msg.get_body().decode())
    note_message("gated", "ended", msg)


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-blocking", connection=STORAGE)
async def blocking(msg: func.QueueMessage) -> None:
    note_message("blocking", "started", msg)
    while not is_open("gate-blocking"):
        time.sleep(0.01)  # noqa: ASYNC251 - the mistake this function is here to make
    note_message("blocking", "ended", msg)


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-threaded", connection=STORAGE)
def threaded(msg: func.QueueMessage) -> None:
    log.info("threaded sees %s", msg.get_body().decode())
    note_message("threaded", "started", msg)
    while not is_open("gate-threaded"):
        time.sleep(0.01)
    note_message("threaded", "ended", msg)


@app.queue_trigger(arg_name="msg", queue_name="%PREFIX%-shapes", connection=STORAGE)
async def shapes(msg: func.QueueMessage) -> None:
    note("shapes", "seen", body=msg.get_body().decode(errors="surrogateescape"))


@app.timer_trigger(arg_name="timer", schedule="%TICK%")
async def tick(timer: func.TimerRequest) -> None:
    note("tick", "fired", past_due=timer.past_due, status=status_of(timer))


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True, use_monitor=False)
async def startup(timer: func.TimerRequest) -> None:
    note("startup", "fired", past_due=timer.past_due, status=status_of(timer))


@app.route("hello/{name}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def hello(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "name": req.route_params["name"],
        "query": dict(req.params),
        "body": req.get_body().decode(),
        "x-sample": req.headers.get("x-sample"),
        "trace": context.trace_context.trace_parent,
        "invocation": context.invocation_id,
    }
    response = func.HttpResponse(json.dumps(seen), status_code=203, mimetype="application/json")
    response.headers.add("X-Answer", "yes")
    response.headers.add("Set-Cookie", "taste=sweet; Path=/; HttpOnly; SameSite=Lax; Max-Age=60")
    return response


@app.route("hello/world", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
def unhello(req: func.HttpRequest) -> str:
    return "gone"


@app.route("keyed", auth_level=func.AuthLevel.FUNCTION)
def keyed(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route("mastered", auth_level=func.AuthLevel.ADMIN)
def mastered(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route("broken", auth_level=func.AuthLevel.ANONYMOUS)
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("broken on purpose")


@app.function_name("silent")
@app.generic_trigger(arg_name="req", type="httpTrigger", route="silent", auth_level="anonymous")
def silent(req: func.HttpRequest) -> None:
    note("silent", "called")


@app.route("emit/{kind}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="raw", queue_name="%PREFIX%-shapes", connection=STORAGE)
@app.queue_output(arg_name="text", queue_name="%PREFIX%-shapes", connection=STORAGE)
@app.queue_output(arg_name="many", queue_name="%PREFIX%-shapes", connection=STORAGE)
async def emit(
    req: func.HttpRequest,
    raw: func.Out[bytes],
    text: func.Out[str],
    many: func.Out[List[str]],  # noqa: UP006 - see the import
) -> func.HttpResponse:
    body = req.get_body()
    match req.route_params["kind"]:
        case "list":
            many.set(json.loads(body))
        case "bytes":
            raw.set(body)
        case "text":
            text.set(body.decode())
    return func.HttpResponse(status_code=202)
