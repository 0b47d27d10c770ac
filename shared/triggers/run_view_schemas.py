"""JSON Schemas (2020-12) of what is shown of runs and rehearsals. Later versions may add members."""

from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers.problem_schemas import SENTENCE
from shared.triggers.schema_parts import COUNT, HREF, MOMENT, TEXT, TEXTS, Schema, all_there, or_null, ref

_REQUESTED_BY: Schema = {"enum": ["http", "schedule", "retry"]}


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
        "problem": or_null(all_there("What went wrong, and in which phase.", SENTENCE)),
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
