"""Disks that are not in the recovery point: said in notes and reasons, and no evidence is about them."""

from dataclasses import replace

from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.effects import Capture, TakeRestorePoint
from shared.saga.events import CaptureEnded, Cleaned, CopiesSeen, FactsRead, Started
from shared.saga.facts import LeftOut, VmFacts
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import DISKS, Saga, captured, disk, facts, quiesced, ready, resumed

SWAP = disk(1)
OUT = LeftOut(disk_id=SWAP.disk_id, name=SWAP.name, lun=1, why="disks.exclude names it")
TOLD = "the disk at LUN 1, db-1-data-1, is not in the recovery point (disks.exclude names it)"


def without_swap() -> VmFacts:
    return replace(facts(disks=DISKS[:2]), left_out=(OUT,))


def without_its_capture(event: CaptureEnded) -> CaptureEnded:
    return replace(event, captures=event.captures[:2])


def test_a_recovery_point_without_a_disk_says_so_beside_its_grade() -> None:
    saga = Saga().take(Started(), FactsRead(without_swap()), ready())
    saga.take(quiesced(at=saga.now))
    [capture] = saga.done(Capture)
    assert [each.name for each in capture.disks] == ["db-1-os", "db-1-data-0"]
    saga.take(without_its_capture(captured(at=saga.now)), resumed())

    assert (saga.state.phase, saga.state.grade) == (Phase.COMPLETING, Grade.APPLICATION)
    assert TOLD in saga.state.notes
    assert TOLD in saga.state.reasons
    assert saga.state.evidence is not None
    assert SWAP.disk_id not in saga.state.evidence.disks


def test_a_system_disk_that_is_left_out_is_called_so() -> None:
    assert replace(OUT, lun=None, name="db-1-os").sentence.startswith("the disk of the system, db-1-os,")


def test_a_policy_that_selects_nothing_fails_and_says_which_member_to_change() -> None:
    saga = Saga().take(Started(), FactsRead(replace(facts(disks=()), left_out=(OUT,))), Cleaned())

    assert saga.state.outcome is Outcome.FAILED
    assert not saga.done(Capture)
    assert not saga.done(TakeRestorePoint)
    problem = problem_of(saga.state)
    assert problem is not None
    assert problem.cause is Cause.NOTHING_SELECTED
    assert "`disks`" in problem.what_to_do
    assert TOLD in saga.state.reasons


def test_a_saga_that_ends_well_keeps_the_sentence() -> None:
    saga = Saga().take(Started(), FactsRead(without_swap()), ready())
    saga.take(quiesced(at=saga.now))
    saga.take(without_its_capture(captured(at=saga.now)), resumed())
    copies = tuple(SnapshotCopy(copy.snapshot_id, 100.0) for copy in saga.state.recovery_point)
    saga.take(CopiesSeen(copies), Cleaned())
    assert (saga.state.outcome, problem_of(saga.state)) == (Outcome.SUCCEEDED, None)
    assert TOLD in saga.state.reasons
