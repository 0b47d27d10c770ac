"""The saga's machine: one event, one transition. Pure and total: every event has an answer in every phase."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared.policy.layers import anchored_by_default
from shared.saga.admitting import (
    enter_admitting,
    leaving,
    on_admitted,
    on_must_wait,
    wait_for_disks,
)
from shared.saga.agents import is_too_old, replace_agent
from shared.saga.barriers import enter_armed, enter_captured, enter_held, hold_until, in_group
from shared.saga.causes import Cause, Proof, Unfit
from shared.saga.copying import ABANDONED, end_copying, enter_copying, on_region_copies_seen
from shared.saga.decide import PASSING_REASONS, guest_gave_up, settle, without_guest
from shared.saga.effects import Alert
from shared.saga.errors import IllegalTransitionError
from shared.saga.events import (
    Admitted,
    AgentNotStarted,
    AgentReady,
    BarrierOpened,
    CancelRequested,
    CaptureEnded,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    GroupBroke,
    MustWait,
    Poisoned,
    Quiesced,
    QuiesceFailed,
    RegionCopiesSeen,
    Released,
    Resumed,
    Started,
    TimePassed,
)
from shared.saga.grouped import leaving_group, let_go, on_barrier_opened, on_group_broke
from shared.saga.overdue import on_time_passed
from shared.saga.phases import (
    RESUME_RESERVE_MS,
    SHORTEST_CAPTURE_MS,
    Transition,
    enter_arming,
    enter_capturing,
    enter_cleaning,
    enter_done,
    enter_preflight,
    enter_quiescing,
    enter_resuming,
    kept_ids,
    look_later,
)
from shared.saga.requiring import without_what_is_required
from shared.saga.restore_points import held_by_platform, obstacles_of_restore_point
from shared.saga.script_values import too_large
from shared.saga.snapshots import remarks
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.tags_of_vm import told_of_tags, with_own_tags
from shared.saga.transitions import is_legal
from shared.saga.troubles import left_over, quiesce_troubled, troubled
from shared.saga.warnings import warned

#: Phases in which a guest is brought to hold still, or held, and nothing is snapshotted yet.
_UNCAPTURED = (Phase.QUIESCING, Phase.HELD)

#: Why an event changes nothing, where others want to know.
OVER = "the saga is done"
OTHER_GENERATION = "it belongs to another generation"


def advance(state: SagaState, event: Event, now: int) -> Transition:
    """Say what follows from an event. ``now`` is in ms since the epoch.

    Raises:
        IllegalTransitionError: the machine itself is wrong.
    """
    if state.phase is Phase.DONE:
        return _ignore(state, OVER)
    if getattr(event, "generation", state.generation) != state.generation:
        return _ignore(state, OTHER_GENERATION)
    transition = leaving_group(state, leaving(state, _HANDLERS[type(event)](state, event, now)))
    if not is_legal(state.phase, transition.state.phase):
        raise IllegalTransitionError(state.spec.saga_id, state.phase, transition.state.phase)
    new = transition.state.warnings[len(state.warnings) :]
    return replace(transition, effects=(*transition.effects, Alert(new))) if new else transition


def _ignore(state: SagaState, why: str) -> Transition:
    return Transition(state, ignored=why)


def _too_late(state: SagaState) -> Transition:
    return _ignore(state, f"nothing waits for it while {state.phase}")


def _on_started(state: SagaState, event: Started, now: int) -> Transition:
    if state.phase is not Phase.PENDING:
        return _too_late(state)
    watched = replace(state, watch_receipt=event.watch_receipt, watch_number=1)
    return enter_preflight(watched, now)


def _on_facts_read(state: SagaState, event: FactsRead, now: int) -> Transition:
    if state.phase is not Phase.PREFLIGHT:
        return _too_late(state)
    facts, spec = event.facts, state.spec
    spec, remarks_on_tags = with_own_tags(spec, facts)
    guest = spec.guest
    if not spec.snapshots.is_restore_point:  # there the platform's own VSS is asked
        guest = anchored_by_default(guest, facts.os_type)
    left_out = (disk.sentence for disk in facts.left_out)
    notes = (*state.notes, *left_out, *remarks(spec.snapshots, facts.disks))
    known = replace(state, facts=facts, notes=notes, spec=replace(spec, guest=guest))
    known = told_of_tags(known, remarks_on_tags)
    unable = _unable(known)
    if unable is not None:
        noted, why = unable
        return enter_cleaning(noted, now, Ending(Outcome.FAILED, why))
    if facts.passing_obstacles:
        return wait_for_disks(replace(state, facts=facts), now)
    if not facts.running:
        note = f"the VM was not running (it was {facts.power_state}): there was no guest to hold"
        return without_guest(known, now, Unfit.NOT_RUNNING, note)
    if not guest.enabled:
        return without_guest(known, now, Unfit.DISABLED, "guest processing is off")
    if held_by_platform(known):
        return without_guest(known, now, Unfit.PLATFORM, "Azure's own VSS holds the guest, and no agent")
    problem = too_large(known)
    if problem:
        unfit = troubled(known, Cause.SCRIPT_TOO_LARGE, detail=problem)
        return enter_cleaning(unfit, now, Ending(Outcome.FAILED, problem))
    return enter_arming(known, now)


def _unable(state: SagaState) -> tuple[SagaState, str] | None:
    """Note why there can be no recovery point, and say it; None where nothing is known to stop it."""
    assert state.facts is not None
    if not state.facts.disks and state.facts.left_out:
        return troubled(state, Cause.NOTHING_SELECTED), "no disk of the VM is selected"
    if not state.facts.disks:
        return troubled(state, Cause.NO_DISK), "the VM has no managed disk to snapshot"
    why = "; ".join((*state.facts.obstacles, *obstacles_of_restore_point(state)))
    return (troubled(state, Cause.OBSTACLE, detail=why), why) if why else None


def _on_facts_unavailable(state: SagaState, event: FactsUnavailable, now: int) -> Transition:
    if state.phase is not Phase.PREFLIGHT:
        return _too_late(state)
    assert state.deadline is not None
    detail = f"{event.detail} ({event.code})"
    unread = troubled(state, Cause.VM_UNREADABLE, code=event.cause, detail=detail)
    if event.passing and now < state.deadline:
        return look_later(unread, now)
    return enter_cleaning(unread, now, Ending(Outcome.FAILED, f"the VM could not be read: {detail}"))


def _on_agent_not_started(state: SagaState, event: AgentNotStarted, now: int) -> Transition:
    if state.phase is not Phase.ARMING:
        return _too_late(state)
    detail = f"{event.detail} ({event.code})"
    refused = troubled(state, Cause.AGENT_NOT_STARTED, code=event.cause, detail=detail)
    if event.passing:  # the next watch tries again, until the phase's deadline
        return Transition(replace(refused, agent_refused=True))
    return guest_gave_up(refused, now, f"the agent could not be started: {detail}", passing=False)


def _on_agent_ready(state: SagaState, event: AgentReady, now: int) -> Transition:
    if state.phase is not Phase.ARMING:
        return _too_late(state)
    if not event.dead_man_armed:
        unsafe = troubled(state, Cause.DEAD_MAN_NOT_ARMED)
        return guest_gave_up(unsafe, now, "the guest's dead-man could not be armed", passing=False)
    if is_too_old(event.agent_version):
        return replace_agent(state, event.agent_version, now)
    if state.spec.admission is not None:
        return enter_admitting(state, now)
    return enter_armed(state, now) if in_group(state) else enter_quiescing(state, now)


def _on_quiesced(state: SagaState, event: Quiesced, now: int) -> Transition:
    if state.phase is not Phase.QUIESCING:
        return _too_late(state)  # resume was ordered before it came, and follows it
    assert state.evidence is not None
    evidence = replace(state.evidence, quiesced=event.report, quiesced_at=now)
    held = warned(replace(state, evidence=evidence), event.report.warnings)
    if not event.report.dead_man_armed:
        unsafe = troubled(held, Cause.DEAD_MAN_NOT_ARMED)
        return enter_resuming(replace(unsafe, guest_failure="the guest held without its dead-man"), now)
    budget_left = min(event.report.budget_left_ms, state.spec.guest.longest_hold_ms)
    deadline = min(event.queued_at, now) + budget_left - RESUME_RESERVE_MS
    if deadline - now < SHORTEST_CAPTURE_MS:
        late = troubled(held, Cause.BUDGET_TOO_SHORT, detail=f"{event.report.quiesce_ms} ms")
        why = "too little of the freeze budget was left to snapshot in"
        return enter_resuming(replace(late, guest_failure=why), now)
    short = without_what_is_required(held)
    if short is not None:
        return enter_resuming(short, now)
    if in_group(state):
        return _held_in_group(held, now, deadline)
    if state.spec.rehearsal:
        return enter_resuming(held, now)
    return enter_capturing(held, not_before=min(event.queued_at, now), capture_deadline=deadline)


def _held_in_group(state: SagaState, now: int, until: int) -> Transition:
    """Wait for the others; what an anchor holds has its instant behind it, and cannot share another."""
    assert state.evidence is not None
    assert state.evidence.quiesced is not None
    if not state.evidence.quiesced.anchored:
        return enter_held(state, now, until)
    why = "the instant of an anchor cannot be shared with others"
    unfit = troubled(state, Cause.GROUP_UNFIT, code=Unfit.ANCHORED, detail=why)
    return enter_resuming(replace(unfit, ending=Ending(Outcome.FAILED, why)), now)


def _on_quiesce_failed(state: SagaState, event: QuiesceFailed, now: int) -> Transition:
    if state.guest_released:
        return _too_late(state)
    if not event.released:
        return _still_held(state, event, now)
    released = warned(replace(state, guest_released=True), event.warnings)
    if event.post_script is not None and event.post_script.failed:
        note = f"generation {state.generation}: the post-script {event.post_script.path} failed after it"
        released = replace(released, notes=(*released.notes, note))
    if state.phase in _UNCAPTURED or (state.guest_failure and state.ending is None):
        reason, released = f"{event.detail} ({event.reason})", quiesce_troubled(released, event)
        script_failed = event.script is not None and event.script.failed
        passing = event.reason in PASSING_REASONS and not script_failed
        return guest_gave_up(released, now, reason, passing=passing)
    return _settle_when_quiet(released, now)


def _still_held(state: SagaState, event: QuiesceFailed, now: int) -> Transition:
    """Order a guest to resume that failed to quiesce and to let go; its dead-man goes on trying."""
    if state.phase not in _UNCAPTURED:
        return _ignore(state, "resume was ordered already")
    failed = replace(quiesce_troubled(state, event), guest_failure=f"{event.detail} ({event.reason})")
    return enter_resuming(warned(failed, event.warnings), now)


def _on_capture_ended(state: SagaState, event: CaptureEnded, now: int) -> Transition:
    if state.capture_ended or state.evidence is None:
        return _too_late(state)
    whole = all(capture.captured for capture in event.captures)
    in_time = state.phase is Phase.CAPTURING
    evidence = replace(
        state.evidence,
        captures=event.captures,
        restore_point=event.restore_point,
        captured_at=now if whole and in_time else None,
    )
    ended = replace(state, capture_ended=True, evidence=evidence)
    if in_time and not state.guest_released:
        if whole and in_group(state):
            return _captured_in_group(ended, now)
        return enter_resuming(ended, now)
    return _settle_when_quiet(ended, now)


def _captured_in_group(state: SagaState, now: int) -> Transition:
    """Wait for the others' snapshots, if there is time left to."""
    until = hold_until(state)
    if now >= until:
        return let_go(replace(state, phase=Phase.CAPTURED), now)
    return enter_captured(state, now, until)


