"""``application_aware: require``: what is kept is application-consistent, or there is nothing."""

from dataclasses import replace
from itertools import product

import pytest

from shared.policy.guest_processing import (
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    OnGuestFailure,
)
from shared.policy.snapshots import RecoveryPointKind
from shared.saga.causes import Cause, Lacking
from shared.saga.consistency import Grade
from shared.saga.effects import Capture, Clean, StartAgent, TakeRestorePoint
from shared.saga.events import CaptureEnded, Cleaned, CopiesSeen, Event, FactsRead, Resumed, Started
from shared.saga.evidence import GuestWarning, Held, NotHeld, RestorePointReport
from shared.saga.passing import is_tried_again
from shared.saga.phases import pending
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import (
    DISKS,
    PRE,
    SCRIPTS,
    T0,
    Saga,
    capture_of,
    captured,
    facts,
    guest,
    quiesce_report,
    quiesced,
    ready,
    resume_report,
    resumed,
    snapshot_of,
    spec,
)

AUTO = replace(guest(scripts=False), application_aware=ApplicationAware.REQUIRE)
SCRIPT, DATA = Held("script", PRE), Held("filesystem", "/data")
POSTGRES, DRAINED = (
    Held("handler", "postgresql:5432", "frozen"),
    Held("handler", "postgresql:5432", "drained"),
)
HALTED = Held("handler", "services", "halted")
BUSY = NotHeld("handler", "postgresql:5432", "busy")
DENIED = NotHeld("handler", "postgresql:5432", "denied")
LEFT = NotHeld("filesystem", "/log", "skipped")

#: What the guest may say that it holds and does not hold.
HOLDS = ((DATA,), (SCRIPT, DATA), (POSTGRES, DATA), (POSTGRES,), (DRAINED,), (SCRIPT,), (HALTED, DATA))
MISSES: tuple[tuple[NotHeld, ...], ...] = ((), (BUSY,), (DENIED,), (LEFT,), (BUSY, LEFT))


def held_once(saga: Saga, held: tuple[Held, ...], missed: tuple[NotHeld, ...]) -> Saga:
    """Go through one generation in which the guest holds this until it is told to let go."""
    number = saga.state.generation
    warnings = tuple(
        GuestWarning(item.kind, item.name, "optional_handler_failed")
        for item in missed
        if item.kind == "handler"
    )
    report = quiesce_report(scripts=False, held=held, not_held=missed, warnings=warnings)
    saga.take(ready(number)).take(quiesced(number, at=saga.now, report=report))
    if saga.state.phase is Phase.CAPTURING:
        saga.take(captured(number, at=saga.now))
    return saga.take(Resumed(number, 3, resume_report(scripts=False, held=held)))


def to_the_end(saga: Saga) -> Saga:
    copies = CopiesSeen(
        tuple(SnapshotCopy(snapshot_of(item, saga.state.generation), 100.0) for item in DISKS)
    )
    if saga.state.phase is Phase.COMPLETING:
        saga.take(copies)
    saga.take(Cleaned())
    assert saga.state.phase is Phase.DONE
    return saga


def begun(processing: GuestProcessing, *, rehearsal: bool = False, power_state: str = "running") -> Saga:
    saga = Saga(processing)
    saga.state = pending(replace(spec(processing), rehearsal=rehearsal), T0)
    return saga.take(Started("receipt-1"), FactsRead(facts(power_state=power_state)))


@pytest.mark.parametrize(("held", "missed"), list(product(HOLDS, MISSES)))
@pytest.mark.parametrize("aware", [None, *ApplicationAware])
@pytest.mark.parametrize("lenient", [True, False])
def test_whatever_a_guest_holds_what_is_required_is_kept_and_nothing_less(
    *, held: tuple[Held, ...], missed: tuple[NotHeld, ...], aware: ApplicationAware | None, lenient: bool
) -> None:
    on_failure = OnGuestFailure.CONTINUE if lenient else OnGuestFailure.FAIL
    asked = replace(AUTO, application_aware=aware, on_guest_failure=on_failure)
    required = aware is ApplicationAware.REQUIRE
    saga = begun(asked)
    while saga.state.phase is Phase.ARMING:
        held_once(saga, held, missed)
    state = to_the_end(saga).state

    if not required:
        assert state.generation == 1, "only what is required is tried again although nothing is missing"
    elif state.recovery_point:
        assert (state.grade, state.outcome) == (Grade.APPLICATION, Outcome.SUCCEEDED)
    else:
        assert (state.grade, state.outcome) == (None, Outcome.FAILED)
        problem = problem_of(state)
        assert problem is not None
        assert problem.cause is Cause.APPLICATION_REQUIRED
        assert set(saga.done(Clean)[-1].discard) == {
            snapshot_of(item, number) for item in DISKS for number in range(1, state.generation + 1)
        }
    if lenient and not required:
        assert state.recovery_point


