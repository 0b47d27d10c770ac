"""JSON Schemas (2020-12) of recovery points and of retention: what is answered, and what callers send."""

from shared.engine.rebuilding import Action
from shared.policy.retention import MOST_DAYS, MOST_KEPT, Retention
from shared.saga.consistency import Grade
from shared.saga.state import Outcome
from shared.storage.findings import FindingKind
from shared.storage.point_records import PointState
from shared.triggers.rebuilding import GROUP, SUBSCRIPTION
from shared.triggers.schema_parts import (
    COUNT,
    HREF,
    MOMENT,
    TEXT,
    TEXTS,
    Schema,
    all_there,
    closed,
    or_null,
    ref,
    text,
    whole,
)


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    listed = _point()
    return {
        "RecoveryPoint": all_there("A recovery point: what one saga made of one VM.", listed),
        "WholeRecoveryPoint": all_there(
            "A recovery point with what it is made of and what its grade rests on.", listed | _more()
        ),
        "RecoveryPoints": _page(
            "Recovery points, newest first; a page may be short and go on.", "RecoveryPoint"
        ),
        "Hold": _hold(),
        "Retention": _retention(),
        "RetentionToTry": closed(
            "Rules that are to be tried: nothing is deleted.",
            {"retention": ref("Retention")},
            required=("retention",),
        ),
        "RetentionOfVm": _of_vm(),
        "RetentionPreview": _page("What retention would do now, by VM.", "RetentionOfVm"),
        "Finding": _finding(),
        "Reconciliation": all_there(
            "What the comparison of records and Azure has found, and when the last one was begun.",
            {
                "begun_at": or_null(MOMENT),
                "items": {"type": "array", "items": ref("Finding")},
                "continuation": or_null(TEXT),
            },
        ),
        "ReconciliationBegun": all_there(
            "The resource groups that are compared.", {"resource_groups": COUNT}
        ),
        "Rebuild": _rebuild(),
        "Rebuilt": all_there(
            "What was found in a page of a resource group, and what was done, or would be.",
            {
                "applied": {"type": "boolean"},
                "items": {"type": "array", "items": ref("RebuiltPoint")},
                "continuation": or_null(TEXT),
            },
        ),
        "RebuiltPoint": _rebuilt_point(),
        "RetentionBegun": all_there("Retention of a policy was begun.", {"policy": ref("PolicyName")}),
    }


def _point() -> dict[str, Schema]:
    hold = {"reason": TEXT, "since": MOMENT, "until": or_null(MOMENT), "immutable": {"type": "boolean"}}
    return {
        "point": TEXT,
        "href": HREF,
        "vm": ref("VmId"),
        "name": TEXT,
        "policy": or_null(ref("PolicyName")),
        "run": TEXT,
        "state": {"enum": list(PointState)},
        "outcome": {"enum": list(Outcome)},
        "grade": {"enum": list(Grade)},
        "created_at": MOMENT,
        "freeze_window_ms": or_null(COUNT),
        "warnings": COUNT,
        "group": or_null(ref("GroupMark")),
        "hold": or_null(all_there("Why retention keeps it, and until when.", hold)),
        "why": TEXT,
        "changed_at": or_null(MOMENT),
    }


def _more() -> dict[str, Schema]:
    return {
        "saga_href": HREF,
        "recorded_at": MOMENT,
        "generation": COUNT,
        "reasons": TEXTS,
        "resources": TEXTS,
        "copies": TEXTS,
        "missing": TEXTS,
        "rebuilt": {"type": "boolean"},
        "lacking": TEXTS,
        "evidence": or_null({"type": "object"}),
        "evidence_sha256": or_null({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
    }


def _hold() -> Schema:
    whole_hold = closed(
        "Keep a recovery point whatever retention says, until a time that is still to come or until it is "
        "released. An immutable hold has an end, and before it is neither released nor shortened.",
        {
            "reason": text(500),
            "until": or_null({"type": "string", "format": "date-time", "maxLength": 64}),
            "immutable": {"type": "boolean", "default": False},
        },
        required=("reason",),
    )
    with_end = {"properties": {"until": {"type": "string"}}, "required": ["until"]}
    immutable = {"properties": {"immutable": {"const": True}}, "required": ["immutable"]}
    return whole_hold | {"if": immutable, "then": with_end}


def _retention() -> Schema:
    default = Retention()
    rules = {
        "keep_last": whole(0, MOST_KEPT, default.keep_last),
        "keep_days": whole(0, MOST_DAYS, default.keep_days),
        "daily": whole(0, MOST_KEPT, default.daily),
        "weekly": whole(0, MOST_KEPT, default.weekly),
        "monthly": whole(0, MOST_KEPT, default.monthly),
        "yearly": whole(0, MOST_KEPT, default.yearly),
    }
    section = closed(
        "Which recovery points are kept: those that any rule wants. One rule at least is above 0.",
        {
            **rules,
            "minimum": whole(1, MOST_KEPT, default.minimum),
            "time_zone": or_null({**text(64), "default": default.time_zone}),
        },
    )
    return section | {"anyOf": [{"properties": {rule: {"minimum": 1}}, "required": [rule]} for rule in rules]}


def _of_vm() -> Schema:
    decision = all_there(
        "What retention says of a recovery point. With obstacles it stays for now, though no rule wants it.",
        {
            "point": TEXT,
            "href": HREF,
            "created_at": MOMENT,
            "outcome": {"enum": list(Outcome)},
            "grade": {"enum": list(Grade)},
            "decision": {"enum": ["keep", "delete"]},
            "why": TEXTS,
            "obstacles": TEXTS,
        },
    )
    return all_there(
        "What retention says of the recovery points that a policy has of a VM, newest first.",
        {
            "vm": ref("VmId"),
            "name": TEXT,
            "keeps": COUNT,
            "deletes": COUNT,
            "points": {"type": "array", "items": decision},
        },
    )


def _rebuild() -> Schema:
    return closed(
        "Rebuild the records of the recovery points in a resource group. Nothing is written without apply; "
        "what is rebuilt is held until hold_until, a time that is still to come, or until it is released.",
        {
            "subscription": {"type": "string", "pattern": f"^{SUBSCRIPTION}$"},
            "resource_group": {"type": "string", "pattern": f"^{GROUP}(?<!\\.)$"},
            "apply": {"type": "boolean", "default": False},
            "hold_until": or_null({"type": "string", "format": "date-time", "maxLength": 64}),
        },
        required=("subscription", "resource_group"),
    )


def _rebuilt_point() -> Schema:
    return all_there(
        "A recovery point of which something was found, and what is done about its record.",
        {
            "point": TEXT,
            "action": {"enum": list(Action)},
            "why": TEXT,
            "vm": or_null(TEXT),
            "policy": or_null(TEXT),
            "grade": or_null({"enum": list(Grade)}),
            "created_at": or_null(MOMENT),
            "resources": TEXTS,
            "copies": TEXTS,
            "lacking": TEXTS,
        },
    )


def _finding() -> Schema:
    return all_there(
        "Something that does not agree. What the next comparison does not see any more is closed.",
        {
            "finding": TEXT,
            "href": HREF,
            "kind": {"enum": list(FindingKind)},
            "resource": TEXT,
            "point": TEXT,
            "policy": or_null(TEXT),
            "detail": TEXT,
            "first_seen": MOMENT,
            "last_seen": MOMENT,
        },
    )


def _page(description: str, items: str) -> Schema:
    return all_there(
        description, {"items": {"type": "array", "items": ref(items)}, "continuation": or_null(TEXT)}
    )
