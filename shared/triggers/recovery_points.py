"""The HTTP functions about recovery points and retention."""

import azure.functions as func

from shared.engine.point_views import vm_decisions_view
from shared.engine.points import Wanted
from shared.engine.retaining import VmDecisions
from shared.policy.documents import read_policy_name
from shared.policy.fields import DocumentError, Fields
from shared.policy.retention import read_retention
from shared.saga.consistency import Grade
from shared.storage.point_records import Hold, PointState
from shared.storage.points import is_place
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import (
    no_continuation,
    only,
    parse_moment,
    read_choice,
    read_continuation,
    read_limit,
    read_moment,
    read_text,
    write_continuation,
)
from shared.triggers.replies import reply
from shared.triggers.requests import read_json

#: VMs of a page of what retention would do: all of their points are shown, and Azure is asked.
MOST_VMS_PREVIEWED = 10
LONGEST_REASON = 500


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. Every route needs a function key; ``rights.py`` says of which right."""
    points = func.Blueprint()
    _looking(points, application)
    _changing(points, application)
    _retention(points, application)
    return points


def _looking(points: func.Blueprint, application: Once) -> None:
    @points.route("recovery-points", methods=["GET"])
    async def list_points(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            wanted, after = _wanted(req), read_continuation(req)
            if after and not is_place(after):
                raise no_continuation()
            shown, place = await application().points.list(wanted, limit=read_limit(req), after=after)
            return reply({"items": shown, "continuation": write_continuation(place)})

        return await answer(work)

    @points.route("recovery-points/{point}", methods=["GET"])
    async def get_point(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(await application().points.get(req.route_params["point"]))

        return await answer(work)


def _changing(points: func.Blueprint, application: Once) -> None:
    @points.route("recovery-points/{point}/hold", methods=["POST"])
    async def hold_point(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            use_cases = application().points
            return reply(await use_cases.hold(req.route_params["point"], _hold(req, use_cases.now())))

        return await answer(work)

    @points.route("recovery-points/{point}/release", methods=["POST"])
    async def release_point(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(await application().points.release(req.route_params["point"]))

        return await answer(work)

    @points.route("recovery-points/{point}", methods=["DELETE"])
    async def delete_point(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "newest")
            newest = req.params.get("newest")
            if newest not in (None, "allow"):
                raise DocumentError("newest", "expected allow, or nothing")
            point_id = req.route_params["point"]
            return reply(await application().points.delete(point_id, newest=newest is not None), 202)

        return await answer(work)


def _retention(points: func.Blueprint, application: Once) -> None:
    @points.route("retention/{policy}", methods=["GET"])
    async def preview_retention(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            policy, size, after = _page_of_vms(req)
            return _decided(*await application().retaining.preview(policy, size=size, after=after))

        return await answer(work)

    @points.route("retention/{policy}/try", methods=["POST"])
    async def try_retention(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            policy, size, after = _page_of_vms(req)
            rules = read_retention(Fields(read_json(req), "", ("retention",)))
            if rules is None:
                raise DocumentError("retention", "expected the rules that are to be tried")
            retaining = application().retaining
            return _decided(*await retaining.preview(policy, size=size, after=after, rules=rules))

        return await answer(work)

    @points.route("retention/{policy}/apply", methods=["POST"])
    async def apply_retention(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            policy = read_policy_name(req.route_params["policy"])
            await application().retaining.begin_for(policy)
            return reply({"policy": policy}, 202)

        return await answer(work)


def _wanted(req: func.HttpRequest) -> Wanted:
    only(req, "vm", "policy", "since", "until", "grade", "state", "limit", "continuation")
    policy = req.params.get("policy")
    wanted = Wanted(
        vm=read_text(req, "vm"),
        policy=None if policy is None else read_policy_name(policy),
        since=read_moment(req, "since"),
        until=read_moment(req, "until"),
        grade=read_choice(req, "grade", Grade),
        state=read_choice(req, "state", PointState),
    )
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise DocumentError("until", "expected a time after since")
    return wanted


def _hold(req: func.HttpRequest, now: int) -> Hold:
    fields = Fields(read_json(req), "", ("reason", "until", "immutable"))
    until = None
    if fields.has("until"):
        until = parse_moment(fields.text("until", longest=64), "until")
        if until <= now:
            raise DocumentError("until", "expected a time that is still to come")
    immutable = fields.flag("immutable", default=False)
    if immutable and until is None:
        raise DocumentError("until", "expected with immutable: a hold that nobody can release needs an end")
    reason = fields.text("reason", longest=LONGEST_REASON)
    return Hold(reason=reason, since=now, until=until, immutable=immutable)


def _page_of_vms(req: func.HttpRequest) -> tuple[str, int, str]:
    only(req, "limit", "continuation")
    after = read_continuation(req)
    if after and not (after.isascii() and after.isalnum()):
        raise no_continuation()
    return read_policy_name(req.route_params["policy"]), min(read_limit(req), MOST_VMS_PREVIEWED), after


def _decided(decided: list[VmDecisions], place: str) -> func.HttpResponse:
    shown = [vm_decisions_view(each) for each in decided]
    return reply({"items": shown, "continuation": write_continuation(place)})
