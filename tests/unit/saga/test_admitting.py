"""The gate between a guest that is ready and the order to hold it."""

from dataclasses import replace

from shared.policy.guest_processing import OnGuestFailure
from shared.protocol import QUIESCE, RELEASE
from shared.saga.admitting import SHORTEST_WAIT_MS, admit
from shared.saga.causes import Cause, Limit
from shared.saga.effects import Admit, CheckCopies, Clean, Leave, SendCommand, Watch
from shared.saga.events import Admitted, CancelRequested, Cleaned, MustWait, TimePassed
from shared.saga.machine import advance
from shared.saga.phases import GRACE_MS, first_watch_ms
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import (
    GATE,
    T0,
    admitting,
    arming,
    captured,
    guest,
    quiesced,
    ready,
    resumed,
)

NO_ROOM = MustWait(1, T0 + 20_000, Limit.HELD, "2 are held already")


def test_a_guest_that_is_ready_is_not_held_before_its_saga_is_admitted() -> None:
    saga = admitting()

    assert saga.state.phase is Phase.ADMITTING
    assert saga.state.guest_released
    assert saga.last.effects == (admit(saga.state, saga.now),)
    assert not [each for each in saga.done(SendCommand) if each.order.kind == QUIESCE]


def test_a_saga_that_is_admitted_at_once_orders_the_guest_to_hold_still_and_needs_no_new_watch() -> None:
    saga = admitting().take(Admitted(1))

    [order] = [each.order for each in saga.last.effects if isinstance(each, SendCommand)]
    assert order.kind == QUIESCE
    assert saga.state.phase is Phase.QUIESCING
    assert not saga.done(Watch)


def test_a_saga_that_must_wait_asks_again_when_it_was_told_to_and_holds_nobody_meanwhile() -> None:
    saga = admitting().take(NO_ROOM)

    [watch] = saga.done(Watch)
    assert saga.last.effects == (watch,)
    assert watch.at == NO_ROOM.until
    assert saga.state.guest_released
    saga.now = watch.at
    assert saga.take(TimePassed(watch.number)).last.effects == (admit(saga.state, saga.now),)


def test_a_saga_that_was_admitted_after_a_wait_is_watched_again() -> None:
    saga = admitting().take(NO_ROOM)
    saga.take(TimePassed(saga.state.watch_number), Admitted(1))

    assert saga.state.phase is Phase.QUIESCING
    assert saga.done(Watch)[-1] == Watch(saga.state.watch_number, saga.now + first_watch_ms(saga.state.spec))
    assert saga.state.trouble is None


def test_a_wait_that_is_over_already_is_not_asked_for_again_at_once() -> None:
    saga = admitting().take(replace(NO_ROOM, until=T0))

    [watch] = saga.done(Watch)
    assert watch.at == saga.now + SHORTEST_WAIT_MS


def test_a_saga_that_is_not_admitted_in_time_ends_without_a_snapshot_and_lets_the_agent_go() -> None:
    for rule in OnGuestFailure:
        saga = admitting(guest(on_guest_failure=rule)).take(NO_ROOM)
        assert saga.state.deadline == saga.now - 10 + GATE.timeout_ms
        saga.wait_out().take(TimePassed(saga.state.watch_number), after_ms=0)

        assert saga.state.phase is Phase.CLEANING
        assert [each.order.kind for each in saga.last.effects if isinstance(each, SendCommand)] == [RELEASE]
        assert Leave(1, captured=False) in saga.last.effects
        saga.take(Cleaned())
        assert saga.state.outcome is Outcome.FAILED
        assert saga.state.trouble is not None
        assert (saga.state.trouble.cause, saga.state.trouble.code) == (Cause.NOT_ADMITTED, Limit.HELD)


def test_a_last_answer_that_comes_at_the_deadline_is_the_end_too() -> None:
    saga = admitting().wait_out().take(NO_ROOM, after_ms=0)

    assert saga.state.phase is Phase.CLEANING


def test_a_saga_that_is_cancelled_while_it_waits_leaves_the_queue_and_lets_the_agent_go() -> None:
    saga = admitting().take(NO_ROOM, CancelRequested())

    assert saga.state.phase is Phase.CLEANING
    assert [type(effect) for effect in saga.last.effects] == [SendCommand, Clean, Leave]
    assert saga.state.admission == 0


def test_the_place_is_given_up_when_the_guest_goes_on_and_not_before() -> None:
    saga = admitting().take(Admitted(1))
    saga.take(quiesced(at=saga.now))
    saga.take(captured(at=saga.now))
    assert not saga.done(Leave)

    saga.take(resumed())

    assert [type(effect) for effect in saga.last.effects] == [CheckCopies, Leave]
    assert saga.done(Leave) == [Leave(1, captured=True)]


def test_a_second_generation_is_admitted_anew() -> None:
    saga = admitting().take(Admitted(1))
    saga.take(quiesced(at=saga.now))
    saga.take(captured(at=saga.now), resumed(released_by="dead-man"))
    assert saga.done(Leave) == [Leave(1, captured=True)]

    saga.take(ready(2))

    assert (saga.state.phase, saga.state.generation) == (Phase.ADMITTING, 2)
    assert saga.done(Admit)[-1].generation == 2


def test_a_saga_that_is_admitted_although_it_went_another_way_leaves_again() -> None:
    saga = admitting().take(CancelRequested(), Admitted(1))

    assert saga.last.effects == (Leave(1, captured=False),)
    assert saga.state.phase is Phase.CLEANING


def test_an_admission_that_comes_twice_changes_nothing() -> None:
    saga = admitting().take(Admitted(1))

    assert advance(saga.state, Admitted(1), saga.now).ignored == "it is quiescing already"
    assert advance(saga.state, NO_ROOM, saga.now).ignored == "nothing waits for it while quiescing"


def test_the_lease_outlasts_everything_by_which_the_guest_may_be_held() -> None:
    saga = admitting()
    [asked] = saga.done(Admit)
    processing = saga.state.spec.guest
    saga.take(Admitted(1)).wait_out().take(TimePassed(), after_ms=0)  # never confirmed: resumed at the last
    assert saga.state.phase is Phase.RESUMING
    assert saga.state.deadline is not None

    assert asked.expires_at > saga.state.deadline
    assert asked.expires_at > saga.now + processing.longest_hold_ms + GRACE_MS


def test_a_saga_without_limits_holds_its_guest_as_soon_as_it_is_ready() -> None:
    saga = arming().take(ready())

    assert saga.state.phase is Phase.QUIESCING
    assert saga.state.admission == 0
