"""What is heard of a guest that is to hold still, and of the snapshots that are made meanwhile.

The guest says that it holds, that it could not, or that it goes on. Nothing is decided about the snapshots
before it goes on and all of them have ended.
"""

from dataclasses import replace

from shared.saga.barriers import enter_captured, enter_held, hold_until, in_group
from shared.saga.causes import Cause, Proof, Unfit
from shared.saga.decide import PASSING_REASONS, guest_gave_up, settle
from shared.saga.events import CaptureEnded, Quiesced, QuiesceFailed, Resumed
from shared.saga.grouped import let_go
from shared.saga.phases import (
    RESUME_RESERVE_MS,
    SHORTEST_CAPTURE_MS,
    Transition,
    enter_capturing,
    enter_resuming,
    too_late,
)
from shared.saga.requiring import without_what_is_required
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import quiesce_troubled, troubled
from shared.saga.warnings import warned

#: Phases in which a guest is brought to hold still, or held, and nothing is snapshotted yet.
_UNCAPTURED = (Phase.QUIESCING, Phase.HELD)


def on_quiesced(state: SagaState, event: Quiesced, now: int) -> Transition:
    """Go on to the snapshots, or resume at once: a rehearsal does, and a guest that holds too little."""
    if state.phase is not Phase.QUIESCING:
        return too_late(state)  # resume was ordered before it came, and follows it
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


def on_quiesce_failed(state: SagaState, event: QuiesceFailed, now: int) -> Transition:
    """Order a guest to resume that holds something still; give up one that does not."""
    if state.guest_released:
        return too_late(state)
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
        return Transition(state, ignored="resume was ordered already")
    failed = replace(quiesce_troubled(state, event), guest_failure=f"{event.detail} ({event.reason})")
    return enter_resuming(warned(failed, event.warnings), now)


def on_capture_ended(state: SagaState, event: CaptureEnded, now: int) -> Transition:
    """Order the guest to resume, whatever became of the snapshots."""
    if state.capture_ended or state.evidence is None:
        return too_late(state)
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


def on_resumed(state: SagaState, event: Resumed, now: int) -> Transition:
    """Note that the guest goes on, and decide if no snapshot request is under way."""
    if state.guest_released or state.evidence is None:
        return too_late(state)
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


def _settle_when_quiet(state: SagaState, now: int) -> Transition:
    """Decide once the guest goes on and no snapshot request is under way; wait until then."""
    if state.guest_released and state.capture_ended:
        return settle(state, now)
    return Transition(state)
