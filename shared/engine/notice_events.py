"""Notices as CloudEvents 1.0 (JSON, structured mode). Pure: the same happening is the same event.

The schemas are in ``shared/triggers/notice_schemas.py``; docs/notifications.md says what they mean.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.engine.views import moment, run_entry, selection_view
from shared.policy.notifications import NoticeKind
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, SagaState
from shared.storage.run_records import RunEntry, RunRecord

#: A notice about a run names this many of the VMs that did not end well; a message has 48 KiB.
PROBLEMS_AT_MOST = 10
#: And this many of its groups, those that share no instant first.
GROUPS_AT_MOST = 5
#: Characters of a sentence in the notice about a run, and of a text in the notice about a VM.
_SENTENCE_CHARS, _TEXT_CHARS = 300, 1_000

Event = dict[str, Any]
GroupView = Mapping[str, Any]

_WORDS: Mapping[NoticeKind, str] = {
    NoticeKind.SUCCESS: "succeeded",
    NoticeKind.WARNING: "warned",
    NoticeKind.FAILURE: "failed",
    NoticeKind.OVERDUE: "overdue",
    NoticeKind.MISSED: "missed",
}

#: Every type of event that there is.
TYPES = (
    *(f"stillframe.{about}.{word}" for about in ("run", "vm") for word in [*_WORDS.values()][:-1]),
    "stillframe.schedule.missed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """A VM whose saga is overdue: in which phase, and since when (ms since the epoch)."""

    entry: RunEntry
    phase: str
    since: int


def kind_of_vm(entry: RunEntry) -> NoticeKind:
    """Say what the end of a VM's saga is to those who are told."""
    if entry.outcome == Outcome.FAILED:
        return NoticeKind.FAILURE
    well = entry.outcome in (Outcome.SUCCEEDED, Outcome.REHEARSED)
    return NoticeKind.SUCCESS if well and not entry.warnings and not entry.problem else NoticeKind.WARNING


def kind_of_run(record: RunRecord, entries: Sequence[RunEntry], groups: Sequence[GroupView]) -> NoticeKind:
    """Say what the end of a run is: what the worst of its VMs came to.

    A run without VMs, one whose selection could not read all, or a group whose VMs share no instant, did less
    than somebody may think it did.
    """
    kinds = {kind_of_vm(entry) for entry in entries}
    unread = record.selection is not None and record.selection.unread
    if not entries or unread or not all(group["one_instant"] for group in groups):
        kinds.add(NoticeKind.WARNING)
    worst = (NoticeKind.FAILURE, NoticeKind.WARNING)
    return next((kind for kind in worst if kind in kinds), NoticeKind.SUCCESS)


def vm_ended(source: str, state: SagaState) -> tuple[NoticeKind, Event]:
    """Tell of the end of one VM's saga."""
    entry, problem = run_entry(state), problem_of(state)
    kind = kind_of_vm(entry)
    told = problem and {
        "sentence": problem.sentence,
        "step": problem.step.value,
        "what_to_do": _cut(problem.what_to_do, _TEXT_CHARS),
        "code": problem.code or None,
    }
    data = _vm(state.spec.run_id, state.spec.policy_name, entry) | {"problem": told}
    ids = ("vm", "ended", state.spec.run_id, entry.saga_id)
    subject = f"runs/{state.spec.run_id}/vms/{entry.saga_id}"
    return kind, _event(source, f"vm.{_WORDS[kind]}", ids, subject, entry.ended_at or 0, data)


def vm_overdue(source: str, record: RunRecord, late: Lateness) -> Event:
    """Tell that one VM's saga goes on although its deadline is over."""
    run_id, saga = record.run_id, late.entry.saga_id
    data = _vm(run_id, record.policy_name, late.entry) | {"overdue": _overdue(run_id, late)}
    return _event(
        source, "vm.overdue", ("vm", "overdue", run_id, saga), f"runs/{run_id}/vms/{saga}", late.since, data
    )


def run_ended(
    source: str, record: RunRecord, entries: Sequence[RunEntry], groups: Sequence[GroupView]
) -> tuple[NoticeKind, Event]:
    """Tell of the end of a run, all of whose VMs have ended; ``groups`` are its groups in short."""
    kind = kind_of_run(record, entries, groups)
    at = max((entry.ended_at or 0 for entry in entries), default=record.created_at)
    data = _run(record, entries, groups, ended_at=at)
    ids = ("run", "ended", record.run_id, str(at))
    return kind, _event(source, f"run.{_WORDS[kind]}", ids, f"runs/{record.run_id}", at, data)


