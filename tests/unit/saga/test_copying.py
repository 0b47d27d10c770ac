"""Copies in other regions: one of a disk at a time, and nothing of them costs the recovery point."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.copying import due
from shared.saga.effects import Alert, Clean, CopySnapshots
from shared.saga.events import CancelRequested, Cleaned, Poisoned, RegionCopiesSeen, TimePassed
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, Phase, RegionCopy
from tests.unit.saga.build import DISKS, GROUP, SAGA, Saga, completing, copied, copying, snapshot_of

Change = Callable[[RegionCopy], RegionCopy]


def done(copy: RegionCopy) -> RegionCopy:
    return replace(copy, seen=True, completion_percent=100.0)


def half(copy: RegionCopy) -> RegionCopy:
    return replace(copy, seen=True, completion_percent=50.0)


def failed(copy: RegionCopy) -> RegionCopy:
    return replace(copy, seen=True, error="copy_failed", detail="the source is gone")


def denied(copy: RegionCopy) -> RegionCopy:
    return replace(copy, error="denied", detail="not in that group (AuthorizationFailed)")


def seen(saga: Saga, *changes: Change) -> Saga:
    """Take what is seen of the copies whose turn it is: one change for each of them, or one for all."""
    asked = saga.done(CopySnapshots)[-1].copies
    each = changes * len(asked) if len(changes) == 1 else changes
    copies = tuple(change(copy) for change, copy in zip(each, asked, strict=True))
    return saga.take(RegionCopiesSeen(copies))


def regions(copies: Iterable[RegionCopy]) -> set[str]:
    return {copy.region for copy in copies}


def test_without_regions_a_complete_recovery_point_is_not_copied() -> None:
    saga = completing().take(copied())
    assert (saga.state.phase, saga.state.copies) == (Phase.CLEANING, ())


def test_copying_begins_once_the_snapshots_are_complete() -> None:
    saga = copying()
    assert saga.state.phase is Phase.COPYING
    [effect] = saga.done(CopySnapshots)
    assert [copy.source_id for copy in effect.copies] == [snapshot_of(disk) for disk in DISKS]
    assert regions(effect.copies) == {"northeurope"}


def test_a_copy_is_named_after_its_region_in_the_group_that_the_policy_says() -> None:
    names = {copy.snapshot_id for copy in copying().state.copies if copy.source_id == snapshot_of(DISKS[0])}
    far = GROUP.replace("/app", "/far-away")
    assert names == {
        f"{GROUP}/providers/Microsoft.Compute/snapshots/sf-northeurope-{SAGA}-g1-os",
        f"{far}/providers/Microsoft.Compute/snapshots/sf-swedencentral-{SAGA}-g1-os",
    }


def test_a_disk_is_copied_to_the_next_region_when_it_is_done_with_the_first() -> None:
    saga = seen(copying(), done, half, half)
    assert saga.state.phase is Phase.COPYING
    following = {copy.source_id: copy.region for copy in saga.done(CopySnapshots)[-1].copies}
    assert [following[snapshot_of(disk)] for disk in DISKS] == ["swedencentral", "northeurope", "northeurope"]
    seen(saga, done)
    seen(saga, done)
    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.SUCCEEDED)
    assert all(copy.completion_percent == 100 for copy in saga.state.copies)
    assert len(saga.state.copies) == 6


@given(st.lists(st.sampled_from([done, half, failed, denied]), min_size=3, max_size=3))
def test_of_a_disk_no_two_copies_are_ever_under_way(changes: list[Change]) -> None:
    saga = seen(copying(), *changes)
    under_way = [copy.source_id for copy in due(saga.state)]
    assert len(under_way) == len(set(under_way))
    assert all(not copy.ended for copy in due(saga.state))


@pytest.mark.parametrize("change", [failed, denied])
def test_a_copy_that_fails_costs_neither_outcome_nor_grade_and_says_why(change: Change) -> None:
    saga = seen(copying(), done, change, done)
    seen(saga, done)
    saga.take(Cleaned())

    assert (saga.state.outcome, saga.state.grade) == (Outcome.SUCCEEDED, Grade.APPLICATION)
    assert len(saga.state.recovery_point) == 3
    problem = problem_of(saga.state)
    assert problem is not None
    assert (problem.cause, problem.step) == (Cause.COPY_FAILED, Phase.COPYING)
    assert "were not copied to northeurope" in problem.sentence
    assert problem.sentence.endswith("the recovery point itself is well, and application-consistent.")
    [warning] = saga.state.warnings
    assert (warning.kind, warning.name) == ("copy", f"sf-northeurope-{SAGA}-g1-0")
    assert saga.done(Alert)[-1].warnings == (warning,)


def test_only_a_copy_that_is_there_and_failed_is_deleted() -> None:
    saga = seen(seen(copying(), failed, denied, done), done)
    [clean] = saga.done(Clean)
    assert [name.rpartition("/")[2] for name in clean.discard] == [f"sf-northeurope-{SAGA}-g1-os"]


def test_copies_that_are_late_are_kept_as_they_are() -> None:
    saga = seen(copying(), half).wait_out().take(TimePassed(), after_ms=0).take(Cleaned())
    assert (saga.state.outcome, saga.state.discard) == (Outcome.SUCCEEDED, ())
    assert {copy.error for copy in saga.state.copies} == {"copy_late"}
    assert [copy.seen for copy in saga.state.copies] == [True] * 3 + [False] * 3
    assert {copy.detail for copy in saga.state.copies} == {"it is at 50 %", "it is at 0 %"}


def test_a_watch_looks_at_the_copies_again() -> None:
    saga = seen(copying(), half)
    saga.take(TimePassed(saga.state.watch_number))
    assert saga.done(CopySnapshots)[-1].copies == due(saga.state)
    assert regions(due(saga.state)) == {"northeurope"}


def test_a_message_that_cannot_be_processed_ends_the_copying_and_nothing_else() -> None:
    saga = seen(copying(), half).take(Poisoned("the step message"), Cleaned())
    assert (saga.state.outcome, len(saga.state.recovery_point)) == (Outcome.SUCCEEDED, 3)
    assert {copy.error for copy in saga.state.copies} == {"copy_abandoned"}


def test_cancelling_deletes_the_recovery_point_and_its_copies() -> None:
    saga = seen(copying(), half)
    copies = [copy.snapshot_id for copy in saga.state.copies]
    saga.take(CancelRequested())
    assert (saga.state.outcome, saga.state.recovery_point) == (Outcome.CANCELLED, ())
    assert saga.state.copies == ()
    [clean] = saga.done(Clean)
    assert set(clean.discard) == {*(snapshot_of(disk) for disk in DISKS), *copies}


def test_copies_that_another_invocation_began_meanwhile_are_deleted_too() -> None:
    saga = copying().take(CancelRequested())
    seen(saga, half)
    assert [clean.discard for clean in saga.done(Clean)] == [saga.state.discard] * 2


def test_what_marred_the_recovery_point_itself_is_told_rather_than_its_copy() -> None:
    saga = copying()
    marred = replace(saga.state, outcome=Outcome.DEGRADED)
    saga.state = replace(marred, trouble=completing().wait_out().take(TimePassed()).state.trouble)
    seen(saga, denied)
    seen(saga, denied)
    assert saga.state.trouble is not None
    assert saga.state.trouble.cause is Cause.COPIES_LATE
    assert saga.state.outcome is Outcome.DEGRADED
