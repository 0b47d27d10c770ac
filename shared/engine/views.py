"""Sagas and runs as their users see them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.engine.run_settings import is_rehearsal
from shared.policy.guest_processing import GuestProcessing
from shared.saga.codec import encode
from shared.saga.consistency import Grade
from shared.saga.evidence import NotHeld
from shared.saga.history import HistoryEntry
from shared.saga.problems import Problem, problem_of
from shared.saga.rehearsing import Rehearsed, best_verdict, left_for_snapshots_ms, what_was_held
from shared.saga.state import Outcome, Phase, SagaState, SagaWarning
from shared.storage.run_records import RunEntry, RunRecord

#: In the place of what is not shown.
HIDDEN = "(not shown)"


def run_entry(state: SagaState) -> RunEntry:
    """Give the row of the run's index that says how a saga ended."""
    assert state.outcome is not None
    problem = problem_of(state)
    return RunEntry(
        saga_id=state.spec.saga_id,
        vm_id=state.spec.vm_id,
        outcome=state.outcome.value,
        grade=state.grade.value if state.grade else "",
        freeze_window_ms=state.evidence.freeze_window_ms if state.evidence else None,
        reason="; ".join(state.reasons),
        problem=problem.sentence if problem else "",
        step=problem.step.value if problem else "",
        what_to_do=problem.what_to_do if problem else "",
        warnings=len(state.warnings),
        started_at=state.started_at,
        ended_at=state.ended_at,
        try_number=state.spec.try_number,
    )


def run_view(record: RunRecord, entries: Sequence[RunEntry], phases: dict[str, str]) -> dict[str, Any]:
    """Show a run; ``phases`` has the phase of each saga that goes on."""
    latest = [entry for entry in entries if not entry.retried]
    ended = sum(1 for entry in latest if entry.outcome)
    whole = len(latest) >= record.vm_count and ended == len(latest)
    return {
        "run": record.run_id,
        "state": "selecting" if record.selecting else "ended" if whole else "running",
        "policy": record.policy_name or None,
        "rehearsal": is_rehearsal(record),
        "schedule": record.settings.get("schedule") or None,
        "selection": selection_view(record),
        "requested_by": record.requested_by,
        "created_at": moment(record.created_at),
        "cancel_requested": record.cancel_requested,
        "vm_count": record.vm_count,
        "vms_ended": ended,
        "warnings": sum(entry.warnings for entry in latest),
        "vms": [_entry_view(record.run_id, entry, phases, _earlier(entry, entries)) for entry in latest],
    }


def selection_view(record: RunRecord) -> dict[str, Any] | None:
    """Show how a run's VMs were selected; None where they were named one by one."""
    selection = record.selection
    if selection is None:
        return None
    if not selection.done:
        state, sentence = "selecting", "Azure is being asked which VMs these are."
    elif selection.unread:
        state = "partial"
        sentence = "Not all could be read in Azure: VMs that the policy is for may be missing from this run."
    elif record.vm_count:
        state, sentence = "complete", f"{record.vm_count} VMs were selected."
    else:
        state, sentence = "empty", "No VM was selected: nothing was done."
    return {
        "state": state,
        "sentence": sentence,
        "excluded": selection.excluded,
        "unread": [{"scope": each.scope, "code": each.code, "why": each.detail} for each in selection.unread],
    }


def _earlier(entry: RunEntry, entries: Sequence[RunEntry]) -> Sequence[RunEntry]:
    """Give the earlier tries of a VM, the first one first."""
    if entry.try_number == 1:
        return ()
    mine = [one for one in entries if one.retried and one.vm_id == entry.vm_id]
    return sorted(mine, key=lambda one: one.try_number)


def _entry_view(
    run_id: str, entry: RunEntry, phases: dict[str, str], earlier: Sequence[RunEntry]
) -> dict[str, Any]:
    return {
        "vm": entry.vm_id,
        "name": entry.vm_id.rpartition("/")[2],
        "saga": entry.saga_id,
        "href": f"/api/runs/{run_id}/vms/{entry.saga_id}",
        "phase": "done" if entry.outcome else phases.get(entry.saga_id, "pending"),
        "outcome": entry.outcome or None,
        "grade": entry.grade or None,
        "freeze_window_ms": entry.freeze_window_ms,
        "warnings": entry.warnings,
        "selected_by": entry.selected_by or None,
        "group": entry.group or None,
        "why": entry.reason,
        "problem": {"sentence": entry.problem, "step": entry.step} if entry.problem else None,
        "ended_at": moment(entry.ended_at),
        "try": entry.try_number,
        "earlier_tries": [
            {
                "saga": one.saga_id,
                "href": f"/api/runs/{run_id}/vms/{one.saga_id}",
                "why": one.reason,
                "ended_at": moment(one.ended_at),
            }
            for one in earlier
        ],
    }


