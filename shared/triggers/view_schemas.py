"""JSON Schemas (2020-12) of what the HTTP API answers. Later versions may add members."""

from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers import notice_schemas
from shared.triggers.schema_parts import Schema, or_null, ref

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_OBJECT: Schema = {"type": "object"}
_HREF: Schema = {"type": "string", "format": "uri-reference"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}


_REQUESTED_BY: Schema = {"enum": ["http", "schedule", "retry"]}
_SENTENCE: dict[str, Schema] = {"sentence": _TEXT, "step": {"enum": list(Phase)}}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Accepted": _all_there(
            "A run that was accepted; href is where it is shown.", {"run": _TEXT, "href": _HREF}
        ),
        "Run": _run(),
        "Runs": _runs(),
        "ListedRun": _listed_run(),
        "RunVm": _run_vm(),
        "Rehearsal": _rehearsal(),
        "RehearsalVm": _rehearsal_vm(),
        "Rehearsed": _rehearsed(),
        "RunSelection": _run_selection(),
        "Vm": {"anyOf": [ref("Saga"), ref("PendingSaga")]},
        "PendingSaga": _pending(),
        "Saga": _saga(),
        "Warning": _warning(),
        "HistoryEntry": _history_entry(),
        "StoredPolicy": _stored_policy(),
        **_policy_views(),
        "Problem": _problem(),
        "WhatWentWrong": _what_went_wrong(),
        "Health": _health(),
        "Check": _check(),
        "NoticesCheck": _notices_check(),
        "FindingsCheck": _findings_check(),
        "HousekeepingCheck": _housekeeping_check(),
    }


def _run() -> Schema:
    return _all_there("A run and its VMs.", _run_members("RunVm"))


def _rehearsal() -> Schema:
    return _all_there("A rehearsal and how its VMs were held.", _run_members("RehearsalVm"))


def _run_members(vm: str) -> dict[str, Schema]:
    return {
        "run": _TEXT,
        "state": {"enum": ["selecting", "running", "ended"]},
        "policy": or_null(ref("PolicyName")),
        "schedule": or_null(_TEXT),
        "selection": or_null(ref("RunSelection")),
        "rehearsal": {"type": "boolean"},
        "requested_by": _REQUESTED_BY,
        "created_at": _MOMENT,
        "cancel_requested": {"type": "boolean"},
        "vm_count": _COUNT,
        "vms_ended": _COUNT,
        "warnings": _COUNT,
        "groups": {"type": "array", "items": ref("RunGroup")},
        "vms": {"type": "array", "items": ref(vm)},
    }


def _earlier_try() -> Schema:
    members = {"saga": _TEXT, "href": _HREF, "why": _TEXT, "ended_at": or_null(_MOMENT)}
    return _all_there("A try of this VM in this run that failed, and was followed by another.", members)


def _runs() -> Schema:
    members = {"items": {"type": "array", "items": ref("ListedRun")}, "continuation": or_null(_TEXT)}
    return _all_there("Runs, newest first, and where to go on; null when there are no more.", members)


def _listed_run() -> Schema:
    return _all_there(
        "A run. Its figures are null while so many of its VMs go on that they are not counted.",
        {
            "run": _TEXT,
            "href": _HREF,
            "state": {"enum": ["running", "ended"]},
            "policy": or_null(ref("PolicyName")),
            "requested_by": _REQUESTED_BY,
            "created_at": _MOMENT,
            "vm_count": _COUNT,
            "vms_ended": or_null(_COUNT),
            "vms_failed": or_null(_COUNT),
            "warnings": or_null(_COUNT),
        },
    )


def _run_vm() -> Schema:
    told = "A VM of a run. The phase is running where so many go on that each is not looked at."
    return _all_there(told, _run_vm_members())


def _rehearsal_vm() -> Schema:
    told = "A VM of a rehearsal. Of more than 200 the others are shown by href."
    more = {"rehearsal": or_null(ref("Rehearsed")), "what_to_do": or_null(_TEXT)}
    return _all_there(told, _run_vm_members() | more)


