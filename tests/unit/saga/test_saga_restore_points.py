"""Sagas whose recovery point is a VM restore point: who holds, what is asked for, whose word counts."""

from dataclasses import replace
from typing import Any

import pytest

from shared.policy.guest_processing import (
    Anchor,
    AnchorProvider,
    Filesystems,
    GuestProcessing,
    Handler,
    HandlerName,
    OnGuestFailure,
)
from shared.policy.snapshots import RecoveryPointKind
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.effects import Alert, Capture, CheckCopies, Clean, StartAgent, TakeRestorePoint
from shared.saga.events import CaptureEnded, Cleaned, CopiesSeen, FactsRead, Started
from shared.saga.evidence import Held, HeldUntil, RestorePointReport
from shared.saga.names import collection_name, restore_point_id
from shared.saga.problems import problem_of
from shared.saga.restore_points import asked_consistency
from shared.saga.state import Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import (
    DISKS,
    PRE,
    SAGA,
    VM,
    Saga,
    capture_of,
    facts,
    guest,
    quiesce_failed,
    quiesce_report,
    quiesced,
    ready,
    resumed,
)

POINT = restore_point_id(VM, None, SAGA, 1)
CRASH, APPLICATION, FILESYSTEM = "CrashConsistent", "ApplicationConsistent", "FileSystemConsistent"


def taken(saga: Saga, reached: str, *, error: str = "") -> CaptureEnded:
    effect = saga.done(TakeRestorePoint)[-1]
    captures = tuple(capture_of(item, at=saga.now, error=error) for item in DISKS)
    report = RestorePointReport(point_id=effect.point_id, asked=effect.consistency, reached=reached)
    return CaptureEnded(effect.generation, captures, report)


def begun(
    processing: GuestProcessing,
    *,
    os_type: str = "Linux",
    power_state: str = "running",
    obstacles: dict[str, tuple[str, ...]] | None = None,
) -> Saga:
    known = facts(os_type=os_type, power_state=power_state)
    if obstacles:
        known = replace(known, **obstacles)  # type: ignore[arg-type]
    return Saga(processing, RecoveryPointKind.RESTORE_POINT).take(Started("1"), FactsRead(known))


def ended(saga: Saga) -> Saga:
    copies = tuple(SnapshotCopy(copy.snapshot_id, 100.0) for copy in saga.state.recovery_point)
    return saga.take(CopiesSeen(copies), Cleaned()) if copies else saga.take(Cleaned())


def windows(on_guest_failure: OnGuestFailure = OnGuestFailure.FAIL) -> Saga:
    return begun(guest(scripts=False, on_guest_failure=on_guest_failure), os_type="Windows")


# --- left to the platform -------------------------------------------------------------------------------


def test_on_windows_the_platform_holds_without_any_agent() -> None:
    saga = windows()

    [effect] = saga.done(TakeRestorePoint)
    assert (effect.point_id, effect.consistency) == (POINT, "")
    assert not saga.done(StartAgent)
    assert not saga.done(Capture)

    ended(saga.take(taken(saga, APPLICATION)))
    assert (saga.state.grade, saga.state.outcome) == (Grade.APPLICATION, Outcome.SUCCEEDED)
    assert any("Azure was asked for its best and says" in reason for reason in saga.state.reasons)
    assert [copy.snapshot_id for copy in saga.state.recovery_point] == [POINT]
    assert saga.done(CheckCopies)[0].snapshot_ids == (POINT,)


@pytest.mark.parametrize("reached", [FILESYSTEM, CRASH, "", "SomethingNew"])
def test_a_lower_consistency_than_asked_for_is_a_failure_of_a_strict_policy(reached: str) -> None:
    saga = windows()
    saga.take(taken(saga, reached))

    assert (saga.state.outcome, saga.state.grade) == (Outcome.FAILED, None)
    assert saga.done(Clean)[-1].discard == (POINT,)
    assert "only " in saga.state.reasons[-1]


@pytest.mark.parametrize(
    ("reached", "grade"), [(FILESYSTEM, Grade.FILESYSTEM), (CRASH, Grade.CRASH), ("", Grade.CRASH)]
)
def test_a_lenient_policy_keeps_it_says_what_it_is_and_warns(reached: str, grade: Grade) -> None:
    saga = windows(OnGuestFailure.CONTINUE)
    ended(saga.take(taken(saga, reached)))

    assert (saga.state.outcome, saga.state.grade) == (Outcome.DEGRADED, grade)
    [warning] = saga.state.warnings
    assert (warning.kind, warning.name) == ("restore_point", POINT.rpartition("/")[2])
    assert (warning.code, warning.detail) == ("lower_consistency", saga.state.reasons[-1])
    assert [w.code for alert in saga.done(Alert) for w in alert.warnings] == ["lower_consistency"]