def pending_view(run_id: str, entry: RunEntry) -> dict[str, Any]:
    """Show a saga that has not begun."""
    return {"run": run_id, "vm": entry.vm_id, "saga": entry.saga_id, "phase": "pending", "history": []}


def saga_view(state: SagaState, history: Sequence[HistoryEntry]) -> dict[str, Any]:
    """Show a saga: its state, what its grade rests on, and what happened to it."""
    evidence = state.evidence
    return {
        "run": state.spec.run_id,
        "vm": state.spec.vm_id,
        "saga": state.spec.saga_id,
        "phase": state.phase.value,
        "try": state.spec.try_number,
        "generation": state.generation,
        # What the outcome will be is known before the copies are: only the end makes it true.
        "outcome": state.outcome.value if state.outcome and state.phase is Phase.DONE else None,
        "grade": state.grade.value if state.grade else None,
        "problem": problem_view(problem_of(state)),
        "reasons": list(state.reasons),
        "notes": list(state.notes),
        "warnings": [_plain(warning) for warning in state.warnings],
        "freeze_window_ms": evidence.freeze_window_ms if evidence else None,
        "started_at": moment(state.started_at),
        "ended_at": moment(state.ended_at),
        "deadline": moment(state.deadline),
        "guest_processing": _guest_view(state.spec.guest),
        "rehearsal": rehearsal_view(state),
        "recovery_point": [
            {_kind(state): copy.snapshot_id, "completion_percent": copy.completion_percent}
            for copy in state.recovery_point
        ],
        "copies": [
            {
                "snapshot": copy.snapshot_id,
                "source": copy.source_id,
                "region": copy.region,
                "completion_percent": copy.completion_percent,
                "error": copy.error or None,
                "detail": copy.detail,
            }
            for copy in state.copies
        ],
        "left_out": [
            {"disk": disk.disk_id or None, "name": disk.name, "lun": disk.lun, "why": disk.why}
            for disk in (state.facts.left_out if state.facts else ())
        ],
        "discarded": list(state.discard),
        "evidence": encode(evidence) if evidence else None,
        "evidence_sha256": evidence.digest() if evidence else None,
        "history": [_history_view(entry) for entry in history],
    }


def rehearsal_view(state: SagaState) -> dict[str, Any] | None:
    """Show how a rehearsal held its VM, as far as it is known; None of what is none."""
    if not state.spec.rehearsal:
        return None
    evidence = state.evidence
    quiesced, resumed = (evidence.quiesced, evidence.resumed) if evidence else (None, None)
    verdict = best_verdict(state) if state.phase is Phase.DONE and resumed else None
    nothing_held = state.outcome is Outcome.REHEARSED and evidence is None
    best = verdict.grade if verdict else Grade.CRASH if nothing_held else None
    return {
        "best_grade": best.value if best else None,
        "because": list(verdict.reasons) if verdict else list(state.reasons),
        "quiesce_ms": quiesced.quiesce_ms if quiesced else None,
        "held_ms": resumed.window_ms if resumed else None,
        "freeze_budget_ms": state.spec.guest.longest_hold_ms,
        "left_for_snapshots_ms": left_for_snapshots_ms(evidence) if evidence else None,
        "post_script_ms": resumed.script.duration_ms if resumed and resumed.script else None,
        "things": [_plain(thing) for thing in what_was_held(evidence)] if evidence else [],
        "not_held": [_plain(thing) for thing in quiesced.not_held] if quiesced else [],
    }


def _guest_view(guest: GuestProcessing) -> dict[str, Any]:
    """Show the settings that apply, without what scripts may hold secret: text and values."""
    shown: dict[str, Any] = encode(guest)
    for name in ("pre_script", "post_script"):
        script = shown[name]
        if script is not None:
            script["environment"] = [[variable, HIDDEN] for variable, _ in script["environment"]]
            script["content"] = HIDDEN if script["content"] else ""
    return shown


def problem_view(problem: Problem | None) -> dict[str, Any] | None:
    """Show what went wrong and what to do; None when all is well."""
    if problem is None:
        return None
    return {
        "sentence": problem.sentence,
        "step": problem.step.value,
        "what_to_do": problem.what_to_do,
        "generation": problem.generation,
        "cause": problem.cause.value,
        "code": problem.code or None,
        "see": "docs/when-it-goes-wrong.md",
    }


def _kind(state: SagaState) -> str:
    return "restore_point" if state.spec.snapshots.is_restore_point else "snapshot"


def _plain(record: SagaWarning | Rehearsed | NotHeld) -> dict[str, Any]:
    return {name: value for name, value in encode(record).items() if name != "type"}


def _history_view(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": moment(entry.at),
        "event": entry.event,
        "from": entry.from_phase,
        "to": entry.to_phase,
        "generation": entry.generation,
        "effects": list(entry.effects),
        # The receipt of a message is for the app alone.
        "detail": {name: value for name, value in entry.detail.items() if name != "watch_receipt"},
    }


def moment(at: int | None) -> str | None:
    """Write a time (ms since the epoch) as RFC 3339, UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
