"""The contract of policy storage; every test runs in memory and on Azurite."""

import asyncio
from dataclasses import replace

import pytest

from shared.storage.errors import PolicyChanged, PolicyNotFound
from shared.storage.policies import DueSchedule
from tests.contract.support import Storage, unique

DUE = 1_790_000_000_000
DOCUMENT = {"schedule": "0 3 * * *", "vms": ["ä" * 40_000]}


def due(name: str, at: int | None, schedule: str = "default") -> DueSchedule:
    return DueSchedule(policy=name, schedule=schedule, next_due=at)


async def due_at(storage: Storage, now: int) -> dict[str, int]:
    return {each.policy: each.next_due or 0 async for each in storage.policies.due(now)}


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
    first = await storage.policies.put(name, DOCUMENT, dues={"default": DUE})
    second = await storage.policies.put(name, {"vms": []}, first.etag, dues={"default": DUE})

    with pytest.raises(PolicyChanged) as raised:
        await storage.policies.put(name, {"vms": ["other"]}, first.etag, dues={"default": DUE + 1})

    assert raised.value.name == name
    assert await storage.policies.get(name) == second
    assert await storage.policies.next_due(name) == DUE


async def test_a_deleted_policy_is_gone_and_never_due(storage: Storage) -> None:
    name = unique("policy")
    stored = await storage.policies.put(name, DOCUMENT, dues={"default": DUE})
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
    await storage.policies.put(scheduled, DOCUMENT, dues={"default": DUE})
    await storage.policies.put(manual, DOCUMENT)

    assert scheduled not in await due_at(storage, DUE - 1)
    dues = await due_at(storage, DUE)
    assert dues[scheduled] == DUE
    assert manual not in dues


async def test_of_all_who_claim_a_due_time_exactly_one_gets_it(storage: Storage) -> None:
    name = unique("policy")
    policy = await storage.policies.put(name, DOCUMENT, dues={"default": DUE})

    answers = await asyncio.gather(
        *(storage.policies.claim_due(due(name, DUE), due(name, DUE + 3_600_000)) for _ in range(6))
    )

    assert sorted(answers) == [False] * 5 + [True]
    assert await storage.policies.next_due(name) == DUE + 3_600_000
    assert (await storage.policies.get(name)).etag == policy.etag
    assert not await storage.policies.claim_due(due(name, DUE), due(name, DUE + 7_200_000))


async def test_a_last_due_time_can_be_claimed_for_good(storage: Storage) -> None:
    name = unique("policy")
    await storage.policies.put(name, DOCUMENT, dues={"default": DUE})

    assert await storage.policies.claim_due(due(name, DUE), due(name, None))

    assert await storage.policies.next_due(name) is None
    assert name not in await due_at(storage, DUE * 2)


async def test_each_schedule_of_a_policy_is_due_and_claimed_by_itself(storage: Storage) -> None:
    name = unique("policy")
    await storage.policies.put(name, DOCUMENT, dues={"nightly": DUE, "hourly": DUE, "weekly": DUE + 1})
    mine = [each async for each in storage.policies.due(DUE) if each.policy == name]
    assert sorted(each.schedule for each in mine) == ["hourly", "nightly"]

    moved = replace(due(name, DUE + 5, "hourly"), last_run="run-1", last_run_at=DUE)
    assert await storage.policies.claim_due(due(name, DUE, "hourly"), moved)

    assert [each async for each in storage.policies.schedules(name) if each.next_due] == [
        moved,
        due(name, DUE, "nightly"),
        due(name, DUE + 1, "weekly"),
    ]


async def test_a_schedule_that_is_taken_out_is_never_due_and_what_became_of_it_is_kept(
    storage: Storage,
) -> None:
    name = unique("policy")
    await storage.policies.put(name, DOCUMENT, dues={"nightly": DUE, "hourly": DUE})
    missed = replace(due(name, DUE + 5, "hourly"), missed_at=DUE, missed_why="too late")
    assert await storage.policies.claim_due(due(name, DUE, "hourly"), missed)

    await storage.policies.put(name, DOCUMENT, dues={"hourly": DUE + 9})

    rows = {each.schedule: each async for each in storage.policies.schedules(name)}
    assert rows["hourly"] == replace(missed, next_due=DUE + 9)
    assert rows["nightly"].next_due is None
    await storage.policies.delete(name)
    assert [each async for each in storage.policies.schedules(name)] == []


async def test_the_schedules_of_policies_with_names_alike_are_not_mixed_up(storage: Storage) -> None:
    name = unique("policy")
    await storage.policies.put(name, DOCUMENT, dues={"db": DUE})
    await storage.policies.put(f"{name}-db", DOCUMENT, dues={"default": DUE, "db": DUE})
    await storage.policies.delete(name)
    rows = [each async for each in storage.policies.schedules(f"{name}-db")]
    assert [each.schedule for each in rows] == ["default", "db"]
    assert [each async for each in storage.policies.schedules(name)] == []
