"""What the passing of time does to a saga: what was lost is repeated, what is overdue is left."""

from dataclasses import replace

from shared.policy.guest_processing import AgentUse
from shared.saga.admitting import admit, not_admitted
from shared.saga.barriers import WAITING, join_again
from shared.saga.causes import Cause
from shared.saga.copying import due, end_copying
from shared.saga.decide import guest_gave_up, settle
from shared.saga.effects import CheckCopies, CopySnapshots, Effect, ReadFacts, SendCommand, Watch
from shared.saga.events import TimePassed
from shared.saga.grouped import let_go
from shared.saga.phases import (
    Transition,
    arm_order,
    clean,
    enter_cleaning,
    enter_preflight,
    enter_resuming,
    first_watch_ms,
    kept_ids,
    quiesce_order,
    resume_order,
    start_agent,
    watch_again,
)
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import troubled


def on_time_passed(state: SagaState, event: TimePassed, now: int) -> Transition:
    """Repeat what a waiting saga owes, or leave a phase whose deadline is over."""
    if state.phase is Phase.PENDING:  # its start was lost; watch 1, sent before it, may be used up
        return _watched(enter_preflight(replace(state, watch_number=1), now), now)
    if event.watch is not None and event.watch != state.watch_number:
        return Transition(state, ignored="another watch stands")
    assert state.deadline is not None
    if state.phase is Phase.ADMITTING:
        return _ask_again(state, now)
    if state.phase in WAITING:
        return join_again(state, now) if now < state.deadline else _watched(let_go(state, now), now)
    if now >= state.deadline:
        return _watched(_overdue(state, now), now)
    at = min(state.deadline, now + first_watch_ms(state.spec))
    if state.phase is Phase.ARMING:
        return _ask_or_start(replace(state, pauses=state.pauses + 1), at)
    return watch_again(state, at, *_repeated(state))


def _ask_again(state: SagaState, now: int) -> Transition:
    """Ask for admission again: the answer holds the guest, or has the saga looked at again."""
    assert state.deadline is not None
    if now >= state.deadline:
        return _watched(not_admitted(state, now), now)
    return Transition(replace(state, pauses=state.pauses + 1), (admit(state, now),))


def _ask_or_start(state: SagaState, at: int) -> Transition:
    """Ask the agent, which may run, and start it by turns; never start one that is to be resident."""
    may_start = state.spec.guest.agent is not AgentUse.RESIDENT
    if may_start and (state.agent_refused or state.pauses % 2 == 0):
        started = start_agent(state)
        return watch_again(started.state, at, *started.effects)
    return watch_again(state, at, SendCommand(arm_order(state)))


def _repeated(state: SagaState) -> tuple[Effect, ...]:
    """Say what a waiting saga does again, in case it or its answer was lost."""
    match state.phase:
        case Phase.PREFLIGHT:
            return (ReadFacts(state.spec.vm_id),)
        case Phase.QUIESCING:
            return (SendCommand(quiesce_order(state)),)
        case Phase.RESUMING if not state.guest_released:
            return (SendCommand(resume_order(state)),)
        case Phase.COMPLETING:
            return (CheckCopies(kept_ids(state)),)
        case Phase.COPYING:
            return (CopySnapshots(due(state)),)
        case Phase.CLEANING:
            return (clean(state),)
        case _:
            return ()


def _overdue(state: SagaState, now: int) -> Transition:
    """Leave a phase whose deadline is over."""
    match state.phase:
        case Phase.PREFLIGHT:
            reason = "the VM could not be read in time"
            unread = state if state.trouble else troubled(state, Cause.VM_UNREADABLE_IN_TIME)
            return enter_cleaning(unread, now, Ending(Outcome.FAILED, reason))
        case Phase.ARMING:
            refused = state.agent_refused and state.trouble  # it was never started: that says more
            silent = state if refused else troubled(state, Cause.AGENT_SILENT)
            return guest_gave_up(silent, now, "the agent did not answer in time", passing=True)
        case Phase.QUIESCING:
            silent = troubled(state, Cause.HOLD_UNCONFIRMED)
            late = replace(silent, guest_failure="the guest did not say in time that it held")
            return enter_resuming(late, now)
        case Phase.CAPTURING:
            # The invocation that captured gave up GRACE_MS ago: nobody is at it any more.
            ended = replace(state, capture_ended=True)
            if ended.guest_released:
                return settle(ended, now)
            return enter_resuming(ended, now)
        case Phase.RESUMING:
            # The dead-man has acted by now; without the guest's word for it the grade falls.
            return settle(replace(state, guest_released=True, capture_ended=True), now)
        case Phase.COMPLETING | Phase.COPYING:
            return _copies_overdue(state, now)
        case _:
            return Transition(state, _repeated(state))


def _copies_overdue(state: SagaState, now: int) -> Transition:
    """Leave the copies as they are: they go on by themselves. Those in other regions cost no outcome."""
    if state.phase is Phase.COPYING:
        return end_copying(state, now)
    reason = "the background copy of the snapshots did not end in time; they are kept"
    copying = troubled(state, Cause.COPIES_LATE, detail=_slowest(state))
    return enter_cleaning(copying, now, Ending(Outcome.FAILED, reason))


def _slowest(state: SagaState) -> str:
    slowest = min(state.recovery_point, key=lambda copy: copy.completion_percent)
    return f"{slowest.snapshot_id.rpartition('/')[2]} is at {slowest.completion_percent:g} %"


def _watched(transition: Transition, now: int) -> Transition:
    """Have the saga looked at again: the watch that brought it here is used up."""
    if any(isinstance(effect, Watch) for effect in transition.effects):
        return transition
    after = transition.state
    again = watch_again(after, now + first_watch_ms(after.spec), *transition.effects)
    return Transition(again.state, again.effects)
