"""JSON Schemas (2020-12) of what the HTTP API answers. Later versions may add members."""

from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers import notice_schemas
from shared.triggers.schema_parts import COUNT, HREF, MOMENT, TEXT, TEXTS, Schema, all_there, or_null, ref

_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_OBJECT: Schema = {"type": "object"}


_REQUESTED_BY: Schema = {"enum": ["http", "schedule", "retry"]}
_SENTENCE: dict[str, Schema] = {"sentence": TEXT, "step": {"enum": list(Phase)}}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Accepted": all_there(
            "A run that was accepted; href is where it is shown.", {"run": TEXT, "href": HREF}
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
    return all_there("A run and its VMs.", _run_members("RunVm"))


def _rehearsal() -> Schema:
    return all_there("A rehearsal and how its VMs were held.", _run_members("RehearsalVm"))


def _run_members(vm: str) -> dict[str, Schema]:
    return {
        "run": TEXT,
        "state": {"enum": ["selecting", "running", "ended"]},
        "policy": or_null(ref("PolicyName")),
        "schedule": or_null(TEXT),
        "selection": or_null(ref("RunSelection")),
        "rehearsal": {"type": "boolean"},
        "requested_by": _REQUESTED_BY,
        "created_at": MOMENT,
        "cancel_requested": {"type": "boolean"},
        "vm_count": COUNT,
        "vms_ended": COUNT,
        "warnings": COUNT,
        "groups": {"type": "array", "items": ref("RunGroup")},
        "vms": {"type": "array", "items": ref(vm)},
    }


def _earlier_try() -> Schema:
    members = {"saga": TEXT, "href": HREF, "why": TEXT, "ended_at": or_null(MOMENT)}
    return all_there("A try of this VM in this run that failed, and was followed by another.", members)


def _runs() -> Schema:
    members = {"items": {"type": "array", "items": ref("ListedRun")}, "continuation": or_null(TEXT)}
    return all_there("Runs, newest first, and where to go on; null when there are no more.", members)


def _listed_run() -> Schema:
    return all_there(
        "A run. Its figures are null while so many of its VMs go on that they are not counted.",
        {
            "run": TEXT,
            "href": HREF,
            "state": {"enum": ["running", "ended"]},
            "policy": or_null(ref("PolicyName")),
            "requested_by": _REQUESTED_BY,
            "created_at": MOMENT,
            "vm_count": COUNT,
            "vms_ended": or_null(COUNT),
            "vms_failed": or_null(COUNT),
            "warnings": or_null(COUNT),
        },
    )


def _run_vm() -> Schema:
    told = "A VM of a run. The phase is running where so many go on that each is not looked at."
    return all_there(told, _run_vm_members())


def _rehearsal_vm() -> Schema:
    told = "A VM of a rehearsal. Of more than 200 the others are shown by href."
    more = {"rehearsal": or_null(ref("Rehearsed")), "what_to_do": or_null(TEXT)}
    return all_there(told, _run_vm_members() | more)


def _run_vm_members() -> dict[str, Schema]:
    phases = [*(each.value for each in Phase), "running"]
    return {
        "vm": ref("VmId"),
        "name": TEXT,
        "saga": TEXT,
        "href": HREF,
        "phase": {"enum": phases},
        "outcome": {"enum": [*Outcome, None]},
        "grade": {"enum": [*Grade, None]},
        "freeze_window_ms": or_null(COUNT),
        "warnings": COUNT,
        "selected_by": or_null(TEXT),
        "group": or_null(TEXT),
        "why": TEXT,
        "problem": or_null(all_there("What went wrong, and in which phase.", _SENTENCE)),
        "ended_at": or_null(MOMENT),
        "try": {"type": "integer", "minimum": 1},
        "earlier_tries": {"type": "array", "items": _earlier_try()},
    }


def _rehearsed() -> Schema:
    ms = or_null(COUNT)
    thing: dict[str, Schema] = {
        "kind": TEXT,
        "name": TEXT,
        "mode": TEXT,
        "took_ms": ms,
        "held_ms": ms,
        "held_until_order": or_null({"type": "boolean"}),
    }
    left: dict[str, Schema] = {"kind": TEXT, "name": TEXT, "reason": TEXT}
    members: dict[str, Schema] = {
        "best_grade": {"enum": [*Grade, None]},
        "because": TEXTS,
        "quiesce_ms": ms,
        "held_ms": ms,
        "freeze_budget_ms": COUNT,
        "left_for_snapshots_ms": ms,
        "post_script_ms": ms,
        "things": {"type": "array", "items": all_there("Something that was held.", thing)},
        "not_held": {"type": "array", "items": all_there("Something that was left writing.", left)},
    }
    return all_there("How a VM was held in a rehearsal; null is what nobody measured, or not yet.", members)


def _run_selection() -> Schema:
    unread = {"scope": TEXT, "code": TEXT, "why": TEXT}
    return all_there(
        "How the run's VMs were selected; partial where not all could be read in Azure.",
        {
            "state": {"enum": ["selecting", "complete", "partial", "empty"]},
            "sentence": TEXT,
            "excluded": COUNT,
            "unread": {"type": "array", "items": all_there("What could not be read.", unread)},
        },
    )


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


