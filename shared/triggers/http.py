"""The HTTP API."""

import json
from typing import Any

import azure.functions as func

from shared.policy.documents import read_policy_name, read_run
from shared.policy.fields import DocumentError
from shared.storage.policies import StoredPolicy
from shared.triggers.once import Once
from shared.triggers.problems import answer

#: 2,000 VM ids and a policy fit several times over.
LARGEST_BODY = 1024 * 1024


def blueprint(application: Once) -> func.Blueprint:
    """Give the HTTP functions. Every route needs a function key."""
    http = func.Blueprint()
    _run_routes(http, application)
    _policy_routes(http, application)
    return http


def _run_routes(http: func.Blueprint, application: Once) -> None:
    @http.route("runs", methods=["POST"])
    async def start_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            document = read_run(_json(req))
            key = req.headers.get("idempotency-key", "")
            run_id = await application().policies.start(document, "http", key)
            href = f"/api/runs/{run_id}"
            return _reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)

    @http.route("runs/{run}", methods=["GET"])
    async def get_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return _reply(await application().reading.run(req.route_params["run"]))

        return await answer(work)

    @http.route("runs/{run}/vms/{vm}", methods=["GET"])
    async def get_vm(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return _reply(await application().reading.vm(req.route_params["run"], req.route_params["vm"]))

        return await answer(work)

    @http.route("runs/{run}/cancel", methods=["POST"])
    async def cancel_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            run_id = req.route_params["run"]
            await application().runs.cancel(run_id)
            href = f"/api/runs/{run_id}"
            return _reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)


def _policy_routes(http: func.Blueprint, application: Once) -> None:
    @http.route("policies/{policy}", methods=["PUT"])
    async def put_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            etag = req.headers.get("if-match")
            return _policy(await application().policies.put(name, _json(req), etag))

        return await answer(work)

    @http.route("policies/{policy}", methods=["GET"])
    async def get_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            return _policy(await application().policies.get(name))

        return await answer(work)

    @http.route("policies/{policy}", methods=["DELETE"])
    async def delete_policy(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            name = read_policy_name(req.route_params["policy"])
            await application().policies.delete(name, req.headers.get("if-match"))
            return func.HttpResponse(status_code=204)

        return await answer(work)


def _json(req: func.HttpRequest) -> Any:
    body = req.get_body()
    if len(body) > LARGEST_BODY:
        raise DocumentError("body", f"expected at most {LARGEST_BODY} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DocumentError("body", "expected JSON") from None


def _reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body, indent=2), status_code=status, mimetype="application/json", headers=headers or {}
    )


def _policy(stored: StoredPolicy) -> func.HttpResponse:
    return _reply({"policy": stored.name, **stored.document}, 200, {"ETag": stored.etag})
