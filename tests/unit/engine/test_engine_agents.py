"""Agents that live in their guests: remembered, woken, and given newer keys."""

import json
from typing import Any

from shared.compute.agent_package import AgentInstallation, AgentPackage
from shared.engine.orders import Keys
from shared.protocol import ARM, QUIESCE, RESUME
from shared.storage.agents import ResidentAgent
from shared.storage.guest_names import command_queue
from tests.unit.engine.house import MASTER, VM, House

PACKAGE = AgentPackage("https://example.org/agent.pyz?sig=secret", "0" * 64)


def enrolled(version: int = 1) -> dict[str, Any]:
    """Give what a resident agent was installed with."""
    return {
        "vm": VM.lower(),
        "key": Keys(MASTER, version).of_vm(VM).hex(),
        "key_version": version,
        "command_queue": f"https://memory.invalid/{command_queue(VM)}",
        "ack_queue": "https://memory.invalid/stillframe-acks",
    }


async def with_resident_agent(*, known: bool = True, **row: Any) -> House:
    house = House()
    house.guest().resides(enrolled())
    if known:
        await house.agents.put(ResidentAgent(VM, "0.1.0", row.get("key_version", 1), 0))
    return house


async def test_a_resident_agent_that_was_heard_of_is_woken_without_a_run_command() -> None:
    house = await with_resident_agent()
    run = await house.ask()
    await house.settle()

    assert (await house.view(run))["grade"] == "application"
    assert house.compute.bootstraps == []
    assert [command.kind for command in house.guest().commands] == [ARM, QUIESCE, RESUME]


async def test_an_agent_that_says_it_is_resident_is_remembered() -> None:
    house = House()
    house.guest().resident = True
    await house.ask()
    await house.settle()

    agent = await house.agents.get(VM.upper())
    assert agent is not None
    assert (agent.vm_id, agent.version, agent.key_version) == (VM.lower(), "0.1.0", 1)
    assert len(house.compute.bootstraps) == 1


async def test_one_that_is_gone_is_started_by_a_run_command_and_forgotten() -> None:
    house = House()
    await house.agents.put(ResidentAgent(VM, "0.1.0", 1, 0))
    run = await house.ask()
    await house.settle()

    assert (await house.view(run))["outcome"] == "succeeded"
    assert len(house.compute.bootstraps) == 1
    assert await house.agents.get(VM) is None


async def test_one_with_an_older_key_is_not_woken_but_brought_the_newer() -> None:
    house = await with_resident_agent(key_version=7)
    run = await house.ask()
    await house.settle()

    assert (await house.view(run))["outcome"] == "succeeded"
    [bootstrap] = house.compute.bootstraps
    assert json.loads(bootstrap)["key_version"] == 1


async def test_a_policy_may_have_run_commands_always_or_never() -> None:
    house = await with_resident_agent()
    await house.ask(agent="run_command")
    await house.settle()
    assert len(house.compute.bootstraps) == 1

    house = await with_resident_agent(known=False)
    run = await house.ask(agent="resident")
    await house.settle()
    assert house.compute.bootstraps == []
    assert (await house.view(run))["outcome"] == "succeeded"


async def test_a_bootstrap_for_a_managed_identity_holds_no_signature() -> None:
    house = House()
    await house.ask(agent_credential="managed_identity", agent_client_id="11-22")
    await house.settle()

    [text] = house.compute.bootstraps
    bootstrap = json.loads(text)
    assert (bootstrap["credential"], bootstrap["client_id"]) == ("managed_identity", "11-22")
    assert "?" not in bootstrap["command_queue"] + bootstrap["ack_queue"]


async def test_a_run_command_may_install_what_is_pinned_as_far_as_the_policy_allows() -> None:
    allowed = {
        "upgrade": AgentInstallation(PACKAGE, upgrade=True),
        "missing": AgentInstallation(PACKAGE, upgrade=False),
        "never": None,
    }
    for mode, installation in allowed.items():
        house = House(package=PACKAGE)
        await house.ask(agent_install=mode)
        await house.settle()
        assert house.compute.installations == [installation]


def test_a_package_does_not_show_its_secret() -> None:
    assert "secret" not in repr(AgentInstallation(PACKAGE, upgrade=True))
