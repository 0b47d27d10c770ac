"""JSON Schemas (2020-12) of what is shown of a VM of a run: its saga. Later versions may add members."""

from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers.schema_parts import COUNT, MOMENT, TEXT, TEXTS, Schema, all_there, or_null, ref

_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_OBJECT: Schema = {"type": "object"}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Vm": {"anyOf": [ref("Saga"), ref("PendingSaga")]},
        "PendingSaga": _pending(),
        "Saga": _saga(),
        "Warning": _warning(),
        "HistoryEntry": _history_entry(),
    }


def _pending() -> Schema:
    members: dict[str, Schema] = {
        "run": TEXT,
        "vm": ref("VmId"),
        "saga": TEXT,
        "phase": {"const": "pending"},
        "history": {"type": "array", "maxItems": 0},
    }
    return all_there("A VM that nothing was done about yet.", members)


def _saga() -> Schema:
    members: dict[str, Schema] = {
        "run": TEXT,
        "vm": ref("VmId"),
        "saga": TEXT,
        "phase": {"enum": list(Phase)},
        "try": {"type": "integer", "minimum": 1},
        "generation": COUNT,
        "outcome": {"enum": [*Outcome, None]},
        "grade": {"enum": [*Grade, None]},
        "problem": or_null(ref("WhatWentWrong")),
        "reasons": TEXTS,
        "notes": TEXTS,
        "warnings": {"type": "array", "items": ref("Warning")},
        "freeze_window_ms": or_null(COUNT),
        "started_at": MOMENT,
        "ended_at": or_null(MOMENT),
        "deadline": or_null(MOMENT),
        "guest_processing": _OBJECT,
        "rehearsal": or_null(ref("Rehearsed")),
        "recovery_point": {"type": "array", "items": _copy()},
        "copies": {"type": "array", "items": _region_copy()},
        "left_out": {"type": "array", "items": _left_out()},
        "discarded": TEXTS,
        "evidence": or_null(_OBJECT),
        "evidence_sha256": or_null({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "group": or_null(ref("SagaGroup")),
        "timeline": ref("Timeline"),
        "history": {"type": "array", "items": ref("HistoryEntry")},
    }
    return all_there("A VM of a run: state, what its grade rests on, and what happened to it.", members)


def _copy() -> Schema:
    members: dict[str, Schema] = {
        "snapshot": TEXT,
        "restore_point": TEXT,
        "completion_percent": _PERCENT,
    }
    return {
        "type": "object",
        "properties": members,
        "required": ["completion_percent"],
        "oneOf": [{"required": ["snapshot"]}, {"required": ["restore_point"]}],
    }


def _region_copy() -> Schema:
    members: dict[str, Schema] = {
        "snapshot": TEXT,
        "source": TEXT,
        "region": TEXT,
        "completion_percent": _PERCENT,
        "error": or_null(TEXT),
        "detail": TEXT,
    }
    return all_there("A copy of a snapshot in another region; with an error it is given up.", members)


def _left_out() -> Schema:
    members: dict[str, Schema] = {
        "disk": or_null(TEXT),
        "name": TEXT,
        "lun": or_null(COUNT),
        "why": TEXT,
    }
    return all_there(
        "A disk that is not in the recovery point; lun is null for the disk of the system.", members
    )


def _warning() -> Schema:
    members: dict[str, Schema] = {
        "generation": COUNT,
        "kind": TEXT,
        "name": TEXT,
        "code": TEXT,
        "detail": TEXT,
    }
    return all_there("What the guest said that a person should look at.", members)


def _history_entry() -> Schema:
    members: dict[str, Schema] = {
        "at": MOMENT,
        "event": TEXT,
        "from": {"enum": list(Phase)},
        "to": {"enum": list(Phase)},
        "generation": COUNT,
        "effects": TEXTS,
        "detail": _OBJECT,
    }
    return all_there("A transition: the event that caused it, and the effects that it had.", members)
