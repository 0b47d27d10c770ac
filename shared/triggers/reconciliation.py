"""The HTTP functions about what does not agree between the records and Azure."""

from typing import Any

import azure.functions as func

from shared.engine.views import moment
from shared.storage.findings import Finding, FindingKind, Passes
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import (
    no_continuation,
    only,
    read_choice,
    read_continuation,
    read_limit,
    write_continuation,
)
from shared.triggers.replies import reply


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. Every route needs a function key; ``rights.py`` says of which right."""
    triggers = func.Blueprint()

    @triggers.route("reconciliation", methods=["GET"])
    async def get_reconciliation(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req, "kind", "limit", "continuation")
            limit, after = read_limit(req), read_continuation(req)
            if after and not (after.isascii() and after.isalnum()):
                raise no_continuation()
            kind, use_cases = read_choice(req, "kind", FindingKind), application().reconciling
            found = await use_cases.findings(limit=limit, after=after, kind=kind)
            return reply(_page(found, await use_cases.passes(), more=len(found) == limit))

        return await answer(work)

    @triggers.route("reconciliation", methods=["POST"])
    async def reconcile(req: func.HttpRequest) -> func.HttpResponse:
        del req

        async def work() -> func.HttpResponse:
            return reply({"resource_groups": await application().reconciling.begin()}, 202)

        return await answer(work)

    @triggers.route("reconciliation/{finding}", methods=["DELETE"])
    async def delete_orphan(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            return reply(_view(await application().reconciling.delete_orphan(req.route_params["finding"])))

        return await answer(work)

    return triggers


def _page(found: list[Finding], passes: Passes, *, more: bool) -> dict[str, Any]:
    return {
        "begun_at": moment(passes.last),
        "items": [_view(finding) for finding in found],
        "continuation": write_continuation(found[-1].finding_id) if more else None,
    }


def _view(finding: Finding) -> dict[str, Any]:
    return {
        "finding": finding.finding_id,
        "href": f"/api/reconciliation/{finding.finding_id}",
        "kind": finding.kind.value,
        "resource": finding.resource_id,
        "point": finding.point_id,
        "policy": finding.policy or None,
        "detail": finding.detail,
        "first_seen": moment(finding.first_seen),
        "last_seen": moment(finding.last_seen),
    }
