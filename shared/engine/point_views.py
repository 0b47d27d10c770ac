"""Recovery points and what retention says of them, as their users see them."""

from typing import Any

from shared.engine.group_views import mark_view
from shared.engine.retaining import Decision, VmDecisions
from shared.engine.views import moment
from shared.storage.point_records import Hold, PointRecord


def point_view(record: PointRecord, now: int) -> dict[str, Any]:
    """Show a recovery point in a list."""
    return {
        "point": record.point_id,
        "href": f"/api/recovery-points/{record.point_id}",
        "vm": record.vm_id,
        "name": record.vm_id.rpartition("/")[2],
        "policy": record.policy or None,
        "run": record.run_id,
        "state": record.state.value,
        "outcome": record.outcome.value,
        "grade": record.grade.value,
        "created_at": moment(record.created),
        "freeze_window_ms": record.freeze_window_ms,
        "warnings": record.warnings,
        "hold": _hold_view(record.hold, now),
        "group": mark_view(record.group),
        "why": record.why,
        "changed_at": moment(record.changed),
    }


def whole_point_view(record: PointRecord, evidence: Any, now: int) -> dict[str, Any]:
    """Show a recovery point with what it is made of, what its grade rests on, and where its saga is shown."""
    return {
        **point_view(record, now),
        "saga_href": f"/api/runs/{record.run_id}/vms/{record.point_id}",
        "recorded_at": moment(record.recorded),
        "generation": record.generation,
        "reasons": list(record.reasons),
        "resources": list(record.resources),
        "copies": list(record.copies),
        "missing": list(record.missing),
        "rebuilt": record.rebuilt,
        "lacking": list(record.lacking),
        "evidence": evidence,
        "evidence_sha256": record.evidence_sha256 or None,
    }


def _hold_view(hold: Hold | None, now: int) -> dict[str, Any] | None:
    """Show a hold; one whose time has come is none any more."""
    if hold is None or not hold.holds(now):
        return None
    return {
        "reason": hold.reason,
        "since": moment(hold.since),
        "until": moment(hold.until),
        "immutable": hold.immutable,
    }


def vm_decisions_view(decided: VmDecisions) -> dict[str, Any]:
    """Show what retention says of the points of a VM."""
    goes = [decision for decision in decided.decisions if decision.goes]
    return {
        "vm": decided.vm_id,
        "name": decided.vm_id.rpartition("/")[2],
        "keeps": len(decided.decisions) - len(goes),
        "deletes": len(goes),
        "points": [_decision_view(decision) for decision in decided.decisions],
    }


def _decision_view(decision: Decision) -> dict[str, Any]:
    record = decision.stored.record
    return {
        "point": record.point_id,
        "href": f"/api/recovery-points/{record.point_id}",
        "created_at": moment(record.created),
        "outcome": record.outcome.value,
        "grade": record.grade.value,
        "decision": "delete" if decision.goes else "keep",
        "why": list(decision.verdict.why),
        "obstacles": list(decision.obstacles),
    }