def _on_resumed(state: SagaState, event: Resumed, now: int) -> Transition:
    if state.guest_released or state.evidence is None:
        return _too_late(state)
    evidence = replace(state.evidence, resumed=event.report, resumed_at=now)
    released = warned(replace(state, guest_released=True, evidence=evidence), event.report.warnings)
    script = event.report.script
    if script is not None and script.failed:
        code = "without an exit code" if script.exit_code is None else f"with {script.exit_code}"
        ended = "ran out of time" if script.timed_out else f"ended {code}"
        note = f"generation {state.generation}: the post-script {script.path} {ended}"
        released = replace(released, notes=(*released.notes, note))
    if state.phase in _UNCAPTURED:
        return _released_early(released, event.report.released_by, now)
    return _settle_when_quiet(released, now)


def _released_early(state: SagaState, by: str, now: int) -> Transition:
    """Give up a generation that nothing was snapshotted of: its guest goes on without an order."""
    if state.phase is Phase.QUIESCING:
        early = troubled(state, Cause.RELEASED_EARLY, code=by)
        return guest_gave_up(early, now, f"it was released by {by} before it said that it held", passing=True)
    why = f"it was released by {by} while it waited for the others of its group"
    code = by if by in set(Proof) else Proof.INCOMPLETE
    early = troubled(state, Cause.NOT_PROVED, code=code, detail=why)
    return guest_gave_up(early, now, why, passing=True)


