"""``POST /api/recovery-points/rebuild``: records from what Azure still tells, a page of a group a call."""

import re
from typing import Any

import azure.functions as func

from shared.engine.rebuilding import Found
from shared.engine.views import moment
from shared.policy.fields import DocumentError, Fields
from shared.storage.points import Scope
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import only, parse_moment, read_continuation, write_continuation
from shared.triggers.replies import reply
from shared.triggers.requests import read_json

SUBSCRIPTION = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
GROUP = r"[A-Za-z0-9_().-]{1,90}"
"""What a resource group is called ("Naming rules and restrictions for Azure resources"), in ASCII."""


def blueprint(application: Once) -> func.Blueprint:
    """Give the function. Its route needs a function key; ``rights.py`` says of which right."""
    triggers = func.Blueprint()

    @triggers.route("recovery-points/rebuild", methods=["POST"])
    async def rebuild_points(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "continuation")
            use_case, marker = application().rebuilding, read_continuation(req)
            scope, apply, hold_until = _asked(read_json(req), use_case.now())
            found, following = await use_case.page(scope, apply=apply, hold_until=hold_until, marker=marker)
            return reply(
                {
                    "applied": apply,
                    "items": [_view(each) for each in found],
                    "continuation": write_continuation(following),
                }
            )

        return await answer(work)

    return triggers


def _asked(document: Any, now: int) -> tuple[Scope, bool, int | None]:
    fields = Fields(document, "", ("subscription", "resource_group", "apply", "hold_until"))
    subscription, group = fields.text("subscription"), fields.text("resource_group")
    if not re.fullmatch(SUBSCRIPTION, subscription):
        raise DocumentError("subscription", "expected the id of a subscription")
    if not re.fullmatch(GROUP, group) or group.endswith("."):
        raise DocumentError("resource_group", "expected the name of a resource group")
    until = None
    if fields.has("hold_until"):
        until = parse_moment(fields.text("hold_until", longest=64), "hold_until")
        if until <= now:
            raise DocumentError("hold_until", "expected a time that is still to come")
    return Scope(subscription, group), fields.flag("apply", default=False), until


def _view(found: Found) -> dict[str, Any]:
    record = found.record
    return {
        "point": found.point_id,
        "action": found.action.value,
        "why": found.why,
        "vm": record.vm_id if record else None,
        "policy": (record.policy or None) if record else None,
        "grade": record.grade.value if record else None,
        "created_at": moment(record.created) if record else None,
        "resources": list(record.resources) if record else [],
        "copies": list(record.copies) if record else [],
        "lacking": list(record.lacking) if record else [],
    }
