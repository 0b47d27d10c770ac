"""``GET /api/runs/{run}/timeline``: a run's VMs on one time axis, a page at a time."""

import hashlib
import json
import re

import azure.functions as func

from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import (
    no_continuation,
    only,
    read_continuation,
    read_limit,
    read_moment,
    write_continuation,
)

_SAGA = re.compile("[0-9a-f]{20}")


def blueprint(application: Once) -> func.Blueprint:
    """Give the function."""
    triggers = func.Blueprint()

    @triggers.route("runs/{run}/timeline", methods=["GET"])
    async def get_timeline(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "limit", "continuation", "since")
            after, limit, since = _read_after(req), read_limit(req), read_moment(req, "since")
            run = req.route_params["run"]
            view, following = await application().timelines.page(run, after=after, limit=limit, since=since)
            view["continuation"] = write_continuation(following)
            return _unless_known(req, view)

        return await answer(work)

    return triggers


def _read_after(req: func.HttpRequest) -> str:
    after = read_continuation(req)
    if after and not _SAGA.fullmatch(after):
        raise no_continuation()
    return after


def _unless_known(req: func.HttpRequest, view: dict[str, object]) -> func.HttpResponse:
    """Answer with the view, for a page to read; 304 where nothing but the time has changed."""
    unmoved = json.dumps({**view, "now": None}, separators=(",", ":"))
    etag = f'"{hashlib.sha256(unmoved.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if req.headers.get("if-none-match") == etag:
        return func.HttpResponse(status_code=304, headers=headers)
    body = json.dumps(view, separators=(",", ":"))
    return func.HttpResponse(body, status_code=200, mimetype="application/json", headers=headers)