def test_it_is_as_good_as_ever_where_an_application_is_held() -> None:
    state = to_the_end(held_once(begun(AUTO), (POSTGRES, DATA), ())).state
    assert (state.outcome, state.grade) == (Outcome.SUCCEEDED, Grade.APPLICATION)


def test_an_application_that_was_busy_is_tried_in_the_next_generation() -> None:
    saga = held_once(begun(AUTO), (DATA,), (BUSY,))
    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)

    state = to_the_end(held_once(saga, (POSTGRES, DATA), ())).state

    assert (state.outcome, state.grade, state.generation) == (Outcome.SUCCEEDED, Grade.APPLICATION, 2)
    assert {snapshot_of(item) for item in DISKS} <= set(state.discard)


@pytest.mark.parametrize(("missed", "tries", "again"), [(BUSY, 2, True), (DENIED, 1, False)])
def test_only_what_may_pass_is_tried_again_in_the_saga_and_after_it(
    missed: NotHeld, tries: int, *, again: bool
) -> None:
    saga = begun(AUTO)
    while saga.state.phase is Phase.ARMING:
        held_once(saga, (DATA,), (missed,))
    state = to_the_end(saga).state

    retrying = replace(state, spec=replace(state.spec, retry=replace(state.spec.retry, attempts=1)))
    assert (state.generation, is_tried_again(retrying)) == (tries, again)
    problem = problem_of(state)
    assert problem is not None
    assert problem.code == f"handler_{missed.reason}"


@pytest.mark.parametrize("rehearsal", [True, False])
def test_of_a_vm_that_does_not_run_nothing_is_snapshotted(*, rehearsal: bool) -> None:
    saga = begun(AUTO, rehearsal=rehearsal, power_state="deallocated")

    assert not saga.done(Capture)
    state = to_the_end(saga).state
    problem = problem_of(state)
    assert problem is not None
    assert (state.outcome, problem.cause, problem.code) == (
        Outcome.FAILED, Cause.APPLICATION_REQUIRED, Lacking.NOT_RUNNING,
    )  # fmt: skip


def test_where_guest_processing_is_off_nothing_is_required() -> None:
    saga = begun(replace(AUTO, enabled=False))
    saga.take(captured(1, at=saga.now))
    assert to_the_end(saga).state.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("held", "outcome"), [((DATA,), Outcome.FAILED), ((POSTGRES, DATA), Outcome.REHEARSED)]
)
def test_a_rehearsal_says_what_a_backup_would_have_come_to(held: tuple[Held, ...], outcome: Outcome) -> None:
    saga = held_once(begun(AUTO, rehearsal=True), held, ())
    assert not saga.done(Capture)
    state = to_the_end(saga).state
    assert state.outcome is outcome
    if outcome is Outcome.FAILED:
        problem = problem_of(state)
        assert problem is not None
        assert problem.code == Lacking.NONE_FOUND


def with_point(
    processing: GuestProcessing, os_type: str, reached: str, *events: Event, asked: str | None = None
) -> Saga:
    saga = Saga(processing, RecoveryPointKind.RESTORE_POINT).take(
        Started(), FactsRead(facts(os_type=os_type)), *events
    )
    effect = saga.done(TakeRestorePoint)[-1]
    assert asked in (None, effect.consistency)
    captures = tuple(capture_of(item, at=saga.now) for item in DISKS)
    point = RestorePointReport(point_id=effect.point_id, asked=effect.consistency, reached=reached)
    return saga.take(CaptureEnded(effect.generation, captures, point))


