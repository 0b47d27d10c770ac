"""The contract of the catalogue's storage; every test runs in memory and on Azurite."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.saga.consistency import Grade
from shared.saga.state import Outcome
from shared.storage.errors import PointChanged, PointNotFound
from shared.storage.point_records import Hold, PointRecord, PointState
from shared.storage.points import PointTable, Scope, Span, StoredPoint
from shared.storage.tables import Tables
from tests.contract.support import Requests, Storage, unique

T0 = 1_790_000_000_000
HOUR = 3_600_000
EVIDENCE = {"generation": 1, "text": "ä" * 40_000}


def vm_id(name: str, group: str = "g") -> str:
    return f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"


def point(vm: str, created: int = T0, *, policy: str = "nightly", **changes: Any) -> PointRecord:
    values: dict[str, Any] = {
        "point_id": unique("p"),
        "vm_id": vm,
        "policy": policy,
        "run_id": "run-1",
        "generation": 1,
        "outcome": Outcome.SUCCEEDED,
        "grade": Grade.APPLICATION,
        "created": created,
        "recorded": created + 60_000,
        "resources": ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/a",),
        "freeze_window_ms": 1_500,
        "evidence_sha256": "0" * 64,
        "reasons": ("every link is there",),
    }
    return PointRecord(**{**values, **changes})


async def listed(points: AsyncIterator[StoredPoint]) -> list[PointRecord]:
    return [each.record async for each in points]


async def hourly(storage: Storage, vm: str, count: int, **changes: Any) -> list[PointRecord]:
    """Record a point an hour, in the order in which they are listed."""
    records = [point(vm, T0 - number * HOUR, **changes) for number in range(count)]
    await asyncio.gather(*(storage.points.record(record, None) for record in records))
    return records


async def test_a_point_is_read_as_it_was_recorded_and_its_evidence_too(storage: Storage) -> None:
    record = point(vm_id(unique("vm")), hold=Hold(reason="audit", since=T0, until=T0 + 1, immutable=True))
    await storage.points.record(record, EVIDENCE)
    assert (await storage.points.get(record.point_id)).record == record
    assert await storage.points.evidence(record.point_id) == EVIDENCE


async def test_a_point_that_was_never_recorded_is_not_found(storage: Storage) -> None:
    with pytest.raises(PointNotFound):
        await storage.points.get("nobody")
    assert await storage.points.evidence("nobody") is None
    assert await listed(storage.points.of_vms([vm_id("nobody")])) == []
    assert await storage.points.named("nobody") == []
    assert await storage.points.vms_of("no-such-policy") == []


async def test_points_are_listed_newest_first_by_vm_by_policy_and_in_all(storage: Storage) -> None:
    policy, vm, other = unique("policy"), vm_id(unique("vm")), vm_id(unique("vm"))
    mine = await hourly(storage, vm, 40, policy=policy)
    theirs = await hourly(storage, other, 3, policy=policy)
    assert await listed(storage.points.of_vms([vm])) == mine
    assert await listed(storage.points.of_vms([vm.upper()])) == mine
    both = sorted((*mine, *theirs), key=lambda each: (-each.created, each.point_id))
    assert await listed(storage.points.of_vms([vm, other])) == both
    assert await listed(storage.points.of_policy(policy)) == both
    everything = [each for each in await listed(storage.points.of_all()) if each.policy == policy]
    assert everything == both


async def test_a_span_of_time_begins_with_its_first_instant_and_ends_before_its_last(
    storage: Storage,
) -> None:
    policy, vm = unique("policy"), vm_id(unique("vm"))
    records = await hourly(storage, vm, 6, policy=policy)
    span = Span(since=records[3].created, until=records[1].created)
    for found in (storage.points.of_vms([vm], span), storage.points.of_policy(policy, span)):
        assert await listed(found) == records[2:4]
    assert await listed(storage.points.of_vms([vm], Span(since=T0 + 1))) == []
    assert await listed(storage.points.of_vms([vm], Span(until=records[5].created))) == []


async def test_a_list_goes_on_behind_any_of_its_points_also_where_two_are_of_one_instant(
    storage: Storage,
) -> None:
    policy, vm = unique("policy"), vm_id(unique("vm"))
    for _ in range(3):
        await storage.points.record(point(vm, policy=policy), None)
    await storage.points.record(point(vm, T0 - 1, policy=policy), None)
    whole = [each async for each in storage.points.of_policy(policy)]
    for index, each in enumerate(whole):
        span = Span(after=each.place)
        assert [found async for found in storage.points.of_policy(policy, span)] == whole[index + 1 :]
        assert [found async for found in storage.points.of_vms([vm], span)] == whole[index + 1 :]


async def test_recording_again_changes_nothing_whatever_became_of_the_point(storage: Storage) -> None:
    policy, vm = unique("policy"), vm_id(unique("vm"))
    record = point(vm, policy=policy)
    await asyncio.gather(*(storage.points.record(record, EVIDENCE) for _ in range(4)))
    stored = await storage.points.get(record.point_id)
    deleted = replace(record, state=PointState.DELETED, why="older than 30 days", changed=T0 + 1)
    await storage.points.change(stored, deleted)
    await storage.points.record(record, EVIDENCE)
    assert await listed(storage.points.of_policy(policy)) == [deleted]


async def test_who_changes_a_point_that_somebody_else_has_changed_is_told_so(storage: Storage) -> None:
    record = point(vm_id(unique("vm")))
    await storage.points.record(record, None)
    stored = await storage.points.get(record.point_id)
    held = replace(record, hold=Hold(reason="mine", since=T0))
    changed = await storage.points.change(stored, held)
    assert (await storage.points.get(record.point_id)) == changed
    with pytest.raises(PointChanged):
        await storage.points.change(stored, replace(record, state=PointState.DELETING))
    assert (await storage.points.get(record.point_id)).record == held


async def test_a_name_finds_the_vms_that_have_it_and_no_others(storage: Storage) -> None:
    name = unique("db")
    here, there = vm_id(name), vm_id(name.upper(), "other")
    for vm in (here, there, vm_id(f"{name}-1"), vm_id(name[:-1])):
        await storage.points.record(point(vm), None)
    assert set(await storage.points.named(name.upper())) == {here, there}


@pytest.mark.parametrize("count", [0, 3, 7])
async def test_the_vms_of_a_policy_are_paged_without_loss(storage: Storage, count: int) -> None:
    policy = unique("policy")
    vms = {vm_id(unique("vm")) for _ in range(count)}
    for vm in vms:
        await hourly(storage, vm, 2, policy=policy)
    paged: list[str] = []
    after = ""
    while page := await storage.points.vms_of(policy, after=after, size=3):
        paged += [vm for _, vm in page]
        after = page[-1][0]
    assert sorted(paged) == sorted(vms)


async def test_points_of_runs_without_a_policy_have_an_order_of_their_own(storage: Storage) -> None:
    record = point(vm_id(unique("vm")), policy="")
    await storage.points.record(record, None)
    assert record in await listed(storage.points.of_policy(""))
    assert record.vm_id in {vm for _, vm in await storage.points.vms_of("", size=1_000)}


async def test_a_forgotten_point_is_in_no_list_and_forgetting_it_again_is_fine(storage: Storage) -> None:
    policy, vm = unique("policy"), vm_id(unique("vm"))
    gone, stays = await hourly(storage, vm, 2, policy=policy)
    stored = await storage.points.get(gone.point_id)
    await storage.points.forget(stored)
    await storage.points.forget(stored)
    with pytest.raises(PointNotFound):
        await storage.points.get(gone.point_id)
    for found in (storage.points.of_vms([vm]), storage.points.of_policy(policy)):
        assert await listed(found) == [stays]
    assert gone not in await listed(storage.points.of_all())


async def test_scopes_are_remembered_once_whatever_their_case(storage: Storage) -> None:
    group = unique("group")
    await storage.points.note_scopes([Scope("s", group)])
    await storage.points.note_scopes([Scope("S", group.upper()), Scope("s", group)])
    assert len([each for each in await storage.points.scopes() if each.resource_group.lower() == group]) == 1


@pytest.mark.azurite
async def test_a_point_takes_two_requests_to_record_and_listing_a_vm_takes_one(
    watched: Tables, requests: Requests
) -> None:
    points, vm = PointTable(watched), vm_id(unique("vm"))
    await watched.ensure("points")
    mark = len(requests.sent)
    record = point(vm)
    await points.record(record, EVIDENCE)
    assert requests.since(mark) == ["POST $batch"] * 2
    mark = len(requests.sent)
    assert await listed(points.of_vms([vm])) == [record]
    assert requests.since(mark) == ["GET points()"]


@pytest.mark.azurite
async def test_a_change_whose_answer_is_lost_is_known_to_be_made(watched: Tables, requests: Requests) -> None:
    points, record = PointTable(watched), point(vm_id(unique("vm")))
    await points.record(record, None)
    stored = await points.get(record.point_id)
    held = replace(record, hold=Hold(reason="mine", since=T0))
    requests.lose = 1
    changed = await points.change(stored, held)
    assert changed == await points.get(record.point_id)
