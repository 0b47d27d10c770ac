"""What is left behind when a phase's time is up, in each phase, at the very millisecond of its deadline."""

from dataclasses import replace

import pytest

from shared.policy.guest_processing import GuestProcessing, OnGuestFailure
from shared.saga.causes import Cause
from shared.saga.effects import CheckCopies, Clean, SendCommand
from shared.saga.events import AgentNotStarted, CancelRequested, CaptureEnded, FactsRead, Started, TimePassed
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import (
    DISKS,
    Saga,
    arming,
    capture_of,
    capturing,
    completing,
    facts,
    guest,
    quiescing,
    resumed,
    resuming,
    snapshot_of,
)

TWICE, ONCE = guest(attempts=2), guest(attempts=1)
LENIENT = replace(ONCE, on_guest_failure=OnGuestFailure.CONTINUE)


def overdue(saga: Saga) -> Saga:
    """Let the phase's time run out, and not a millisecond more."""
    return saga.wait_out().take(TimePassed(), after_ms=0)


def test_an_agent_that_is_silent_is_asked_again_as_another_generation() -> None:
    saga = overdue(arming(TWICE))

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    assert saga.state.notes == ("generation 1: the agent did not answer in time",)


def test_an_agent_that_stays_silent_is_given_up() -> None:
    saga = overdue(arming(ONCE))

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons == ("the guest could not be held: the agent did not answer in time",)
    assert saga.state.trouble is not None
    assert saga.state.trouble.cause is Cause.AGENT_SILENT


def test_an_agent_that_azure_would_not_start_until_then_is_noted_as_such() -> None:
    refused = arming(ONCE).take(AgentNotStarted(1, "Conflict", "the VM is busy", passing=True))
    saga = overdue(refused)

    assert saga.state.trouble is not None
    assert saga.state.trouble.cause is Cause.AGENT_NOT_STARTED
    assert saga.state.reasons == ("the guest could not be held: the agent did not answer in time",)


def test_a_guest_that_does_not_say_that_it_holds_is_ordered_to_resume_with_that_reason() -> None:
    saga = overdue(quiescing())

    assert saga.state.phase is Phase.RESUMING
    assert saga.state.guest_failure == "the guest did not say in time that it held"
    assert saga.done(SendCommand)[-1].order.kind == "resume"


def test_a_guest_whose_word_and_capture_never_came_is_decided_about_all_the_same() -> None:
    saga = overdue(overdue(capturing(ONCE)))

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.guest_released
    assert saga.state.capture_ended


def test_a_capture_that_is_still_under_way_when_resuming_is_over_is_given_up() -> None:
    saga = overdue(capturing(ONCE).take(CancelRequested()))

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.CANCELLED)
    assert saga.state.capture_ended
    assert set(saga.done(Clean)[-1].discard) == {snapshot_of(disk) for disk in DISKS}


def test_copies_that_take_too_long_are_kept_and_the_slowest_is_named() -> None:
    saga = overdue(completing())

    assert saga.state.reasons[-1] == "the background copy of the snapshots did not end in time; they are kept"
    assert saga.state.trouble is not None
    assert saga.state.trouble.cause is Cause.COPIES_LATE
    assert saga.state.trouble.detail == f"{snapshot_of(DISKS[0]).rpartition('/')[2]} is at 0 %"
    assert saga.done(Clean)[-1].keep == saga.done(CheckCopies)[-1].snapshot_ids


def test_cleaning_is_done_again_however_late_it_is() -> None:
    saga = overdue(arming().take(CancelRequested()))

    assert saga.state.phase is Phase.CLEANING
    assert [saga.done(Clean)[0]] * 2 == saga.done(Clean)


def test_a_note_of_a_generation_has_every_reason_and_nothing_of_its_grade_stays() -> None:
    lenient = replace(guest(attempts=2), on_guest_failure=OnGuestFailure.CONTINUE)
    saga = resuming(lenient).take(resumed(released_by="dead-man"))

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    assert (saga.state.grade, saga.state.reasons) == (None, ())
    [note] = saga.state.notes
    first, second, *_ = note.removeprefix("generation 1: ").split("; ")
    assert first == (
        "the guest was released by its dead-man, because the freeze budget was spent or the agent was lost"
    )
    assert second == "the script /etc/stillframe/pre.sh was not held until the order"


def test_two_disks_without_a_guest_are_not_at_one_instant_and_one_disk_always_is() -> None:
    def reasons(count: int) -> tuple[str, ...]:
        disks = DISKS[:count]
        saga = Saga(guest(enabled=False)).take(Started(), FactsRead(facts(disks=disks)))
        return saga.take(CaptureEnded(1, tuple(map(capture_of, disks)))).state.reasons

    nothing = "guest processing is off"
    assert reasons(1) == (nothing,)
    assert reasons(2) == (
        nothing,
        "the 2 disks were not snapshotted at one instant, and nothing held them",
    )


@pytest.mark.parametrize(
    ("processing", "phase", "notes"),
    [
        (
            LENIENT,
            Phase.CAPTURING,
            (
                "generation 1: the guest did not say in time that it held",
                "snapshotted without the guest, as on_guest_failure says",
            ),
        ),
        (ONCE, Phase.CLEANING, ()),
        (TWICE, Phase.ARMING, ("generation 1: the guest did not say in time that it held",)),
    ],
    ids=["continue", "fail", "another attempt"],
)
def test_a_guest_that_is_given_up_leaves_its_reason_once(
    processing: GuestProcessing, phase: Phase, notes: tuple[str, ...]
) -> None:
    saga = overdue(quiescing(processing)).take(resumed())

    assert (saga.state.phase, saga.state.notes, saga.state.guest_failure) == (phase, notes, "")
