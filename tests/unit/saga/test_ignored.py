"""An event that comes too late, too early or to the wrong saga changes nothing and says why."""

import pytest

from shared.saga.events import (
    AgentNotStarted,
    CancelRequested,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    QuiesceFailed,
    RegionCopiesSeen,
    Released,
    Started,
    TimePassed,
)
from shared.saga.machine import advance
from shared.saga.state import Phase, SagaState
from tests.unit.saga.build import (
    Saga,
    arming,
    captured,
    capturing,
    completing,
    copying,
    facts,
    quiesced,
    quiescing,
    ready,
    resumed,
    resuming,
)


def still_holding() -> QuiesceFailed:
    return QuiesceFailed(1, 2, "freeze_failed", "one filesystem stays frozen", released=False)


#: Each event, and the phases that wait for it.
WAITED_FOR: list[tuple[Event, set[Phase]]] = [
    (Started(), {Phase.PENDING}),
    (FactsRead(facts()), {Phase.PREFLIGHT}),
    (FactsUnavailable("Throttled", "too many requests", passing=True), {Phase.PREFLIGHT}),
    (AgentNotStarted(1, "Conflict", "the VM is busy", passing=True), {Phase.ARMING}),
    (ready(), {Phase.ARMING}),
    (quiesced(), {Phase.QUIESCING}),
    (captured(), {Phase.CAPTURING, Phase.RESUMING}),
    (CopiesSeen(()), {Phase.COMPLETING}),
    (RegionCopiesSeen(()), {Phase.COPYING}),
    (Cleaned(), {Phase.CLEANING}),
]

WALKS: dict[Phase, Saga] = {
    Phase.PENDING: Saga(),
    Phase.PREFLIGHT: Saga().take(Started()),
    Phase.ARMING: arming(),
    Phase.QUIESCING: quiescing(),
    Phase.CAPTURING: capturing(),
    Phase.RESUMING: resuming(),
    Phase.COMPLETING: completing(),
    Phase.COPYING: copying(),
    Phase.CLEANING: arming().take(CancelRequested()),
}


def told(state: SagaState, event: Event) -> str:
    """Give why an event counts for nothing; "" if it counts."""
    transition = advance(state, event, 0 if state.deadline is None else state.deadline - 1)
    assert not transition.ignored or (transition.state, transition.effects) == (state, ())
    return transition.ignored


@pytest.mark.parametrize("phase", WALKS)
@pytest.mark.parametrize(("event", "phases"), WAITED_FOR, ids=lambda value: type(value).__name__)
def test_what_nothing_waits_for_is_told_with_the_phase(
    phase: Phase, event: Event, phases: set[Phase]
) -> None:
    state = WALKS[phase].state
    if phase in phases or getattr(event, "generation", state.generation) != state.generation:
        return

    assert told(state, event) == f"nothing waits for it while {phase}"


def test_another_generation_a_saga_that_is_done_and_an_old_watch_are_told() -> None:
    ended = arming().take(CancelRequested(), Cleaned())

    assert told(quiescing().state, quiesced(2)) == "it belongs to another generation"
    assert ended.state.phase is Phase.DONE
    assert told(ended.state, Cleaned()) == "the saga is done"
    assert told(quiescing().state, TimePassed(7)) == "another watch stands"
    assert told(capturing().state, Released(1, 9, was_held=False)) == "the session is over"
    assert told(WALKS[Phase.CLEANING].state, CancelRequested()) == "the saga is ending already"


def test_a_guest_that_still_holds_is_ordered_once_and_keeps_its_reason() -> None:
    saga = quiescing().take(still_holding())

    assert saga.state.guest_failure == "one filesystem stays frozen (freeze_failed)"
    assert told(saga.state, still_holding()) == "resume was ordered already"


def test_what_is_heard_twice_from_a_guest_that_went_on_is_told() -> None:
    saga = resuming().take(resumed())

    assert told(saga.state, resumed()) == "nothing waits for it while completing"
    assert told(saga.state, still_holding()) == "nothing waits for it while completing"
    assert told(saga.state, captured()) == "nothing waits for it while completing"
