"""How an agent is woken or started, and which agents are worked with."""

from dataclasses import replace

import pytest

from shared.policy.guest_processing import AgentInstall, AgentUse, GuestProcessing
from shared.protocol import ARM, QUIESCE, RELEASE
from shared.saga.agents import is_too_old
from shared.saga.effects import Effect, SendCommand, StartAgent, Watch
from shared.saga.events import AgentReady, FactsRead, Started, TimePassed
from shared.saga.machine import advance
from shared.saga.phases import WAKE_MS, Transition, pending
from shared.saga.state import Outcome, Phase, SagaState
from tests.unit.saga.build import SCRIPTS, T0, facts, spec
from tests.unit.saga.world import World

ONCE = replace(SCRIPTS, attempts=1)


def armed(processing: GuestProcessing = ONCE, *, known: bool = True) -> Transition:
    """Bring a saga to arming; ``known``: an agent was heard of that lives in the guest."""
    started = advance(pending(spec(processing), T0), Started(""), T0).state
    return advance(started, FactsRead(replace(facts(), resident_agent=known)), T0)


def kinds(effects: tuple[Effect, ...]) -> list[str]:
    return [e.order.kind if isinstance(e, SendCommand) else type(e).__name__ for e in effects]


def tick(state: SagaState, at: int) -> Transition:
    return advance(state, TimePassed(state.watch_number), at)


def ready(state: SagaState, version: str) -> Transition:
    return advance(
        state, AgentReady(state.generation, 1, "boot", dead_man_armed=True, agent_version=version), T0
    )


def test_a_resident_agent_is_woken_by_its_queue_and_no_run_command() -> None:
    transition = armed()

    assert kinds(transition.effects) == [ARM, "Watch"]
    assert transition.state.agent_generations == 0


def test_one_that_does_not_answer_is_started_with_the_same_order() -> None:
    woken = armed()
    [wake, watch] = woken.effects
    assert isinstance(wake, SendCommand)
    assert isinstance(watch, Watch)
    assert watch.at == T0 + WAKE_MS

    later = tick(woken.state, watch.at)

    [start] = [e for e in later.effects if isinstance(e, StartAgent)]
    assert start.order == wake.order
    assert later.state.agent_generations == 1
    assert kinds(ready(later.state, "0.1.0").effects) == [QUIESCE]


@pytest.mark.parametrize(
    ("use", "known"), [(AgentUse.AUTO, False), (AgentUse.RUN_COMMAND, True), (AgentUse.RUN_COMMAND, False)]
)
def test_an_agent_that_is_not_known_or_not_to_be_woken_is_started(use: AgentUse, *, known: bool) -> None:
    transition = armed(replace(ONCE, agent=use), known=known)

    assert kinds(transition.effects) == ["StartAgent"]
    assert transition.state.agent_generations == 1


def test_where_run_commands_are_not_wanted_none_is_ever_sent() -> None:
    transition, at = armed(replace(ONCE, agent=AgentUse.RESIDENT), known=False), T0
    state = transition.state
    for _ in range(50):
        assert not any(isinstance(effect, StartAgent) for effect in transition.effects)
        if state.phase is not Phase.ARMING:
            break
        [watch] = [e for e in transition.effects if isinstance(e, Watch)]
        at = watch.at
        transition = tick(state, at)
        state = transition.state

    assert (state.phase, state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert any("did not answer in time" in reason for reason in state.reasons)


def test_an_agent_that_is_too_old_is_let_go_and_replaced_by_a_run_command() -> None:
    woken = armed().state

    replaced = ready(woken, "0.0.9")

    assert kinds(replaced.effects) == [RELEASE, "StartAgent"]
    orders = [e.order for e in replaced.effects if isinstance(e, SendCommand | StartAgent)]
    assert [order.sequence - woken.sequence for order in orders] == [1, 2]
    assert [order.generation for order in orders] == [1, 1]
    assert kinds(ready(replaced.state, "0.1.0").effects) == [QUIESCE]


@pytest.mark.parametrize(
    ("processing", "ran"),
    [
        (replace(ONCE, agent_install=AgentInstall.MISSING), False),
        (replace(ONCE, agent_install=AgentInstall.NEVER), False),
        (replace(ONCE, agent=AgentUse.RESIDENT), False),
        (replace(ONCE, agent=AgentUse.RUN_COMMAND), True),
    ],
    ids=["only where missing", "never", "no run command", "the upgrade did not help"],
)
def test_one_that_may_not_or_cannot_be_replaced_is_refused_in_one_sentence(
    processing: GuestProcessing, *, ran: bool
) -> None:
    state = armed(processing).state
    assert bool(state.agent_generations) == ran

    refused = ready(state, "0.0.9")

    assert refused.state.phase is Phase.CLEANING
    [reason] = refused.state.reasons
    assert "the guest's agent is version 0.0.9, needed is 0.1.0 or newer" in reason


def test_an_agent_that_is_too_old_does_not_get_better_by_trying_again() -> None:
    state = armed(replace(SCRIPTS, attempts=2, agent_install=AgentInstall.NEVER)).state

    assert ready(state, "0.0.9").state.phase is Phase.CLEANING


@pytest.mark.parametrize(
    ("version", "too_old"),
    [("0.1.0", False), ("0.1.1", False), ("1.0", False), ("0.10.0", False), ("", False), ("0.1.0-rc1", False),
     ("0.0.9", True), ("0.1", True), ("0", True), ("old", True), ("0.1.x", True)],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(version: str, *, too_old: bool) -> None:
    assert is_too_old(version) is too_old


def test_a_whole_saga_runs_with_an_agent_that_was_woken() -> None:
    world = World(spec(), replace(facts(), resident_agent=True), resident=True)
    world.calm_down()
    world.check_end()

    assert world.state.outcome is Outcome.SUCCEEDED
    assert world.agents_started == set()


def test_a_whole_saga_runs_although_the_resident_agent_is_gone() -> None:
    world = World(spec(), replace(facts(), resident_agent=True), resident=False)
    world.calm_down()
    world.check_end()

    assert world.state.outcome is Outcome.SUCCEEDED
    assert world.agents_started == {1}


def test_a_whole_saga_runs_with_an_agent_that_had_to_be_replaced() -> None:
    world = World(spec(), replace(facts(), resident_agent=True), resident=True)
    world.guest.version = "0.0.9"
    world.calm_down()
    world.check_end()

    assert world.state.outcome is Outcome.SUCCEEDED
