"""The VM is read, its agent started, and orders are sent to it."""

import asyncio
import json
from dataclasses import replace

from shared.compute.agent_package import AgentInstallation
from shared.compute.errors import ComputeError
from shared.engine.effects.captures import explain
from shared.engine.effects.hands import Hands
from shared.engine.orders import session_ms, signed_command
from shared.engine.script_storing import urls_of
from shared.logs import logger
from shared.policy.guest_processing import AgentCredential, AgentInstall, AgentUse
from shared.protocol import QUIESCE, RESUME
from shared.saga.effects import ReadFacts, SendCommand, StartAgent
from shared.saga.events import AgentNotStarted, Event, FactsRead, FactsUnavailable
from shared.saga.state import SagaState

_log = logger("effects")


async def read_facts(hands: Hands, state: SagaState, effect: ReadFacts) -> Event:
    """Read the VM and its disks, and whether an agent is there already."""
    reading = hands.compute.read_facts(effect.vm_id, state.spec.snapshots, state.spec.disks)
    try:
        facts, resident = await asyncio.gather(reading, _has_resident_agent(hands, state))
    except ComputeError as error:
        return FactsUnavailable(error.code, error.detail, error.passing, error.cause)
    return FactsRead(replace(facts, resident_agent=resident))


async def _has_resident_agent(hands: Hands, state: SagaState) -> bool:
    """Whether an agent with the current key was heard of, where that may make a difference."""
    guest = state.spec.guest
    if (
        not state.spec.layers
        and not state.spec.own_tags
        and (not guest.enabled or guest.agent is not AgentUse.AUTO)
    ):
        return False
    agent = await hands.agents.get(state.spec.vm_id)
    return agent is not None and agent.key_version == hands.keys.version


async def start_agent(hands: Hands, state: SagaState, effect: StartAgent) -> Event | None:
    """Have a run command start the agent, with all that it needs to be reached."""
    assert state.facts is not None
    spec = state.spec
    by_sas = spec.guest.agent_credential is AgentCredential.SAS
    await hands.agents.note_use(spec.vm_id, hands.clock())  # before the queue is made: it is never unknown
    urls = await hands.guests.urls(spec.vm_id, session_ms(state), signed=by_sas)
    bootstrap = {
        "vm": spec.vm_id.lower(),
        "key": hands.keys.of_vm(spec.vm_id).hex(),
        "key_version": hands.keys.version,
        "credential": spec.guest.agent_credential.value,
        "client_id": spec.guest.agent_client_id,
        "command_queue": urls.command,
        "ack_queue": urls.ack,
        "command": signed_command(state, effect.order, hands.keys),
        "stay": False,
    }
    try:
        await hands.compute.start_agent(
            state.facts,
            spec.saga_id,
            effect.order.generation,
            json.dumps(bootstrap),
            install=_install(hands, state),
        )
    except ComputeError as error:
        return AgentNotStarted(effect.order.generation, error.code, error.detail, error.passing, error.cause)
    return None


def _install(hands: Hands, state: SagaState) -> AgentInstallation | None:
    mode = state.spec.guest.agent_install
    if hands.package is None or mode is AgentInstall.NEVER:
        return None
    return AgentInstallation(hands.package, upgrade=mode is AgentInstall.UPGRADE)


async def send_command(hands: Hands, state: SagaState, effect: SendCommand) -> None:
    """Put a signed command into the guest's queue, and use the time in which nobody waits."""
    urls = {}
    if effect.order.kind == QUIESCE:
        urls = await urls_of(state.spec.guest, hands.scripts, session_ms(state))
    text = signed_command(state, effect.order, hands.keys, urls)
    await hands.guests.send_command(state.spec.vm_id, text, effect.order.expires_at)
    if effect.order.kind == QUIESCE:
        await _warm(hands, state)
    elif effect.order.kind == RESUME:
        await explain(hands, state)


async def _warm(hands: Hands, state: SagaState) -> None:
    """Get ready for the capture while the guest is still being quiesced: this process may be a fresh one."""
    try:
        await hands.compute.warm(state.spec.vm_id)
    except ComputeError as error:  # the capture will say it again, if it is still so
        _log.warning("not warm: %s", error)
