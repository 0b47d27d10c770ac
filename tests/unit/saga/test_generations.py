"""What a generation begins with, and what it takes for one to be captured at all."""

from dataclasses import replace

import pytest

from shared.saga.events import AgentNotStarted, TimePassed
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import Saga, arming, guest, quiesce_report, quiesced, quiescing, ready, resumed

TWICE = guest(attempts=2)


def refused() -> Saga:
    """Give a saga whose agent Azure would not start until its time was up."""
    saga = arming(TWICE).take(AgentNotStarted(1, "Conflict", "the VM is busy", passing=True), TimePassed(1))
    return saga.take(AgentNotStarted(1, "Conflict", "the VM is busy", passing=True))


def silent() -> Saga:
    """Give a saga whose guest did not say in time that it held, and was let go."""
    return quiescing(TWICE).wait_out().take(TimePassed())


def test_another_generation_begins_with_nothing_of_the_one_before() -> None:
    for saga in (refused().wait_out().take(TimePassed()), silent().take(resumed())):
        state = saga.state
        assert (state.phase, state.generation) == (Phase.ARMING, 2)
        assert (state.agent_refused, state.pauses, state.guest_failure) == (False, 0, "")
        assert (state.trouble, state.evidence) == (None, None)


def test_what_a_guest_says_that_it_holds_is_kept_with_the_moment_that_it_was_heard() -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now))

    assert saga.state.evidence is not None
    assert saga.state.evidence.quiesced_at == saga.now


@pytest.mark.parametrize(("left_ms", "phase"), [(2_000, Phase.CAPTURING), (1_999, Phase.RESUMING)])
def test_half_a_second_for_snapshots_is_enough_and_less_is_not(left_ms: int, phase: Phase) -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now, report=quiesce_report(budget_left_ms=left_ms)), after_ms=0)

    assert saga.state.phase is phase
    reason = "" if phase is Phase.CAPTURING else "too little of the freeze budget was left to snapshot in"
    assert saga.state.guest_failure == reason


def test_a_guest_without_a_dead_man_is_let_go_with_that_reason() -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now, report=quiesce_report(dead_man_armed=False)))

    assert (saga.state.phase, saga.state.guest_failure) == (
        Phase.RESUMING,
        "the guest held without its dead-man",
    )


def test_a_dead_man_that_cannot_be_armed_is_not_tried_again() -> None:
    saga = arming(TWICE).take(replace(ready(), dead_man_armed=False))

    assert (saga.state.phase, saga.state.outcome, saga.state.generation) == (
        Phase.CLEANING,
        Outcome.FAILED,
        1,
    )
    assert saga.state.reasons == ("the guest could not be held: the guest's dead-man could not be armed",)
