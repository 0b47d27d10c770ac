"""JSON Schemas (2020-12) of a run's VMs on one time axis. Times are ms since the run began."""

from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers.schema_parts import COUNT, MOMENT, TEXT, Schema, all_there, or_null, ref

_MS: Schema = {"type": "integer"}

_TIMES: dict[str, Schema] = {
    "phases": {"type": "array", "items": ref("PhaseStart")},
    "holds": {"type": "array", "items": ref("FreezeWindow")},
    "snapshots_ms": {"type": "array", "items": _MS},
}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names."""
    return {
        "RunTimeline": _run_timeline(),
        "VmTimeline": _vm_timeline(),
        "Timeline": all_there("The times of a VM.", {"run_created_at": MOMENT, **_TIMES}),
        "PhaseStart": all_there(
            "A phase was entered.", {"phase": {"enum": list(Phase)}, "at_ms": _MS, "generation": COUNT}
        ),
        "FreezeWindow": _freeze_window(),
    }


def _run_timeline() -> Schema:
    return all_there(
        "A page of a run's VMs on one time axis.",
        {
            "run": TEXT,
            "policy": or_null(ref("PolicyName")),
            "requested_by": TEXT,
            "created_at": MOMENT,
            "cancel_requested": {"type": "boolean"},
            "vm_count": COUNT,
            "now": {"description": "The clock of the app.", **MOMENT},
            "groups": {"type": "array", "items": ref("GroupInShort")},
            "items": {"type": "array", "items": ref("VmTimeline")},
            "continuation": or_null(TEXT),
        },
    )


def _vm_timeline() -> Schema:
    problem = all_there(
        "What went wrong, in which phase, and what to do.",
        {"sentence": TEXT, "step": {"enum": list(Phase)}, "what_to_do": TEXT},
    )
    return all_there(
        "The times of a VM. The phase is running where so many go on that each is not looked at.",
        {
            "vm": ref("VmId"),
            "name": TEXT,
            "saga": TEXT,
            "phase": {"enum": [*(each.value for each in Phase), "running"]},
            "outcome": {"enum": [*Outcome, None]},
            "retried": {"description": "The VM was tried again: this try counts no more.", "type": "boolean"},
            "grade": {"enum": [*Grade, None]},
            "freeze_window_ms": or_null(COUNT),
            "warnings": COUNT,
            "why": TEXT,
            "problem": or_null(problem),
            "overdue": {"description": "It should have gone on by now.", "type": "boolean"},
            "deadline_ms": or_null(_MS),
            "ended_ms": or_null(_MS),
            **_TIMES,
        },
    )


def _freeze_window() -> Schema:
    return all_there(
        "A freeze window. Its length is measured by the guest, its place is good to one hop of a queue.",
        {
            "generation": COUNT,
            "start_ms": _MS,
            "end_ms": or_null(_MS),
            "limit_ms": {"description": "When the dead-man lets go, or an anchor's lifetime ends.", **_MS},
            "anchored": {"type": "boolean"},
            "released_by": or_null(TEXT),
        },
    )
