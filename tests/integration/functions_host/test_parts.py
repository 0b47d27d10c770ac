"""Listener, processor, invoker and HTTP front in this process, over real queues."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from local.functions_host.backoff import PollBackoff
from local.functions_host.functions import Function, HttpTrigger, QueueOutput
from local.functions_host.http_front import HttpFront, build_application
from local.functions_host.invoker import Invoker, Outcome, RunningInvocations
from local.functions_host.message_processor import MessageProcessor
from local.functions_host.protos import InvocationRequest, InvocationResponse, StatusResult, TypedData
from local.functions_host.queue_listener import QueueListener
from local.functions_host.queues import EnqueuedWatcher, MessageEncoding, Queue, Queues, ReceivedMessage
from local.functions_host.routes import RouteTable
from local.functions_host.settings import QueueOptions

LOG = logging.getLogger("test")
OPTIONS = QueueOptions(
    batch_size=4,
    new_batch_threshold=2,
    max_dequeue_count=2,
    visibility_timeout_s=0,
    max_polling_interval_s=3600,
    base64=False,
    dequeue_invisibility_s=2,
)
NOBODY = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:9/a"


class EchoWorker:
    """Returns the trigger's value as the return value."""

    async def invoke(self, request: InvocationRequest, _timeout_s: float | None) -> InvocationResponse:
        return InvocationResponse(
            invocation_id=request.invocation_id,
            result=StatusResult(status=StatusResult.Success),
            return_value=request.input_data[0].data,
        )


def _listener(
    queue: Queue,
    execute: Callable[[ReceivedMessage, str], Awaitable[bool]],
    *,
    watcher: EnqueuedWatcher | None = None,
    fatal: Callable[[Exception], None] = lambda error: pytest.fail(str(error)),
    longest_pause_s: float = 0.1,
) -> QueueListener:
    watcher = watcher or EnqueuedWatcher()
    log = logging.LoggerAdapter(LOG, {})
    processor = MessageProcessor(
        queue=queue, poison=None, options=OPTIONS, execute=execute, watcher=watcher, log=log
    )
    # The second pause is at once the longest.
    backoff = PollBackoff(maximum_s=longest_pause_s, uniform=lambda _low, _high: 1e6)
    return QueueListener(
        queue=queue,
        options=OPTIONS,
        processor=processor,
        watcher=watcher,
        backoff=backoff,
        on_fatal=fatal,
        log=log,
    )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - looks at plain values of the test
            await asyncio.sleep(0.01)


@pytest.mark.azurite
async def test_a_queue_output_wakes_a_listener_that_would_sleep_for_an_hour(storage: str) -> None:
    name = f"q{uuid.uuid4().hex}"
    watcher = EnqueuedWatcher()
    received: list[str] = []

    async def execute(_message: ReceivedMessage, body: str) -> bool:
        received.append(body)
        return True

    async with Queues(lambda _name: storage) as queues:
        listener = _listener(queues.get("c", name), execute, watcher=watcher, longest_pause_s=3600)
        running = asyncio.create_task(listener.run())
        invoker = Invoker(
            worker=EchoWorker(),
            queues=queues,
            watcher=watcher,
            encoding=MessageEncoding(base64=False),
            running=RunningInvocations(),
            timeout_s=None,
            log=LOG,
        )
        function = Function(
            "sender",
            "1",
            HttpTrigger("req", "r", (), "anonymous"),
            (QueueOutput("$return", name, "c"),),
            None,
        )
        for text in ("first", "second", "third"):
            # Each is received only because it wakes the listener: its own next poll is an hour away.
            await invoker.invoke(function, TypedData(string=text))
            await _until(lambda text=text: received[-1:] == [text])  # type: ignore[misc]
        listener.stop()
        await running
        await listener.finished()


@pytest.mark.azurite
async def test_a_message_that_another_host_took_over_is_left_alone(storage: str) -> None:
    go_on = asyncio.Event()
    results: list[str] = []

    async def execute(_message: ReceivedMessage, body: str) -> bool:
        await go_on.wait()
        results.append(body)
        return True

    async with Queues(lambda _name: storage) as queues:
        queue = queues.get("c", f"q{uuid.uuid4().hex}")
        await queue.add("body")
        [message] = await queue.receive(1, 30)
        log = logging.LoggerAdapter(LOG, {})
        processor = MessageProcessor(
            queue=queue, poison=None, options=OPTIONS, execute=execute, watcher=EnqueuedWatcher(), log=log
        )
        processing = asyncio.create_task(processor.process(message))
        newer = await queue.hide(message.message_id, message.pop_receipt, 30)

        go_on.set()
        await processing

        assert results == ["body"]
        await queue.delete(message.message_id, newer)  # still there, and the other's


async def test_a_storage_that_does_not_answer_is_tried_again_and_does_not_hold_the_stop() -> None:
    async def execute(_message: ReceivedMessage, _body: str) -> bool:
        raise AssertionError

    async with Queues(lambda _name: NOBODY) as queues:
        listener = _listener(queues.get("c", "queue"), execute)
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(0)

        listener.stop()

        async with asyncio.timeout(30):
            await running


async def test_a_caller_waits_no_longer_than_the_answer_limit_while_the_function_goes_on() -> None:
    go_on = asyncio.Event()
    ended: list[str] = []

    class SlowInvoker(Invoker):
        def __init__(self) -> None:
            pass

        async def invoke(self, function: Function, *_args: object, **_more: object) -> Outcome:
            await go_on.wait()
            ended.append(function.name)
            return Outcome(succeeded=True, values={})

    slow = Function("slow", "1", HttpTrigger("req", "slow", (), "anonymous"), (), "$return")
    front = HttpFront(
        routes=RouteTable([slow]),
        route_prefix="",
        keys=None,
        invoker=SlowInvoker(),
        log=LOG,
        answer_limit_s=0.01,
    )

    async def no_guard(_request: object) -> None:
        raise AssertionError

    async with TestClient(TestServer(build_application(front, [], no_guard))) as client:
        answer = await client.get("/slow")
        assert answer.status == 504
        go_on.set()
        await _until(lambda: ended == ["slow"])
