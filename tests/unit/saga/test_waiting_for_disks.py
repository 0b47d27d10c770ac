"""A limit of the VM's disks that passes by itself: the VM is read again, and nobody is armed meanwhile."""

from dataclasses import replace

from shared.saga.admitting import DISK_PAUSE_MS
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.effects import ReadFacts, SendCommand, StartAgent, Watch
from shared.saga.events import Admitted, CaptureEnded, Cleaned, FactsRead, Started, TimePassed
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import GATE, T0, VM, Saga, copied, facts, guest, ready, whole_evidence

FULL = replace(facts(), passing_obstacles=("disk a has 7 snapshots of 7", "disk b has 7 snapshots of 7"))
WHY = "disk a has 7 snapshots of 7; disk b has 7 snapshots of 7"


def waiting(*, enabled: bool = True) -> Saga:
    return Saga(guest(enabled=enabled), admission=GATE).take(Started("receipt-1"), FactsRead(FULL))


def test_it_waits_before_anything_is_asked_of_the_guest_and_says_for_what() -> None:
    saga = waiting()

    assert saga.state.phase is Phase.PREFLIGHT
    assert saga.last.effects == (Watch(saga.state.watch_number, saga.now + DISK_PAUSE_MS),)
    assert saga.state.deadline == saga.state.started_at + GATE.timeout_ms
    assert saga.state.trouble is not None
    assert (saga.state.trouble.cause, saga.state.trouble.detail) == (Cause.OBSTACLE, WHY)
    assert not saga.done(SendCommand)
    assert not saga.done(StartAgent)


def test_the_vm_is_read_again_and_what_passed_is_forgotten() -> None:
    saga = waiting()
    saga.now = saga.done(Watch)[-1].at
    saga.take(TimePassed(saga.state.watch_number), after_ms=0)
    assert saga.done(ReadFacts)[-1] == ReadFacts(VM)
    saga.take(FactsRead(facts()), ready(), Admitted(1))

    assert (saga.state.phase, saga.state.trouble, saga.state.notes) == (Phase.QUIESCING, None, ())


def test_a_wait_as_long_as_that_for_admission_is_the_end_of_it() -> None:
    saga = waiting()
    for now in (T0 + GATE.timeout_ms - 1, saga.state.started_at + GATE.timeout_ms):
        assert saga.state.phase is Phase.PREFLIGHT
        saga.now = now
        saga.take(FactsRead(FULL), after_ms=0)

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons == (WHY,)


def test_the_last_look_is_at_the_end_of_the_wait() -> None:
    saga = waiting()
    saga.now = saga.state.started_at + GATE.timeout_ms - 5_000
    saga.take(FactsRead(FULL), after_ms=0)

    assert saga.done(Watch)[-1].at == saga.state.started_at + GATE.timeout_ms


def test_without_admission_nobody_waits() -> None:
    saga = Saga(guest()).take(Started("receipt-1"), FactsRead(FULL))

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons == (WHY,)


def test_a_wait_that_is_over_is_no_problem_of_a_vm_whose_guest_is_not_held() -> None:
    saga = waiting(enabled=False)
    saga.now += DISK_PAUSE_MS
    saga.take(TimePassed(saga.state.watch_number), FactsRead(facts()))
    assert saga.state.phase is Phase.CAPTURING
    saga.take(CaptureEnded(1, whole_evidence().captures), copied(), Cleaned())

    assert (saga.state.outcome, saga.state.grade) == (Outcome.SUCCEEDED, Grade.CRASH)
    assert problem_of(saga.state) is None
