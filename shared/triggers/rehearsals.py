"""``/api/rehearsals``: hold the applications as a backup would, let them go, and say how long that took."""

import azure.functions as func

from shared.policy.documents import read_run
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.replies import reply
from shared.triggers.requests import read_idempotency_key, read_json


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions."""
    http = func.Blueprint()

    @http.route("rehearsals", methods=["POST"])
    async def start_rehearsal(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            document, key = read_run(read_json(req)), read_idempotency_key(req)
            run_id = await application().policies.start(document, "http", key, rehearsal=True)
            href = f"/api/rehearsals/{run_id}"
            return reply({"run": run_id, "href": href}, 202, {"Location": href})

        return await answer(work)

    @http.route("rehearsals/{run}", methods=["GET"])
    async def get_rehearsal(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(await application().rehearsals.view(req.route_params["run"]))

        return await answer(work)

    return http