@pytest.mark.parametrize(
    ("reached", "kept"), [("ApplicationConsistent", True), ("FileSystemConsistent", False), ("", False)]
)
def test_where_azure_holds_a_windows_guest_its_word_is_what_is_required(reached: str, *, kept: bool) -> None:
    lenient = replace(AUTO, on_guest_failure=OnGuestFailure.CONTINUE)
    saga = with_point(lenient, "Windows", reached, asked="")
    state = saga.state

    assert not saga.done(StartAgent), "whoever holds by VSS needs no handlers to be found"
    assert (state.phase is Phase.COMPLETING) is kept
    if not kept:
        assert state.trouble is not None
        assert state.trouble.cause is Cause.LOWER_CONSISTENCY
        assert state.outcome is Outcome.FAILED


@pytest.mark.parametrize("kind", RecoveryPointKind)
@pytest.mark.parametrize(
    ("held", "missed", "code"),
    [
        ((DATA,), (), Lacking.NONE_FOUND),
        ((HALTED, DATA), (), Lacking.NOT_QUIESCED),
        ((DATA,), (DENIED,), "handler_denied"),
    ],
)
def test_a_guest_without_what_is_required_goes_on_at_once_and_nothing_is_snapshotted(
    kind: RecoveryPointKind, held: tuple[Held, ...], missed: tuple[NotHeld, ...], code: str
) -> None:
    saga = Saga(AUTO, kind).take(Started(), FactsRead(facts()), ready())
    saga.take(quiesced(at=saga.now, report=quiesce_report(scripts=False, held=held, not_held=missed)))

    assert (saga.state.phase, saga.done(Capture), saga.done(TakeRestorePoint)) == (Phase.RESUMING, [], [])
    state = to_the_end(saga.take(Resumed(1, 3, resume_report(scripts=False, held=held)))).state
    problem = problem_of(state)
    assert problem is not None
    assert (state.outcome, problem.cause, problem.code) == (
        Outcome.FAILED, Cause.APPLICATION_REQUIRED, code,
    )  # fmt: skip


def test_a_restore_point_in_our_own_freeze_is_not_azures_to_blame() -> None:
    report = quiesce_report(scripts=False, held=(POSTGRES, DATA), not_held=(LEFT,))
    saga = Saga(AUTO, RecoveryPointKind.RESTORE_POINT).take(Started(), FactsRead(facts()), ready())
    saga.take(quiesced(at=saga.now, report=report))
    effect = saga.done(TakeRestorePoint)[-1]
    captures = tuple(capture_of(item, at=saga.now) for item in DISKS)
    point = RestorePointReport(point_id=effect.point_id, asked="CrashConsistent", reached="CrashConsistent")
    released = resume_report(scripts=False, held=(POSTGRES, DATA))
    saga.take(CaptureEnded(1, captures, point), Resumed(1, 3, released))

    state = saga.state
    assert (state.outcome, state.discard) == (Outcome.FAILED, (effect.point_id,))
    assert state.trouble is not None
    assert (state.trouble.cause, state.trouble.code) == (Cause.APPLICATION_REQUIRED, Lacking.NOT_QUIESCED)


def test_off_leaves_scripts_and_uses_no_handler() -> None:
    asked = replace(SCRIPTS, detect_handlers=True, application_aware=ApplicationAware.OFF)
    saga = begun(asked)
    settled = saga.state.spec.guest

    assert (settled.handlers, settled.detect_handlers) == ((), False)
    saga.take(ready()).take(quiesced(at=saga.now)).take(captured(at=saga.now), resumed())
    assert to_the_end(saga).state.grade is Grade.APPLICATION, "by its scripts"


def test_scripts_alone_can_be_what_is_required() -> None:
    only = replace(SCRIPTS, detect_handlers=False, application_aware=ApplicationAware.REQUIRE)
    saga = begun(only).take(ready())
    assert saga.state.spec.guest.detect_handlers is False
    saga.take(quiesced(at=saga.now)).take(captured(at=saga.now), resumed())
    assert to_the_end(saga).state.outcome is Outcome.SUCCEEDED


def test_a_script_without_filesystems_is_never_enough() -> None:
    saga = begun(replace(AUTO, filesystems=Filesystems.NONE, pre_script=SCRIPTS.pre_script))
    assert to_the_end(held_once(saga, (SCRIPT,), ())).state.outcome is Outcome.FAILED