def _on_released(state: SagaState, _event: Released, _now: int) -> Transition:
    return _ignore(state, "the session is over")


def _on_copies_seen(state: SagaState, event: CopiesSeen, now: int) -> Transition:
    if state.phase is not Phase.COMPLETING:
        return _too_late(state)
    if event.lost:
        names = ", ".join(snapshot.rpartition("/")[2] for snapshot in event.lost)
        reason = f"snapshots were lost while they were copied: {names}"
        kept = replace(state, recovery_point=(), discard=(*state.discard, *kept_ids(state)))
        lost = troubled(kept, Cause.COPIES_LOST, detail=names)
        return enter_cleaning(lost, now, Ending(Outcome.FAILED, reason))
    by_id = {copy.snapshot_id: copy for copy in event.copies}
    recovery_point = tuple(by_id.get(known.snapshot_id, known) for known in state.recovery_point)
    seen = replace(state, recovery_point=recovery_point)
    if all(copy.completion_percent >= 100 for copy in recovery_point):
        return enter_copying(seen, now)
    return look_later(seen, now)


def _on_cleaned(state: SagaState, event: Cleaned, now: int) -> Transition:
    if state.phase is not Phase.CLEANING:
        return _too_late(state)
    assert state.deadline is not None
    if not event.problems:
        return enter_done(state, now)
    if now >= state.deadline:
        noted = replace(state, notes=(*state.notes, *event.problems))
        return enter_done(left_over(noted, event.problems), now)
    return look_later(state, now)


