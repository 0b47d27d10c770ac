"""The contract of the table of resident agents; every test runs in memory and on Azurite."""

from dataclasses import replace

from shared.storage.agents import ResidentAgent
from tests.contract.support import Storage, unique


def agent() -> ResidentAgent:
    return ResidentAgent(f"/subscriptions/s/vm/{unique('vm')}".lower(), "0.1.0", 2, 1_790_000_000_000)


async def test_an_agent_is_read_as_it_was_put_whatever_the_case_of_its_vm(storage: Storage) -> None:
    known = agent()
    await storage.agents.put(known)

    assert await storage.agents.get(known.vm_id) == known
    assert await storage.agents.get(known.vm_id.upper()) == known


async def test_the_last_that_was_heard_of_replaces_what_was_known(storage: Storage) -> None:
    known = agent()
    await storage.agents.put(known)
    later = replace(known, version="0.2.0", key_version=3)
    await storage.agents.put(later)

    assert await storage.agents.get(known.vm_id) == later


async def test_an_agent_is_forgotten_and_forgetting_twice_is_fine(storage: Storage) -> None:
    known = agent()
    await storage.agents.put(known)
    for _ in range(2):
        await storage.agents.forget(known.vm_id)

    assert await storage.agents.get(known.vm_id) is None
