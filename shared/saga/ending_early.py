"""A saga that is cancelled, or whose messages cannot be processed, ends wherever it is."""

from dataclasses import replace

from shared.saga.causes import Cause
from shared.saga.copying import ABANDONED, end_copying
from shared.saga.decide import settle
from shared.saga.events import CancelRequested, Poisoned
from shared.saga.phases import Transition, enter_cleaning, enter_done, enter_resuming, kept_ids, look_later
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import left_over, troubled


def on_cancel(state: SagaState, _event: CancelRequested, now: int) -> Transition:
    """End a saga that is cancelled, without its snapshots, unless it is ending already."""
    cancelled = Ending(Outcome.CANCELLED, "cancelled on request")
    return _end_early(state, troubled(state, Cause.CANCELLED), now, cancelled)


def on_poisoned(state: SagaState, event: Poisoned, now: int) -> Transition:
    """End a saga whose message failed again and again; a recovery point that is decided on is kept."""
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
            return Transition(state, ignored="the saga is ending already")
