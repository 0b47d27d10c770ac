"""What a policy says of its snapshots, in the requests that Azure gets."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from local.arm.contract import violations
from local.arm.specs import DiskSpec
from shared.compute import CaptureTarget
from shared.policy.snapshots import NetworkAccess, SnapshotSettings, SnapshotSku
from tests.integration.compute.conftest import DB1, SNAPSHOTS, TAGS, Azure, serving

ACCESS = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net"
    "/providers/Microsoft.Compute/diskAccesses/private"
)


@asynccontextmanager
async def asked(settings: SnapshotSettings) -> AsyncIterator[tuple[Azure, dict[str, Mapping[str, Any]]]]:
    """Snapshot every disk with these settings, and give the requests by the end of the snapshot's name."""
    async with serving() as azure:
        targets = [replace(target, settings=settings) for target in await azure.targets()]
        captures = await azure.capture(targets)
        assert [capture.error for capture in captures] == ["", "", ""]
        assert violations(azure.world.journal.select()) == []
        bodies = {each.path.rpartition("-")[2]: each.request_body for each in azure.requests("PUT")}
        yield azure, bodies


async def test_without_settings_nobody_can_download_and_azure_takes_the_storage() -> None:
    async with asked(SnapshotSettings()) as (_, bodies):
        properties = bodies["os"]["properties"]
        assert properties["incremental"] is True
        assert (properties["networkAccessPolicy"], properties["publicNetworkAccess"]) == (
            "DenyAll",
            "Disabled",
        )
        assert "sku" not in bodies["os"]
        assert "instantAccessDurationMinutes" not in bodies["1"]["properties"]["creationData"]


async def test_storage_and_private_access_are_asked_for() -> None:
    settings = SnapshotSettings(
        sku=SnapshotSku.STANDARD_ZRS, network_access=NetworkAccess.PRIVATE, disk_access_id=ACCESS
    )
    async with asked(settings) as (azure, bodies):
        properties = bodies["0"]["properties"]
        assert bodies["0"]["sku"] == {"name": "Standard_ZRS"}
        assert (properties["networkAccessPolicy"], properties["diskAccessId"]) == ("AllowPrivate", ACCESS)
        assert properties["publicNetworkAccess"] == "Disabled"
        assert {each.sku for each in azure.world.resources.snapshots.values()} == {"Standard_ZRS"}


async def test_access_for_all_is_opened_to_the_internet_too() -> None:
    async with asked(SnapshotSettings(network_access=NetworkAccess.ALLOW_ALL)) as (_, bodies):
        properties = bodies["0"]["properties"]
        assert (properties["networkAccessPolicy"], properties["publicNetworkAccess"]) == (
            "AllowAll",
            "Enabled",
        )


async def test_instant_access_is_asked_for_where_the_disk_has_it_and_nowhere_else() -> None:
    async with asked(SnapshotSettings(instant_access_minutes=90)) as (_, bodies):
        minutes = {
            end: body["properties"]["creationData"].get("instantAccessDurationMinutes")
            for end, body in bodies.items()
        }
        assert minutes == {"os": None, "0": None, "1": 90}


async def test_full_snapshots_are_on_premium_storage_if_wanted_but_not_of_every_disk() -> None:
    settings = SnapshotSettings(incremental=False, sku=SnapshotSku.PREMIUM_LRS, resource_group=SNAPSHOTS)
    plain = replace(DB1, disks=DB1.disks[:2])
    async with serving(plain) as azure:
        facts = await azure.compute.read_facts(azure.vm_id, settings)
        targets = [replace(target, settings=settings) for target in await azure.targets()]
        captures = await azure.capture(targets)
        assert facts.obstacles == ()
        assert all(capture.captured for capture in captures)
    async with serving() as azure:
        facts = await azure.compute.read_facts(azure.vm_id, settings)
    assert facts.obstacles == (
        "disk db1-accounts (PremiumV2_LRS) has no full snapshots, only incremental ones",
    )


async def test_each_snapshot_has_the_tags_of_its_own_disk_and_those_of_the_saga_win() -> None:
    async with serving() as azure:
        targets = [
            CaptureTarget(
                target.disk, target.snapshot_id, tags={"disk": target.disk.name, "stillframe-run": "?"}
            )
            for target in await azure.targets()
        ]
        await azure.capture(targets)
        tags = {dict(each.tags)["disk"]: dict(each.tags) for each in azure.world.resources.snapshots.values()}
    assert tags == {name: {"disk": name, **TAGS} for name in ("db1-os", "db1-journal", "db1-accounts")}


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_disks_tags_are_read_where_they_are_wanted_and_as_many_as_fit(*, wanted: bool) -> None:
    tagged = DiskSpec(name="db1-os", tags={f"t{number}": "x" * 256 for number in range(50)})
    settings = SnapshotSettings(resource_group=SNAPSHOTS, copy_disk_tags=wanted)
    async with serving(replace(DB1, disks=(tagged,))) as azure:
        [disk] = (await azure.compute.read_facts(azure.vm_id, settings)).disks
    assert (len(disk.tags) + disk.tags_left_out, bool(disk.tags)) == ((50, True) if wanted else (0, False))
    assert sum(len(name) + len(value) for name, value in disk.tags) < 4_000
