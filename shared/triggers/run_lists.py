"""The HTTP functions about many runs: their list, and trying one again."""

import azure.functions as func

from shared.engine.run_listing import Asked, RunState
from shared.policy.documents import read_policy_name
from shared.storage.run_list import is_place
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import (
    no_continuation,
    only,
    read_choice,
    read_continuation,
    read_limit,
    read_moment,
    write_continuation,
)
from shared.triggers.replies import reply
from shared.triggers.requests import read_idempotency_key


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. Every route needs a function key; ``rights.py`` says of which right."""
    lists = func.Blueprint()

    @lists.route("runs", methods=["GET"])
    async def list_runs(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            asked, limit, after = _asked(req), read_limit(req), read_continuation(req)
            if after and not is_place(after):
                raise no_continuation()
            shown, place = await application().run_listing.page(asked, limit=limit, after=after)
            return reply({"items": shown, "continuation": write_continuation(place)})

        return await answer(work)

    @lists.route("runs/{run}/retry", methods=["POST"])
    async def retry_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            key = read_idempotency_key(req)
            run_id = await application().retrying.retry(req.route_params["run"], key)
            href = f"/api/runs/{run_id}"
            return reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)

    return lists


def _asked(req: func.HttpRequest) -> Asked:
    only(req, "policy", "state", "since", "until", "limit", "continuation")
    policy: str | None = req.params.get("policy")
    return Asked(
        policy=read_policy_name(policy) if policy is not None else "",
        state=read_choice(req, "state", RunState),
        since=read_moment(req, "since"),
        until=read_moment(req, "until"),
    )
