"""A saga in a group: what it does when a barrier opens, when the group breaks, and when it lets go by itself.

It tells its group the moment it can no longer share the instant (``leaving_group``), so that no other member
is held in vain. ``again`` says that it tries once more, and takes all others with it.
"""

from dataclasses import replace

from shared.saga.barriers import HELD_WAITING, enter_captured, hold_until, in_group
from shared.saga.causes import Cause
from shared.saga.decide import settle
from shared.saga.effects import LeaveGroup
from shared.saga.events import BarrierOpened, GroupBroke
from shared.saga.group import Barrier
from shared.saga.phases import (
    SHORTEST_CAPTURE_MS,
    Transition,
    enter_arming,
    enter_capturing,
    enter_cleaning,
    enter_quiescing,
    enter_resuming,
    first_watch_ms,
    watch_again,
)
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import troubled

#: Phases in which nothing of the guest is held yet.
_BEFORE_THE_HOLD = frozenset({Phase.PENDING, Phase.PREFLIGHT, Phase.ARMING, Phase.ADMITTING, Phase.ARMED})

#: Phases that a saga enters once all is decided.
_DECIDED = frozenset({Phase.COMPLETING, Phase.COPYING, Phase.CLEANING, Phase.DONE})


def on_barrier_opened(state: SagaState, event: BarrierOpened, now: int) -> Transition:
    """Go on together with all others."""
    if state.phase is not Phase(event.barrier):
        return Transition(state, ignored=f"it does not wait for it while {state.phase}")
    match event.barrier:
        case Barrier.ARMED:
            assert state.deadline is not None
            if now >= state.deadline:  # its place may be another's soon
                return let_go(state, now)
            return enter_quiescing(state, now)
        case Barrier.HELD:
            return _all_held(state, now)
        case Barrier.CAPTURED:
            assert state.evidence is not None
            evidence = replace(state.evidence, all_captured_at=now)
            return enter_resuming(replace(state, evidence=evidence), now)
        case Barrier.PROVED:
            return settle(replace(state, standing=replace(state.standing, proved=True)), now)


def _all_held(state: SagaState, now: int) -> Transition:
    until = hold_until(state)
    if until - now < SHORTEST_CAPTURE_MS:
        return let_go(state, now)
    assert state.evidence is not None
    held = replace(state, evidence=replace(state.evidence, all_held_at=now))
    if state.spec.rehearsal:
        return enter_captured(held, now, until)
    capturing = enter_capturing(held, not_before=now, capture_deadline=until)
    # The next look of the wait would only get in the way of the capture's own end.
    return watch_again(capturing.state, now + first_watch_ms(state.spec), *capturing.effects)


def let_go(state: SagaState, now: int) -> Transition:
    """Wait for the group no longer: the budget is nearly spent, or nobody answers. It is out of the group."""
    assert state.spec.group is not None
    group = state.spec.group.name
    if state.phase in HELD_WAITING:
        why = "its freeze budget ran out while it waited for the others of its group"
        late = troubled(state, Cause.GROUP_LATE, code=state.phase, subject=group)
        return enter_resuming(replace(late, ending=Ending(Outcome.FAILED, why)), now)
    why = f"its group did not say in time whether all are {state.phase}"
    return _end(troubled(state, Cause.GROUP_SILENT, code=state.phase, subject=group), now, why)


def on_group_broke(state: SagaState, event: GroupBroke, now: int) -> Transition:
    """Let go of what is held, keep nothing of this generation, and try again where the group does."""
    if not in_group(state) or state.standing.proved or state.phase in _DECIDED:
        return Transition(state, ignored="it is out of the group, or the group is over")
    if event.again and state.standing.fell >= state.generation:  # before the first generation as well
        return Transition(state, ignored="it is known already")
    assert state.spec.group is not None
    why = f"the group {state.spec.group.name} did not share an instant: {event.why}"
    step = state.phase
    broke = troubled(state, Cause.GROUP_BROKE, step=step, subject=state.spec.group.name, detail=event.why)
    if event.again:
        known = replace(broke, standing=replace(state.standing, fell=state.generation))
        if state.ending is None and state.generation < state.spec.guest.attempts:
            return _again(known, now, why)
        return _end(known, now, why)
    return _end(replace(broke, standing=replace(state.standing, out=event.why)), now, why)


def _again(state: SagaState, now: int, why: str) -> Transition:
    if state.phase in _BEFORE_THE_HOLD:
        note = f"generation {state.generation}: {why}"
        return enter_arming(replace(state, notes=(*state.notes, note)), now)
    return _given_up(replace(state, guest_failure=state.guest_failure or why), now)


def _end(state: SagaState, now: int, why: str) -> Transition:
    ending = state.ending or Ending(Outcome.FAILED, why)
    if state.phase in _BEFORE_THE_HOLD:
        return enter_cleaning(state, now, ending)
    return _given_up(replace(state, ending=ending), now)


def _given_up(state: SagaState, now: int) -> Transition:
    """Resume what is held; decide once it goes on and no snapshot request is under way."""
    if state.guest_released and state.capture_ended:
        return settle(state, now)
    if state.guest_released or state.phase is Phase.RESUMING:
        return Transition(state)
    return enter_resuming(state, now)


def leaving_group(before: SagaState, transition: Transition) -> Transition:
    """Tell the group of a member that fell, once, with whatever made it fall."""
    after = transition.state
    if transition.ignored or not in_group(after) or after.standing.proved:
        return transition
    fell = _out(after) or _again_after(before, after)
    if fell is None:
        return transition
    if fell.again:
        standing = replace(after.standing, fell=fell.generation)
    else:
        standing = replace(after.standing, out=fell.why)
    return replace(transition, state=replace(after, standing=standing), effects=(*transition.effects, fell))


def _out(state: SagaState) -> LeaveGroup | None:
    """Say why the saga is no member any more: it ends, or goes on without being held with the others."""
    if state.ending is not None:
        return LeaveGroup(state.generation, state.ending.reason)
    if state.phase in _DECIDED:
        return LeaveGroup(state.generation, "; ".join(state.reasons) or "it ended")
    unheld = state.evidence is not None and state.evidence.quiesced is None
    if state.phase is Phase.CAPTURING and unheld:
        return LeaveGroup(state.generation, state.notes[-1] if state.notes else "its guest is not held")
    return None


def _again_after(before: SagaState, after: SagaState) -> LeaveGroup | None:
    """Say that this generation, or the one before it, failed; nothing where the group knows it already."""
    if after.phase is Phase.ARMING and after.generation > before.generation > after.standing.fell:
        why = after.notes[-1] if after.notes else "it tries again"
        return LeaveGroup(before.generation, why, again=True)
    if after.standing.fell >= after.generation:
        return None
    why = _fallen(after)
    if not why:
        return None
    again = after.generation < after.spec.guest.attempts
    return LeaveGroup(after.generation, why, again=again)


def _fallen(state: SagaState) -> str:
    """Say why the current generation cannot share the instant any more, though its end is not decided."""
    evidence = state.evidence
    if state.guest_failure:
        return state.guest_failure
    if evidence is None or evidence.quiesced is None:
        return ""
    if state.phase is Phase.RESUMING and evidence.all_captured_at is None:
        failed = [capture for capture in evidence.captures if not capture.captured]
        return (
            f"a snapshot failed ({failed[0].error})" if failed else "its snapshots were not seen to succeed"
        )
    if state.phase is Phase.CAPTURING and state.guest_released:
        return "its guest was let go before all had their snapshots"
    return ""
