"""Copies of snapshots in other regions, against the simulator."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from local.arm.contract import violations
from local.arm.faults import Fault
from local.arm.settings import SimSettings
from shared.compute.region_copies import CopyOrder
from shared.policy.snapshots import NetworkAccess, RegionCopySettings, SnapshotSettings, SnapshotSku
from shared.saga.state import RegionCopy
from tests.integration.compute.conftest import SAGA, TAGS, Azure, lost_answer, now_ms, serving

NORTH = RegionCopySettings(region="northeurope")
QUICK = SimSettings(capture_gap_s=0.0, snapshot_latency_s=0.0, background_copy_s=0.0, region_copy_s=0.0)
SLOW = replace(QUICK, region_copy_s=3600.0)
WITHIN_S = 20.0


def order(
    source: str, target: RegionCopySettings = NORTH, settings: SnapshotSettings | None = None
) -> CopyOrder:
    name = f"{source.rpartition('/')[2].replace('sf-', f'sf-{target.region}-')}"
    copy = RegionCopy(
        source_id=source, snapshot_id=f"{source.rpartition('/')[0]}/{name}", region=target.region
    )
    return CopyOrder(copy=copy, target=target, settings=settings or SnapshotSettings(), tags=TAGS)


async def captured(azure: Azure, generation: int = 1) -> list[str]:
    captures = await azure.capture(await azure.targets(generation))
    assert all(capture.captured for capture in captures)
    return [capture.snapshot_id for capture in captures]


async def follow(azure: Azure, orders: list[CopyOrder]) -> list[CopyOrder]:
    copies = await azure.compute.copy_snapshots(orders, SAGA)
    return [replace(each, copy=copy) for each, copy in zip(orders, copies, strict=True)]


async def follow_until(
    azure: Azure, orders: list[CopyOrder], enough: Callable[[RegionCopy], bool]
) -> list[RegionCopy]:
    deadline = now_ms() + 1000 * WITHIN_S
    while not all(enough(each.copy) for each in orders):
        assert now_ms() < deadline, [each.copy for each in orders]
        orders = await follow(azure, orders)
        await asyncio.sleep(0.02)
    return [each.copy for each in orders]


async def test_every_snapshot_is_copied_to_the_region_and_followed_to_the_end() -> None:
    async with serving(settings=replace(QUICK, region_copy_s=0.3)) as azure:
        orders = [order(source) for source in await captured(azure)]
        begun = await follow(azure, orders)
        assert [(each.copy.seen, each.copy.completion_percent) for each in begun] == [(True, 0.0)] * 3
        copies = await follow_until(azure, begun, lambda copy: copy.completion_percent >= 100)
        assert all(not copy.error for copy in copies)
        made = [azure.world.resources.snapshots[copy.snapshot_id.lower()] for copy in copies]
        assert {each.location for each in made} == {"northeurope"}
        assert all(dict(each.tags) == TAGS for each in made)
        assert violations(azure.world.journal.select()) == []
        assert len(azure.requests("PUT", "northeurope")) == 3


async def test_a_copy_is_as_private_as_its_source_and_never_less() -> None:
    access = "/subscriptions/s/resourceGroups/n/providers/Microsoft.Compute/diskAccesses/d"
    async with serving(settings=QUICK) as azure:
        [first, second, third] = await captured(azure)
        private = SnapshotSettings(network_access=NetworkAccess.PRIVATE, disk_access_id=access)
        there = replace(NORTH, disk_access_id=access, sku=SnapshotSku.STANDARD_LRS)
        await follow(azure, [order(first), order(second, settings=private), order(third, there, private)])
        bodies = {each.path.rpartition("-")[2]: each.request_body for each in azure.requests("PUT", "north")}
        policies = {end: body["properties"]["networkAccessPolicy"] for end, body in bodies.items()}
        assert policies == {"os": "DenyAll", "0": "DenyAll", "1": "AllowPrivate"}
        assert bodies["1"]["sku"] == {"name": "Standard_LRS"}
        assert violations(azure.world.journal.select()) == []


async def test_a_source_that_is_not_complete_is_copied_later() -> None:
    async with serving(settings=replace(QUICK, background_copy_s=3600.0)) as azure:
        [*_, slow] = await captured(azure)
        [waiting] = await follow(azure, [order(slow)])
        assert (waiting.copy.error, waiting.copy.seen) == ("", False)
        assert "OperationNotAllowed" in waiting.copy.detail


async def test_a_disk_that_is_being_copied_makes_the_next_copy_wait_and_not_fail() -> None:
    async with serving(settings=SLOW) as azure:
        first, second = (await captured(azure))[0], (await captured(azure, 2))[0]
        await follow(azure, [order(first)])
        [waiting] = await follow(azure, [order(second)])
        assert (waiting.copy.error, waiting.copy.seen) == ("", False)


async def test_a_source_that_is_deleted_meanwhile_ends_the_copy() -> None:
    async with serving(settings=SLOW) as azure:
        [source, *_] = await captured(azure)
        begun = await follow(azure, [order(source)])
        await azure.compute.delete(source, SAGA)
        [copy] = await follow_until(azure, begun, lambda copy: bool(copy.error))
        assert (copy.error, "CopySourceNotFound" in copy.detail) == ("copy_failed", True)
        await azure.compute.delete(copy.snapshot_id, SAGA)
        assert copy.snapshot_id.lower() not in azure.world.resources.snapshots


async def test_a_group_that_is_not_there_and_a_missing_right_are_final() -> None:
    async with serving(settings=QUICK) as azure:
        first, second, _ = await captured(azure)
        nowhere = order(first)
        gone = nowhere.copy.snapshot_id.replace("stillframe-snapshots", "nowhere")
        denied = {"error": {"code": "AuthorizationFailed", "message": "no snapshots/write over there"}}
        there = order(second).copy.snapshot_id.rpartition("/")[2]
        azure.fault(Fault(method="PUT", path_contains=there, status=403, body=denied))
        missing, refused = await follow(
            azure, [replace(nowhere, copy=replace(nowhere.copy, snapshot_id=gone)), order(second)]
        )
    assert (missing.copy.error, refused.copy.error) == ("not_found", "denied")
    assert "no snapshots/write over there" in refused.copy.detail


@pytest.mark.parametrize(
    "fault", [lost_answer(), Fault(method="PUT", path_contains="/snapshots/", status=503)]
)
async def test_what_passes_by_itself_is_tried_again_and_makes_one_copy(fault: Fault) -> None:
    async with serving(settings=QUICK) as azure:
        [source, *_] = await captured(azure)
        azure.fault(fault)
        [copy] = await follow_until(azure, [order(source)], lambda copy: copy.completion_percent >= 100)
        assert copy.error == ""


async def test_a_snapshot_of_somebody_else_is_taken_for_no_copy() -> None:
    async with serving(settings=QUICK) as azure:
        [source, *_] = await captured(azure)
        theirs = replace(order(source), tags={"stillframe-saga": "another"})
        await azure.compute.copy_snapshots([theirs], "another")
        [copy] = await azure.compute.copy_snapshots([order(source)], SAGA)
    assert copy.error == "not_ours"


async def test_a_copy_that_was_there_and_is_gone_is_not_made_again() -> None:
    async with serving(settings=QUICK) as azure:
        [source, *_] = await captured(azure)
        [begun] = await follow(azure, [order(source)])
        await azure.compute.delete(begun.copy.snapshot_id, SAGA)
        [lost] = await follow(azure, [begun])
    assert (lost.copy.error, lost.copy.detail) == ("copy_failed", "it was there, and is gone")
