"""Which agents this version of the app works with, and what becomes of the others."""

from dataclasses import replace

from shared.policy.guest_processing import AgentInstall, AgentUse
from shared.protocol import RELEASE
from shared.saga.causes import Cause
from shared.saga.decide import guest_gave_up
from shared.saga.effects import Order, SendCommand
from shared.saga.phases import Transition, start_agent
from shared.saga.state import SagaState
from shared.saga.troubles import troubled

#: The oldest agent that knows all that this version of the app orders.
OLDEST_AGENT = (0, 1, 0)


def is_too_old(version: str) -> bool:
    """Say whether an agent of this version (``1.2.3``) is older than this app works with."""
    numbers = version.partition("-")[0].split(".")
    if not all(number.isdecimal() for number in numbers):
        return bool(version)
    return tuple(map(int, numbers)) < OLDEST_AGENT


def replace_agent(state: SagaState, version: str, now: int) -> Transition:
    """Have a run command upgrade an agent that is too old, once per generation and where that is allowed."""
    guest = state.spec.guest
    oldest = ".".join(map(str, OLDEST_AGENT))
    upgrades = guest.agent is not AgentUse.RESIDENT and guest.agent_install is AgentInstall.UPGRADE
    if not upgrades or state.agent_generations == state.generation:
        reason = f"the guest's agent is version {version}, needed is {oldest} or newer"
        known = troubled(state, Cause.AGENT_TOO_OLD, code=version, detail=oldest)
        return guest_gave_up(known, now, reason, passing=False)
    assert state.deadline is not None
    release = Order(RELEASE, state.generation, state.sequence + 1, state.deadline)
    started = start_agent(replace(state, sequence=state.sequence + 2))
    return Transition(started.state, (SendCommand(release), *started.effects))
