"""A run and the VMs of its index as rows, and back."""

import json
from dataclasses import replace
from typing import Any

from shared.saga.codec import decode, encode
from shared.saga.timeline import Timeline
from shared.storage.rows import int64, key, pack, require_known, unpack, whole
from shared.storage.run_records import RunEntry, RunRecord, RunSelection
from shared.storage.upcasts import Form, members_of

#: The row of a run, and what the names of its VMs' rows begin with.
RUN, VM = "run", "vm"
#: Sentences are kept up to this length.
REASON_CHARS = 8_000
#: A column holds 32,768 characters. A longer timeline is not kept: it follows from the saga's history.
_TIMELINE_CHARS = 30_000


def run_row(record: RunRecord) -> dict[str, Any]:
    """The row of a run."""
    data = {
        "run_id": record.run_id,
        "created_at": record.created_at,
        "policy_name": record.policy_name,
        "requested_by": record.requested_by,
        "vm_count": record.vm_count,
        "settings": record.settings,
    }
    if record.selection is None:
        return pack(record.run_id, RUN, data, Form.RUN, cancel_requested=record.cancel_requested)
    return pack(
        record.run_id,
        RUN,
        data,
        Form.RUN,
        cancel_requested=record.cancel_requested,
        selected=record.selection.done,
        select_at=int64(record.selection.looked_at),
        select_excluded=record.selection.excluded,
        select_count=record.vm_count,
    )


def run_of(row: dict[str, Any]) -> RunRecord:
    """Read the row of a run."""
    record = RunRecord(
        **members_of(RunRecord, unpack(row, Form.RUN)), cancel_requested=row["cancel_requested"]
    )
    if "selected" not in row:
        return record
    selection = RunSelection(
        done=row["selected"],
        looked_at=whole(row["select_at"]),
        excluded=whole(row["select_excluded"]),
    )
    return replace(record, selection=selection, vm_count=whole(row["select_count"]))


def entry_row(run_id: str, entry: RunEntry, *, brief: bool = False) -> dict[str, Any]:
    """An index row in columns. ``brief`` leaves out what says nothing yet, lest a merge erase it."""
    numbers = {
        "freeze_window_ms": entry.freeze_window_ms,
        "warnings": entry.warnings or None,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "place": entry.place or None,
        "priority": entry.priority or None,
        "try": entry.try_number if entry.try_number > 1 else None,
    }
    texts = {
        "outcome": entry.outcome,
        "grade": entry.grade,
        "reason": entry.reason[:REASON_CHARS],
        "problem": entry.problem[:REASON_CHARS],
        "step": entry.step,
        "what_to_do": entry.what_to_do[:REASON_CHARS],
    }
    kept = {"selected_by": entry.selected_by, "group": entry.group}  # never erased by an end
    selected = {name: text for name, text in kept.items() if text}
    return {
        "PartitionKey": run_id,
        "RowKey": key(VM, entry.saga_id),
        "vm_id": entry.vm_id,
        **selected,
        **{name: int64(number) for name, number in numbers.items() if number is not None},
        **{name: text for name, text in texts.items() if text or not brief},
        **_timeline_column(entry.timeline),
        **({"retried": True} if entry.retried else {}),
    }


def entry_of(row: dict[str, Any]) -> RunEntry:
    """Read an index row."""
    require_known(row, Form.RUN_ENTRY)
    numbers = ("freeze_window_ms", "started_at", "ended_at")
    return RunEntry(
        saga_id=row["RowKey"].removeprefix(f"{VM}-"),
        vm_id=row["vm_id"],
        outcome=row.get("outcome", ""),
        grade=row.get("grade", ""),
        reason=row.get("reason", ""),
        problem=row.get("problem", ""),
        step=row.get("step", ""),
        what_to_do=row.get("what_to_do", ""),
        warnings=whole(row.get("warnings", 0)),
        timeline=decode(Timeline, json.loads(row["timeline"])) if "timeline" in row else None,
        place=whole(row.get("place", 0)),
        priority=whole(row.get("priority", 0)),
        try_number=whole(row.get("try", 1)),
        retried=row.get("retried", False),
        selected_by=row.get("selected_by", ""),
        group=row.get("group", ""),
        **{name: whole(row[name]) if name in row else None for name in numbers},
    )


def _timeline_column(timeline: Timeline | None) -> dict[str, str]:
    text = json.dumps(encode(timeline), separators=(",", ":")) if timeline else ""
    return {"timeline": text} if 0 < len(text) <= _TIMELINE_CHARS else {}