def _on_cancel(state: SagaState, _event: CancelRequested, now: int) -> Transition:
    cancelled = Ending(Outcome.CANCELLED, "cancelled on request")
    return _end_early(state, troubled(state, Cause.CANCELLED), now, cancelled)


def _on_poisoned(state: SagaState, event: Poisoned, now: int) -> Transition:
    reason = f"a message could not be processed: {event.detail}"
    poisoned = troubled(state, Cause.POISONED, detail=event.detail)
    if state.phase is Phase.COMPLETING:
        return enter_cleaning(poisoned, now, Ending(Outcome.FAILED, f"{reason}; the snapshots are kept"))
    if state.phase is Phase.COPYING:
        return end_copying(state, now, ABANDONED, reason)
    if state.phase is not Phase.CLEANING:
        return _end_early(state, poisoned, now, Ending(Outcome.FAILED, reason))
    assert state.deadline is not None
    noted = state if reason in state.notes else replace(state, notes=(*state.notes, reason))
    if now >= state.deadline:
        return enter_done(left_over(noted, (reason,)), now)
    return look_later(noted, now)  # it may have been the watch, or have nothing to do with the cleaning


def _end_early(state: SagaState, noted: SagaState, now: int, ending: Ending) -> Transition:
    """End a saga wherever it is: the guest resumes first. ``noted`` is the saga, its trouble noted."""
    match state.phase:
        case Phase.PENDING | Phase.PREFLIGHT | Phase.ARMING | Phase.ADMITTING | Phase.ARMED:
            return enter_cleaning(noted, now, ending)
        case Phase.QUIESCING | Phase.HELD | Phase.CAPTURED:
            return enter_resuming(replace(noted, ending=ending), now)
        case Phase.CAPTURING if not state.guest_released:
            return enter_resuming(replace(noted, ending=ending), now)
        case Phase.CAPTURING | Phase.RESUMING if state.ending is None:
            return Transition(replace(noted, ending=ending))
        case Phase.PROVED:
            return settle(replace(noted, ending=ending), now)
        case Phase.COMPLETING | Phase.COPYING:
            discard = (*state.discard, *kept_ids(state), *(copy.snapshot_id for copy in state.copies))
            unwanted = replace(noted, recovery_point=(), copies=(), discard=discard)
            return enter_cleaning(unwanted, now, ending)
        case _:
            return _ignore(state, "the saga is ending already")


def _settle_when_quiet(state: SagaState, now: int) -> Transition:
    """Decide once the guest goes on and no snapshot request is under way; wait until then."""
    if state.guest_released and state.capture_ended:
        return settle(state, now)
    return Transition(state)


_HANDLERS: Mapping[type, Callable[[SagaState, Any, int], Transition]] = {
    Started: _on_started,
    FactsRead: _on_facts_read,
    FactsUnavailable: _on_facts_unavailable,
    AgentNotStarted: _on_agent_not_started,
    AgentReady: _on_agent_ready,
    Admitted: on_admitted,
    MustWait: on_must_wait,
    Quiesced: _on_quiesced,
    QuiesceFailed: _on_quiesce_failed,
    CaptureEnded: _on_capture_ended,
    Resumed: _on_resumed,
    Released: _on_released,
    BarrierOpened: on_barrier_opened,
    GroupBroke: on_group_broke,
    CopiesSeen: _on_copies_seen,
    RegionCopiesSeen: on_region_copies_seen,
    Cleaned: _on_cleaned,
    TimePassed: on_time_passed,
    CancelRequested: _on_cancel,
    Poisoned: _on_poisoned,
}