def test_what_came_to_less_or_failed_is_told_with_its_name_and_what_to_do() -> None:
    less = problem_of(ended(windows().take(taken(windows(), CRASH))).state)
    failed = problem_of(ended(windows().take(taken(windows(), "", error="operation_failed"))).state)

    assert less is not None
    assert (less.cause, less.code, less.step) == (Cause.LOWER_CONSISTENCY, CRASH, Phase.CAPTURING)
    assert f"db-1's restore point {POINT.rpartition('/')[2]} than was asked for" in less.sentence
    assert failed is not None
    assert (failed.cause, failed.code) == (Cause.RESTORE_POINT_FAILED, "operation_failed")
    assert "Azure's reason" in failed.what_to_do


def test_one_that_azure_failed_is_deleted_and_said_once_not_per_disk() -> None:
    saga = windows()
    saga.take(taken(saga, "", error="operation_failed"))

    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.reasons[-1].count("operation_failed") == 1
    assert saga.done(Clean)[-1].discard == (POINT,)


def test_a_vm_that_does_not_run_has_no_guest_that_could_lower_anything() -> None:
    saga = begun(guest(scripts=False), os_type="Windows", power_state="deallocated")
    ended(saga.take(taken(saga, CRASH)))

    assert (saga.state.outcome, saga.state.grade) == (Outcome.SUCCEEDED, Grade.CRASH)


def test_with_guest_processing_off_the_platform_must_not_touch_the_guest_either() -> None:
    for os_type in ("Linux", "Windows"):
        saga = begun(guest(enabled=False), os_type=os_type)
        assert saga.done(TakeRestorePoint)[0].consistency == CRASH
        ended(saga.take(taken(saga, CRASH)))
        assert (saga.state.outcome, saga.state.grade) == (Outcome.SUCCEEDED, Grade.CRASH)


# --- inside our own hold ----------------------------------------------------------------------------------


def held(saga: Saga) -> Saga:
    return saga.take(ready(), quiesced(at=saga.now))


def test_on_linux_our_own_freeze_holds_and_the_platform_is_told_to_leave_the_guest_alone() -> None:
    saga = held(begun(guest()))

    [effect] = saga.done(TakeRestorePoint)
    assert effect.consistency == CRASH
    ended(saga.take(taken(saga, CRASH), resumed()))
    assert (saga.state.grade, saga.state.outcome) == (Grade.APPLICATION, Outcome.SUCCEEDED)
    assert saga.state.reasons == ("the guest held everything for 3400 ms, until it was ordered to resume",)


def test_before_anything_is_known_of_the_guest_the_platform_is_asked_for_its_best() -> None:
    assert asked_consistency(begun(guest()).state) == ""


def test_while_an_anchor_stands_the_platform_must_leave_the_guest_alone_too() -> None:
    saga = begun(guest(scripts=False), os_type="Linux").take(ready())
    anchored = replace(quiesce_report(held=(Held("vss", "C:", "anchor"),)), anchored=True)
    saga.take(quiesced(at=saga.now, report=anchored))

    assert saga.done(TakeRestorePoint)[0].consistency == CRASH


def test_a_broken_chain_is_not_mended_by_a_restore_point() -> None:
    saga = held(begun(guest(attempts=1)))
    saga.take(taken(saga, CRASH), resumed(released_by="dead-man"))

    assert saga.state.outcome is Outcome.FAILED


def test_another_generation_makes_another_restore_point_and_deletes_the_first() -> None:
    saga = held(begun(guest()))
    saga.take(taken(saga, CRASH), resumed(released_by="dead-man"), ready(2), quiesced(2, at=saga.now))
    saga.take(taken(saga, CRASH), resumed(2))

    assert saga.state.discard == (POINT,)
    assert [copy.snapshot_id for copy in saga.state.recovery_point] == [restore_point_id(VM, None, SAGA, 2)]


SCRIPT = (Held("script", PRE),)


def scripts_only(saga: Saga, reached: str, *, released_by: str = "order") -> Saga:
    saga.take(ready(), quiesced(at=saga.now, report=quiesce_report(held=SCRIPT)))
    assert saga.done(TakeRestorePoint)[-1].consistency == ""
    word = resumed(released_by=released_by)
    by_order = released_by == "order"
    told = (HeldUntil("script", PRE, by_order),)
    return saga.take(taken(saga, reached), replace(word, report=replace(word.report, held=told)))


@pytest.mark.parametrize(
    ("os_type", "reached", "grade"),
    [("Windows", APPLICATION, Grade.APPLICATION), ("Linux", FILESYSTEM, Grade.FILESYSTEM)],
)
def test_where_only_scripts_hold_the_platform_holds_too_and_its_word_counts(
    os_type: str, reached: str, grade: Grade
) -> None:
    saga = ended(scripts_only(begun(guest(filesystems=Filesystems.NONE), os_type=os_type), reached))

    assert (saga.state.grade, saga.state.outcome) == (grade, Outcome.SUCCEEDED)


def test_on_windows_the_platform_owes_more_than_filesystems_where_it_holds_beside_scripts() -> None:
    processing = guest(filesystems=Filesystems.NONE, attempts=1)
    saga = scripts_only(begun(processing, os_type="Windows"), FILESYSTEM)

    assert saga.state.outcome is Outcome.FAILED


