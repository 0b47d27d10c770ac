"""The HTTP API."""

import azure.functions as func
from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.policy.documents import read_run
from shared.triggers import openapi
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.replies import reply
from shared.triggers.requests import read_idempotency_key, read_json


def blueprint(application: Once) -> func.Blueprint:
    """Give the HTTP functions. Every route needs a function key; ``rights.py`` says of which right."""
    http = func.Blueprint()
    _api_routes(http)
    _run_routes(http, application)
    return http


def _api_routes(http: func.Blueprint) -> None:
    @http.route("openapi.json", methods=["GET"])
    async def get_api(req: func.HttpRequest) -> func.HttpResponse:
        del req  # everybody is shown the same

        async def work() -> func.HttpResponse:
            return reply(openapi.document())

        return await answer(work)


def _run_routes(http: func.Blueprint, application: Once) -> None:
    @http.route("runs", methods=["POST"])
    async def start_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            document, key = read_run(read_json(req)), read_idempotency_key(req)
            caller = req.headers.get("traceparent", "")
            with telemetry.span("start_run", {}, of=caller, kind=SpanKind.SERVER):
                run_id = await application().policies.start(document, "http", key)
            href = f"/api/runs/{run_id}"
            return reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)

    @http.route("runs/{run}", methods=["GET"])
    async def get_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(await application().reading.run(req.route_params["run"]))

        return await answer(work)

    @http.route("runs/{run}/vms/{vm}", methods=["GET"])
    async def get_vm(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(await application().reading.vm(req.route_params["run"], req.route_params["vm"]))

        return await answer(work)

    @http.route("runs/{run}/cancel", methods=["POST"])
    async def cancel_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            run_id = req.route_params["run"]
            await application().runs.cancel(run_id)
            href = f"/api/runs/{run_id}"
            return reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)