def _run_vm_members() -> dict[str, Schema]:
    phases = [*(each.value for each in Phase), "running"]
    return {
        "vm": ref("VmId"),
        "name": _TEXT,
        "saga": _TEXT,
        "href": _HREF,
        "phase": {"enum": phases},
        "outcome": {"enum": [*Outcome, None]},
        "grade": {"enum": [*Grade, None]},
        "freeze_window_ms": or_null(_COUNT),
        "warnings": _COUNT,
        "selected_by": or_null(_TEXT),
        "group": or_null(_TEXT),
        "why": _TEXT,
        "problem": or_null(_all_there("What went wrong, and in which phase.", _SENTENCE)),
        "ended_at": or_null(_MOMENT),
        "try": {"type": "integer", "minimum": 1},
        "earlier_tries": {"type": "array", "items": _earlier_try()},
    }


def _rehearsed() -> Schema:
    ms = or_null(_COUNT)
    thing: dict[str, Schema] = {
        "kind": _TEXT,
        "name": _TEXT,
        "mode": _TEXT,
        "took_ms": ms,
        "held_ms": ms,
        "held_until_order": or_null({"type": "boolean"}),
    }
    left: dict[str, Schema] = {"kind": _TEXT, "name": _TEXT, "reason": _TEXT}
    members: dict[str, Schema] = {
        "best_grade": {"enum": [*Grade, None]},
        "because": _TEXTS,
        "quiesce_ms": ms,
        "held_ms": ms,
        "freeze_budget_ms": _COUNT,
        "left_for_snapshots_ms": ms,
        "post_script_ms": ms,
        "things": {"type": "array", "items": _all_there("Something that was held.", thing)},
        "not_held": {"type": "array", "items": _all_there("Something that was left writing.", left)},
    }
    return _all_there("How a VM was held in a rehearsal; null is what nobody measured, or not yet.", members)


def _run_selection() -> Schema:
    unread = {"scope": _TEXT, "code": _TEXT, "why": _TEXT}
    return _all_there(
        "How the run's VMs were selected; partial where not all could be read in Azure.",
        {
            "state": {"enum": ["selecting", "complete", "partial", "empty"]},
            "sentence": _TEXT,
            "excluded": _COUNT,
            "unread": {"type": "array", "items": _all_there("What could not be read.", unread)},
        },
    )


def _pending() -> Schema:
    members: dict[str, Schema] = {
        "run": _TEXT,
        "vm": ref("VmId"),
        "saga": _TEXT,
        "phase": {"const": "pending"},
        "history": {"type": "array", "maxItems": 0},
    }
    return _all_there("A VM that nothing was done about yet.", members)


