"""Copies of a recovery point in other regions: which there are to be, whose turn it is, and how they end.

A recovery point is whole without its copies. Whatever becomes of them, its outcome and its grade stay; a copy
that failed is a warning, and the saga's problem says why.
"""

from dataclasses import replace

from shared.saga.causes import Cause
from shared.saga.effects import CopySnapshots
from shared.saga.events import RegionCopiesSeen
from shared.saga.evidence import GuestWarning
from shared.saga.phases import Transition, clean, enter_cleaning, look_later, too_late
from shared.saga.snapshots import copy_of, snapshot_of
from shared.saga.state import Phase, RegionCopy, SagaState
from shared.saga.troubles import troubled
from shared.saga.warnings import warned

#: Why a copy is of no use: it did not reach 100 percent in time. It goes on by itself, and is kept.
LATE = "copy_late"

#: The copy is there and failed, or its source went away: it is deleted.
FAILED = "copy_failed"

#: Nobody could follow it: a message of the saga failed again and again. It goes on by itself, and is kept.
ABANDONED = "copy_abandoned"

#: Our own warning of a copy.
KIND = "copy"


def planned(state: SagaState) -> tuple[RegionCopy, ...]:
    """Give the copies that the recovery point is to have, region after region."""
    settings = state.spec.snapshots
    if state.facts is None or settings.is_restore_point:
        return ()
    return tuple(
        RegionCopy(
            source_id=snapshot_of(state, disk, state.generation),
            snapshot_id=copy_of(state, disk, state.generation, target),
            region=target.region,
        )
        for target in settings.copy_to
        for disk in state.facts.disks
    )


def due(state: SagaState) -> tuple[RegionCopy, ...]:
    """Give the copies that are under way or may begin: of each disk one at a time, which is all Azure does.

    Source: "Copy an incremental snapshot to a new region" (Microsoft Learn).
    """
    first: dict[str, RegionCopy] = {}
    for copy in state.copies:
        if not copy.ended:
            first.setdefault(copy.source_id, copy)
    return tuple(first.values())


def enter_copying(state: SagaState, now: int) -> Transition:
    """Copy the recovery point to the regions that the policy names, or clean up where it names none."""
    copies = planned(state)
    if not copies:
        return enter_cleaning(state, now)
    after = replace(
        state,
        phase=Phase.COPYING,
        deadline=now + state.spec.snapshots.copy_timeout_ms,
        copies=copies,
        pauses=0,
    )
    return Transition(after, (CopySnapshots(due(after)),))


def on_region_copies_seen(state: SagaState, event: RegionCopiesSeen, now: int) -> Transition:
    """Take what was seen of the copies: begin those whose turn it is, or look again, or end."""
    if state.phase is Phase.CLEANING and state.discard:  # cancelled while another invocation began some
        return Transition(state, (clean(state),))
    if state.phase is not Phase.COPYING:
        return too_late(state)
    before = due(state)
    by_id = {copy.snapshot_id: copy for copy in event.copies}
    seen = replace(state, copies=tuple(by_id.get(copy.snapshot_id, copy) for copy in state.copies))
    following = due(seen)
    if not following:
        return end_copying(seen, now)
    if {copy.snapshot_id for copy in following} - {copy.snapshot_id for copy in before}:
        return Transition(replace(seen, pauses=0), (CopySnapshots(following),))
    return look_later(seen, now)


def end_copying(state: SagaState, now: int, unended: str = LATE, why: str = "") -> Transition:
    """Go on to cleaning, where those that failed are deleted; those not ended get the code ``unended``."""
    copies = tuple(copy if copy.ended else _given_up(copy, unended, why) for copy in state.copies)
    told = tuple(
        GuestWarning(KIND, copy.snapshot_id.rpartition("/")[2], copy.error, copy.detail)
        for copy in copies
        if copy.error
    )
    unwanted = tuple(copy.snapshot_id for copy in copies if copy.error == FAILED)
    ended = warned(replace(state, copies=copies, discard=(*state.discard, *unwanted)), told)
    failed = next((copy for copy in copies if copy.error), None)
    if failed is not None and ended.trouble is None:
        ended = troubled(
            ended, Cause.COPY_FAILED, code=failed.error, subject=failed.region, detail=failed.detail
        )
    return enter_cleaning(ended, now)


def _given_up(copy: RegionCopy, error: str, why: str) -> RegionCopy:
    return replace(copy, error=error, detail=why or copy.detail or f"it is at {copy.completion_percent:g} %")