def _policy_views() -> dict[str, Schema]:
    missed = all_there("The last time at which no run began.", {"at": MOMENT, "why": TEXT})
    scheduled: dict[str, Schema] = {
        "name": TEXT,
        "next_time": or_null(MOMENT),
        "last_run": or_null(TEXT),
        "last_run_at": or_null(MOMENT),
        "last_missed": or_null(missed),
    }
    listed: dict[str, Schema] = {
        "policy": ref("PolicyName"),
        "href": HREF,
        "description": or_null(TEXT),
        "problem": or_null(TEXT),
        "schedules": {"type": "array", "items": ref("ScheduleTimes")},
    }
    judged: dict[str, Schema] = {"vm": ref("VmId"), "name": TEXT, "rule": TEXT}
    remark: dict[str, Schema] = {
        "tag": TEXT,
        "code": TEXT,
        "wrong": {"type": "boolean"},
        "sentence": TEXT,
    }
    selected = judged | {
        "found": {"enum": [True, None]},
        "group": or_null(TEXT),
        "priority": or_null(COUNT),
        "tags": {"type": "array", "items": all_there("What is said of a tag of the VM.", remark)},
    }
    unread = all_there("What could not be read.", {"scope": TEXT, "code": TEXT, "why": TEXT})
    schedule: dict[str, Schema] = {
        "name": TEXT,
        "paused": {"type": "boolean"},
        "guest_processing_changes": TEXTS,
        "next_times": {"type": "array", "items": MOMENT},
        "in_blackout": {"type": "array", "items": MOMENT},
    }
    preview: dict[str, Schema] = {
        "policy": or_null(ref("PolicyName")),
        "complete": {"type": "boolean"},
        "selected_count": COUNT,
        "excluded_count": COUNT,
        "selected": {"type": "array", "items": all_there("A VM, and by which rule.", selected)},
        "excluded": {"type": "array", "items": all_there("A VM, and by which rule.", judged)},
        "groups": {"type": "array", "items": ref("GroupPreview")},
        "unread": {"type": "array", "items": unread},
        "schedules": {"type": "array", "items": all_there("A schedule.", schedule)},
    }
    page: dict[str, Schema] = {
        "items": {"type": "array", "items": all_there("A policy.", listed)},
        "continuation": or_null(TEXT),
    }
    valid: dict[str, Schema] = {"valid": {"const": True}, "document": ref("Policy")}
    return {
        "ScheduleTimes": all_there("When a schedule is due, and what became of it before.", scheduled),
        "Policies": all_there("Policies, by their names.", page),
        "PolicyPreview": all_there("What a policy would do now; not complete where Azure was not.", preview),
        "ValidPolicy": all_there("A valid policy, written the one way.", valid),
    }


def _stored_policy() -> Schema:
    """Say what a policy is with its name; a policy itself is closed, so this cannot be put onto it."""
    return {
        "description": "The policy as it was sent, with its name.",
        "type": "object",
        "properties": {
            "policy": ref("PolicyName"),
            "version": {"type": ["integer", "null"]},
            "description": or_null(TEXT),
            "vms": or_null({"type": "array", "items": ref("VmId")}),
            "selection": or_null(ref("Selection")),
            "allow_tags": or_null(TEXTS),
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
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "field": {"description": "The member of the request that is wrong.", "type": "string"},
            "instance": {"type": "string", "pattern": "^urn:uuid:"},
        },
        "required": ["type", "title", "status", "detail"],
    }


def _what_went_wrong() -> Schema:
    members: dict[str, Schema] = {
        **_SENTENCE,
        "what_to_do": TEXT,
        "generation": COUNT,
        "cause": {"enum": list(Cause)},
        "code": or_null(TEXT),
        "see": TEXT,
    }
    return all_there("Why a saga did not end well, in words, and what to do.", members)


def _health() -> Schema:
    members: dict[str, Schema] = {
        "status": {"enum": ["healthy", "unhealthy"]},
        "problems": TEXTS,
        "version": TEXT,
        "draining": {"type": "boolean"},
        "attention": TEXTS,
        "checked_at": MOMENT,
        "storage": _each(ref("Check")),
        "arm": ref("Check"),
        "overdue": ref("Check"),
        "poison": _each(COUNT),
        "notices": ref("NoticesCheck"),
        "findings": ref("FindingsCheck"),
        "last_housekeeping": ref("HousekeepingCheck"),
        "acks": _each(_each(_each(COUNT))),
    }
    whole = all_there("What the app needs and what waits for a person; problems make it unhealthy.", members)
    return whole | {"required": ["status", "problems", "version"]}  # more is not known without settings


def _check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": {"description": "The class of the error.", "type": "string"},
        "count": COUNT,
        "oldest": or_null(_OBJECT),
        "sagas_looked_at": COUNT,
        "complete": {"type": "boolean"},
    }
    return all_there("Something that was looked at, and how long that took.", members) | {
        "required": ["ok", "ms"]
    }


def _notices_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "waiting": COUNT,
        "given_up": COUNT,
    }
    told = "How many notices are to be delivered or tried again, and how many were given up."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _findings_check() -> Schema:
    oldest = {"finding": TEXT, "kind": TEXT, "resource": TEXT, "first_seen": MOMENT, "href": TEXT}
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "count": COUNT,
        "complete": {"type": "boolean"},
        "kinds": _each(COUNT),
        "oldest": or_null(all_there("The finding that was seen first.", oldest)),
        "begun_at": or_null(MOMENT),
    }
    told = "What reconciliation found that does not agree between the records and Azure."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _housekeeping_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "began_at": or_null(MOMENT),
        "ended_at": or_null(MOMENT),
        "removed": _each(COUNT),
        "not_cleaned": TEXTS,
        "going_on_since": or_null(MOMENT),
    }
    told = "The last pass that removed what nobody needs any more, and since when another one goes on."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _each(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}