def _saga() -> Schema:
    members: dict[str, Schema] = {
        "run": _TEXT,
        "vm": ref("VmId"),
        "saga": _TEXT,
        "phase": {"enum": list(Phase)},
        "try": {"type": "integer", "minimum": 1},
        "generation": _COUNT,
        "outcome": {"enum": [*Outcome, None]},
        "grade": {"enum": [*Grade, None]},
        "problem": or_null(ref("WhatWentWrong")),
        "reasons": _TEXTS,
        "notes": _TEXTS,
        "warnings": {"type": "array", "items": ref("Warning")},
        "freeze_window_ms": or_null(_COUNT),
        "started_at": _MOMENT,
        "ended_at": or_null(_MOMENT),
        "deadline": or_null(_MOMENT),
        "guest_processing": _OBJECT,
        "rehearsal": or_null(ref("Rehearsed")),
        "recovery_point": {"type": "array", "items": _copy()},
        "copies": {"type": "array", "items": _region_copy()},
        "left_out": {"type": "array", "items": _left_out()},
        "discarded": _TEXTS,
        "evidence": or_null(_OBJECT),
        "evidence_sha256": or_null({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "group": or_null(ref("SagaGroup")),
        "timeline": ref("Timeline"),
        "history": {"type": "array", "items": ref("HistoryEntry")},
    }
    return _all_there("A VM of a run: state, what its grade rests on, and what happened to it.", members)


def _copy() -> Schema:
    members: dict[str, Schema] = {
        "snapshot": _TEXT,
        "restore_point": _TEXT,
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
        "snapshot": _TEXT,
        "source": _TEXT,
        "region": _TEXT,
        "completion_percent": _PERCENT,
        "error": or_null(_TEXT),
        "detail": _TEXT,
    }
    return _all_there("A copy of a snapshot in another region; with an error it is given up.", members)


def _left_out() -> Schema:
    members: dict[str, Schema] = {
        "disk": or_null(_TEXT),
        "name": _TEXT,
        "lun": or_null(_COUNT),
        "why": _TEXT,
    }
    return _all_there(
        "A disk that is not in the recovery point; lun is null for the disk of the system.", members
    )


def _warning() -> Schema:
    members: dict[str, Schema] = {
        "generation": _COUNT,
        "kind": _TEXT,
        "name": _TEXT,
        "code": _TEXT,
        "detail": _TEXT,
    }
    return _all_there("What the guest said that a person should look at.", members)


def _history_entry() -> Schema:
    members: dict[str, Schema] = {
        "at": _MOMENT,
        "event": _TEXT,
        "from": {"enum": list(Phase)},
        "to": {"enum": list(Phase)},
        "generation": _COUNT,
        "effects": _TEXTS,
        "detail": _OBJECT,
    }
    return _all_there("A transition: the event that caused it, and the effects that it had.", members)


def _policy_views() -> dict[str, Schema]:
    missed = _all_there("The last time at which no run began.", {"at": _MOMENT, "why": _TEXT})
    scheduled: dict[str, Schema] = {
        "name": _TEXT,
        "next_time": or_null(_MOMENT),
        "last_run": or_null(_TEXT),
        "last_run_at": or_null(_MOMENT),
        "last_missed": or_null(missed),
    }
    listed: dict[str, Schema] = {
        "policy": ref("PolicyName"),
        "href": _HREF,
        "description": or_null(_TEXT),
        "problem": or_null(_TEXT),
        "schedules": {"type": "array", "items": ref("ScheduleTimes")},
    }
    judged: dict[str, Schema] = {"vm": ref("VmId"), "name": _TEXT, "rule": _TEXT}
    remark: dict[str, Schema] = {
        "tag": _TEXT,
        "code": _TEXT,
        "wrong": {"type": "boolean"},
        "sentence": _TEXT,
    }
    selected = judged | {
        "found": {"enum": [True, None]},
        "group": or_null(_TEXT),
        "priority": or_null(_COUNT),
        "tags": {"type": "array", "items": _all_there("What is said of a tag of the VM.", remark)},
    }
    unread = _all_there("What could not be read.", {"scope": _TEXT, "code": _TEXT, "why": _TEXT})
    schedule: dict[str, Schema] = {
        "name": _TEXT,
        "paused": {"type": "boolean"},
        "guest_processing_changes": _TEXTS,
        "next_times": {"type": "array", "items": _MOMENT},
        "in_blackout": {"type": "array", "items": _MOMENT},
    }
    preview: dict[str, Schema] = {
        "policy": or_null(ref("PolicyName")),
        "complete": {"type": "boolean"},
        "selected_count": _COUNT,
        "excluded_count": _COUNT,
        "selected": {"type": "array", "items": _all_there("A VM, and by which rule.", selected)},
        "excluded": {"type": "array", "items": _all_there("A VM, and by which rule.", judged)},
        "groups": {"type": "array", "items": ref("GroupPreview")},
        "unread": {"type": "array", "items": unread},
        "schedules": {"type": "array", "items": _all_there("A schedule.", schedule)},
    }
    page: dict[str, Schema] = {
        "items": {"type": "array", "items": _all_there("A policy.", listed)},
        "continuation": or_null(_TEXT),
    }
    valid: dict[str, Schema] = {"valid": {"const": True}, "document": ref("Policy")}
    return {
        "ScheduleTimes": _all_there("When a schedule is due, and what became of it before.", scheduled),
        "Policies": _all_there("Policies, by their names.", page),
        "PolicyPreview": _all_there("What a policy would do now; not complete where Azure was not.", preview),
        "ValidPolicy": _all_there("A valid policy, written the one way.", valid),
    }


def _stored_policy() -> Schema:
    """Say what a policy is with its name; a policy itself is closed, so this cannot be put onto it."""
    return {
        "description": "The policy as it was sent, with its name.",
        "type": "object",
        "properties": {
            "policy": ref("PolicyName"),
            "version": {"type": ["integer", "null"]},
            "description": or_null(_TEXT),
            "vms": or_null({"type": "array", "items": ref("VmId")}),
            "selection": or_null(ref("Selection")),
            "allow_tags": or_null(_TEXTS),
            "guest_processing": or_null(ref("GuestProcessing")),
            "disks": or_null(ref("Disks")),
            "snapshots": or_null(ref("Snapshots")),
            "schedule": or_null(ref("Schedule")),
            "retention": or_null(ref("Retention")),
            "schedules": or_null({"type": "array", "items": ref("NamedSchedule")}),
            "times": {"type": "array", "items": ref("ScheduleTimes")},
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
        },
        "required": ["policy"],
    }


def _problem() -> Schema:
    return {
        "description": "Problem details (RFC 9457). Instance is there where a log line has the same id.",
        "type": "object",
        "properties": {
            "type": {"const": "about:blank"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "field": {"description": "The member of the request that is wrong.", "type": "string"},
            "instance": {"type": "string", "pattern": "^urn:uuid:"},
        },
        "required": ["type", "title", "status", "detail"],
    }


def _what_went_wrong() -> Schema:
    members: dict[str, Schema] = {
        **_SENTENCE,
        "what_to_do": _TEXT,
        "generation": _COUNT,
        "cause": {"enum": list(Cause)},
        "code": or_null(_TEXT),
        "see": _TEXT,
    }
    return _all_there("Why a saga did not end well, in words, and what to do.", members)


def _health() -> Schema:
    members: dict[str, Schema] = {
        "status": {"enum": ["healthy", "unhealthy"]},
        "problems": _TEXTS,
        "version": _TEXT,
        "draining": {"type": "boolean"},
        "attention": _TEXTS,
        "checked_at": _MOMENT,
        "storage": _each(ref("Check")),
        "arm": ref("Check"),
        "overdue": ref("Check"),
        "poison": _each(_COUNT),
        "notices": ref("NoticesCheck"),
        "findings": ref("FindingsCheck"),
        "last_housekeeping": ref("HousekeepingCheck"),
        "acks": _each(_each(_each(_COUNT))),
    }
    whole = _all_there("What the app needs and what waits for a person; problems make it unhealthy.", members)
    return whole | {"required": ["status", "problems", "version"]}  # more is not known without settings


def _check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": _COUNT,
        "error": {"description": "The class of the error.", "type": "string"},
        "count": _COUNT,
        "oldest": or_null(_OBJECT),
        "sagas_looked_at": _COUNT,
        "complete": {"type": "boolean"},
    }
    return _all_there("Something that was looked at, and how long that took.", members) | {
        "required": ["ok", "ms"]
    }


def _notices_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": _COUNT,
        "error": _TEXT,
        "waiting": _COUNT,
        "given_up": _COUNT,
    }
    told = "How many notices are to be delivered or tried again, and how many were given up."
    return _all_there(told, members) | {"required": ["ok", "ms"]}


def _findings_check() -> Schema:
    oldest = {"finding": _TEXT, "kind": _TEXT, "resource": _TEXT, "first_seen": _MOMENT, "href": _TEXT}
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": _COUNT,
        "error": _TEXT,
        "count": _COUNT,
        "complete": {"type": "boolean"},
        "kinds": _each(_COUNT),
        "oldest": or_null(_all_there("The finding that was seen first.", oldest)),
        "begun_at": or_null(_MOMENT),
    }
    told = "What reconciliation found that does not agree between the records and Azure."
    return _all_there(told, members) | {"required": ["ok", "ms"]}


def _housekeeping_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": _COUNT,
        "error": _TEXT,
        "began_at": or_null(_MOMENT),
        "ended_at": or_null(_MOMENT),
        "removed": _each(_COUNT),
        "not_cleaned": _TEXTS,
        "going_on_since": or_null(_MOMENT),
    }
    told = "The last pass that removed what nobody needs any more, and since when another one goes on."
    return _all_there(told, members) | {"required": ["ok", "ms"]}


def _each(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _all_there(description: str, properties: dict[str, Schema]) -> Schema:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


#: For the modules that describe answers of their own.
all_there = _all_there
