"""The contract of policy storage; every test runs in memory and on Azurite."""

import asyncio

import pytest

from shared.storage.errors import PolicyChanged, PolicyNotFound
from tests.contract.support import Storage, unique

DUE = 1_790_000_000_000
DOCUMENT = {"schedule": "0 3 * * *", "vms": ["ä" * 40_000]}


async def due_at(storage: Storage, now: int) -> dict[str, int]:
    return {name: due async for name, due in storage.policies.due(now)}


async def test_a_policy_is_read_as_it_was_put(storage: Storage) -> None:
    name = unique("policy")

    stored = await storage.policies.put(name, DOCUMENT)

    assert await storage.policies.get(name) == stored
    assert (stored.name, stored.document) == (name, DOCUMENT)
    assert stored in [policy async for policy in storage.policies.list()]


async def test_an_unconditional_put_replaces_whatever_is_there(storage: Storage) -> None:
    name = unique("policy")
    first = await storage.policies.put(name, DOCUMENT)

    second = await storage.policies.put(name, {"vms": []})

    assert await storage.policies.get(name) == second
    assert second.etag != first.etag


async def test_a_put_with_a_stale_etag_changes_neither_document_nor_due_time(storage: Storage) -> None:
    name = unique("policy")
    first = await storage.policies.put(name, DOCUMENT, next_due=DUE)
    second = await storage.policies.put(name, {"vms": []}, first.etag, next_due=DUE)

    with pytest.raises(PolicyChanged) as raised:
        await storage.policies.put(name, {"vms": ["other"]}, first.etag, next_due=DUE + 1)

    assert raised.value.name == name
    assert await storage.policies.get(name) == second
    assert await storage.policies.next_due(name) == DUE


async def test_a_deleted_policy_is_gone_and_never_due(storage: Storage) -> None:
    name = unique("policy")
    stored = await storage.policies.put(name, DOCUMENT, next_due=DUE)
    with pytest.raises(PolicyChanged):
        await storage.policies.delete(name, 'W/"stale"')

    await storage.policies.delete(name, stored.etag)

    with pytest.raises(PolicyNotFound):
        await storage.policies.get(name)
    with pytest.raises(PolicyNotFound):
        await storage.policies.delete(name)
    assert await storage.policies.next_due(name) is None
    assert name not in await due_at(storage, DUE)


async def test_a_policy_is_due_from_its_time_on(storage: Storage) -> None:
    scheduled, manual = unique("policy"), unique("policy")
    await storage.policies.put(scheduled, DOCUMENT, next_due=DUE)
    await storage.policies.put(manual, DOCUMENT)

    assert scheduled not in await due_at(storage, DUE - 1)
    due = await due_at(storage, DUE)
    assert due[scheduled] == DUE
    assert manual not in due


async def test_of_all_who_claim_a_due_time_exactly_one_gets_it(storage: Storage) -> None:
    name = unique("policy")
    policy = await storage.policies.put(name, DOCUMENT, next_due=DUE)

    answers = await asyncio.gather(
        *(storage.policies.claim_due(name, DUE, DUE + 3_600_000) for _ in range(6))
    )

    assert sorted(answers) == [False] * 5 + [True]
    assert await storage.policies.next_due(name) == DUE + 3_600_000
    assert (await storage.policies.get(name)).etag == policy.etag
    assert not await storage.policies.claim_due(name, DUE, DUE + 7_200_000)


async def test_a_last_due_time_can_be_claimed_for_good(storage: Storage) -> None:
    name = unique("policy")
    await storage.policies.put(name, DOCUMENT, next_due=DUE)

    assert await storage.policies.claim_due(name, DUE, None)

    assert await storage.policies.next_due(name) is None
    assert name not in await due_at(storage, DUE * 2)