def run_overdue(
    source: str,
    record: RunRecord,
    entries: Sequence[RunEntry],
    late: Lateness,
    groups: Sequence[GroupView],
) -> Event:
    """Tell that a run has a VM whose saga is overdue: the first that was seen."""
    data = _run(record, entries, groups, ended_at=None) | {"overdue": _overdue(record.run_id, late)}
    ids = ("run", "overdue", record.run_id)
    return _event(source, "run.overdue", ids, f"runs/{record.run_id}", late.since, data)


def schedule_missed(source: str, policy: str, schedule: str, due: int, why: str) -> Event:
    """Tell that a policy's schedule had no run at ``due`` (ms since the epoch)."""
    data = {
        "policy": policy,
        "schedule": schedule or None,
        "due": moment(due),
        "why": _cut(why, _TEXT_CHARS),
        "href": f"/api/policies/{policy}",
    }
    ids = ("schedule", "missed", policy, schedule, str(due))
    return _event(source, "schedule.missed", ids, f"policies/{policy}", due, data)


def _event(
    source: str, kind: str, ids: Sequence[str], subject: str, at: int, data: Mapping[str, Any]
) -> Event:
    return {
        "specversion": "1.0",
        "id": hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32],
        "source": source,
        "type": f"stillframe.{kind}",
        "subject": subject,
        "time": moment(at),
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def _vm(run_id: str, policy: str, entry: RunEntry) -> dict[str, Any]:
    return {
        "run": run_id,
        "policy": policy or None,
        "vm": entry.vm_id,
        "name": _name(entry),
        "saga": entry.saga_id,
        "outcome": entry.outcome or None,
        "grade": entry.grade or None,
        "freeze_window_ms": entry.freeze_window_ms,
        "warnings": entry.warnings,
        "why": _cut(entry.reason, _TEXT_CHARS),
        "problem": None,
        "started_at": moment(entry.started_at),
        "ended_at": moment(entry.ended_at),
        "href": _href(run_id, entry),
    }


def _run(
    record: RunRecord, entries: Sequence[RunEntry], groups: Sequence[GroupView], *, ended_at: int | None
) -> dict[str, Any]:
    outcomes = Counter(entry.outcome or "running" for entry in entries)
    unwell = [entry for entry in entries if entry.outcome and kind_of_vm(entry) is not NoticeKind.SUCCESS]
    unwell.sort(key=lambda entry: kind_of_vm(entry) is not NoticeKind.FAILURE)
    worst = sorted(groups, key=lambda group: bool(group["one_instant"]))
    return {
        "run": record.run_id,
        "policy": record.policy_name or None,
        "requested_by": record.requested_by,
        "created_at": moment(record.created_at),
        "ended_at": moment(ended_at),
        "vm_count": record.vm_count,
        "selection": _selection(record),
        "vms": {each: outcomes[each] for each in (*Outcome, "running")},
        "warnings": sum(entry.warnings for entry in entries),
        "groups": [_group(group) for group in worst[:GROUPS_AT_MOST]],
        "groups_left_out": max(0, len(groups) - GROUPS_AT_MOST),
        "problems": [_problem(record.run_id, entry) for entry in unwell[:PROBLEMS_AT_MOST]],
        "problems_left_out": max(0, len(unwell) - PROBLEMS_AT_MOST),
        "href": f"/api/runs/{record.run_id}",
    }


def _selection(record: RunRecord) -> dict[str, Any] | None:
    view = selection_view(record)
    return view and {"state": view["state"], "sentence": _cut(view["sentence"], _TEXT_CHARS)}


def _group(group: GroupView) -> dict[str, Any]:
    return dict(group) | {"sentence": _cut(group["sentence"], _SENTENCE_CHARS)}


def _problem(run_id: str, entry: RunEntry) -> dict[str, Any]:
    return {
        "vm": entry.vm_id,
        "name": _name(entry),
        "outcome": entry.outcome,
        "grade": entry.grade or None,
        "step": entry.step or None,
        "sentence": _cut(entry.problem or entry.reason, _SENTENCE_CHARS),
        "href": _href(run_id, entry),
    }


def _overdue(run_id: str, late: Lateness) -> dict[str, Any]:
    return {
        "vm": late.entry.vm_id,
        "name": _name(late.entry),
        "saga": late.entry.saga_id,
        "phase": late.phase,
        "since": moment(late.since),
        "href": _href(run_id, late.entry),
    }


def _name(entry: RunEntry) -> str:
    return entry.vm_id.rpartition("/")[2]


def _href(run_id: str, entry: RunEntry) -> str:
    return f"/api/runs/{run_id}/vms/{entry.saga_id}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
