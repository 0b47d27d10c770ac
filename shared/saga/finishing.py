"""After the guest: the background copies of the snapshots, and cleaning up."""

from dataclasses import replace

from shared.saga.causes import Cause
from shared.saga.copying import enter_copying
from shared.saga.events import Cleaned, CopiesSeen
from shared.saga.phases import Transition, enter_cleaning, enter_done, kept_ids, look_later, too_late
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import left_over, troubled


def on_copies_seen(state: SagaState, event: CopiesSeen, now: int) -> Transition:
    """Go on once every background copy is whole; a lost snapshot costs the recovery point."""
    if state.phase is not Phase.COMPLETING:
        return too_late(state)
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


def on_cleaned(state: SagaState, event: Cleaned, now: int) -> Transition:
    """End once nothing is left over; what is left over at the phase's deadline is noted."""
    if state.phase is not Phase.CLEANING:
        return too_late(state)
    assert state.deadline is not None
    if not event.problems:
        return enter_done(state, now)
    if now >= state.deadline:
        noted = replace(state, notes=(*state.notes, *event.problems))
        return enter_done(left_over(noted, event.problems), now)
    return look_later(state, now)