def test_where_both_held_and_the_platform_says_less_our_own_grade_stands_and_both_are_told() -> None:
    saga = begun(guest(scripts=False, filesystems=Filesystems.NONE)).take(ready())
    drained = (Held("handler", "postgresql", "drained"),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(held=drained)))
    word = resumed()
    told = (HeldUntil("handler", "postgresql", held_until_order=True),)
    ended(saga.take(taken(saga, FILESYSTEM), replace(word, report=replace(word.report, held=told))))

    assert saga.state.grade is Grade.APPLICATION
    assert saga.state.reasons == (
        "the handler postgresql (drained) holds every write by itself (docs/proof.md)",
        "the guest held everything for 3400 ms, until it was ordered to resume",
        "Azure was asked for its best and says that the restore point is FileSystemConsistent",
    )


def test_where_neither_is_worth_anything_both_say_why() -> None:
    lenient = guest(filesystems=Filesystems.NONE, attempts=1, on_guest_failure=OnGuestFailure.CONTINUE)
    saga = ended(scripts_only(begun(lenient), CRASH))

    assert (saga.state.grade, saga.state.outcome) == (Grade.CRASH, Outcome.DEGRADED)
    assert saga.state.reasons == (
        "no filesystem was held",
        f"what a script alone holds cannot be proved ({PRE})",
        "Azure was asked for its best and says that the restore point is CrashConsistent",
    )


def test_a_warning_of_a_lower_consistency_gives_every_reason() -> None:
    lenient = guest(filesystems=Filesystems.NONE, attempts=1, on_guest_failure=OnGuestFailure.CONTINUE)
    saga = scripts_only(begun(lenient, os_type="Windows"), CRASH, released_by="dead-man")

    assert saga.state.warnings[-1].detail == "; ".join(saga.state.reasons)
    assert len(saga.state.reasons) > 1


@pytest.mark.parametrize(
    "asked",
    [
        {"handlers": (Handler(name=HandlerName.SQLSERVER, required=False),)},
        {"detect_handlers": True},
        {"anchor": Anchor(provider=AnchorProvider.VSS)},
    ],
)
def test_on_windows_whatever_the_policy_asks_of_our_agent_is_asked_of_it(asked: dict[str, Any]) -> None:
    saga = begun(replace(guest(scripts=False), **asked), os_type="Windows")

    assert saga.state.phase is Phase.ARMING
    assert not saga.done(TakeRestorePoint)


def test_the_platforms_word_counts_for_nothing_where_our_scripts_did_not_hold() -> None:
    lenient = guest(filesystems=Filesystems.NONE, attempts=1, on_guest_failure=OnGuestFailure.CONTINUE)
    saga = ended(scripts_only(begun(lenient, os_type="Windows"), APPLICATION, released_by="dead-man"))

    assert (saga.state.grade, saga.state.outcome) == (Grade.CRASH, Outcome.DEGRADED)


def test_a_guest_that_could_not_be_held_is_left_to_the_platform_by_a_lenient_policy() -> None:
    saga = begun(guest(on_guest_failure=OnGuestFailure.CONTINUE)).take(ready(), quiesce_failed())

    assert saga.done(TakeRestorePoint)[0].consistency == ""
    ended(saga.take(taken(saga, FILESYSTEM)))
    assert (saga.state.grade, saga.state.outcome) == (Grade.FILESYSTEM, Outcome.DEGRADED)


# --- limits and names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processing", "os_type", "which"),
    [
        (guest(), "Linux", "crash_obstacles"),
        (guest(enabled=False), "Windows", "crash_obstacles"),
        (guest(scripts=False), "Windows", "platform_obstacles"),
        (guest(filesystems=Filesystems.NONE), "Linux", "platform_obstacles"),
    ],
)
def test_only_the_limits_of_what_will_be_asked_for_stand_in_the_way(
    processing: GuestProcessing, os_type: str, which: str
) -> None:
    other = {"crash_obstacles", "platform_obstacles"} - {which}
    hindered = begun(processing, os_type=os_type, obstacles={which: ("no",)})
    assert (hindered.state.outcome, hindered.state.reasons) == (Outcome.FAILED, ("no",))
    free = begun(processing, os_type=os_type, obstacles={other.pop(): ("no",)})
    assert free.state.phase is not Phase.CLEANING


def test_limits_of_restore_points_do_not_stand_in_the_way_of_snapshots() -> None:
    saga = Saga(guest()).take(Started("1"), FactsRead(replace(facts(), crash_obstacles=("no",))))
    assert saga.state.phase is Phase.ARMING


def test_names_say_whose_a_restore_point_is_and_fit() -> None:
    long = f"{VM}-{'x' * 100}"
    assert restore_point_id(VM, "kept", SAGA, 3).endswith(f"/restorePoints/sf-{SAGA}-g3")
    assert "/resourceGroups/kept/" in restore_point_id(VM, "kept", SAGA, 3)
    assert "/resourceGroups/app/" in restore_point_id(VM, None, SAGA, 3)
    assert collection_name(VM) == collection_name(VM.upper().replace("DB-1", "db-1"))
    assert collection_name(VM) != collection_name(VM.replace("app", "other"))
    assert len(collection_name(long)) <= 80
