"""Which disks are read, snapshotted and left out, as Azure sees it."""

from collections.abc import Mapping
from dataclasses import replace

from local.arm.specs import DiskSpec
from shared.compute import RestorePointTarget
from shared.policy.disks import DiskKind, DiskRule, DiskSelection
from shared.policy.snapshots import RecoveryPointKind, SnapshotSettings
from shared.saga.names import restore_point_id
from tests.integration.compute.conftest import DB1, SAGA, SNAPSHOTS, Azure, now_ms, serving

SETTINGS = SnapshotSettings(resource_group=SNAPSHOTS)
NO_ACCOUNTS = DiskSelection(exclude=(DiskRule(luns=(1,)),))


def tagged(tags: Mapping[str, str]) -> DiskSelection:
    return DiskSelection(exclude=(DiskRule(tags=tuple(tags.items())),))


async def test_a_disk_that_is_left_out_by_its_lun_is_not_even_read(azure: Azure) -> None:
    facts = await azure.compute.read_facts(azure.vm_id, SETTINGS, NO_ACCOUNTS)

    assert [disk.name for disk in facts.disks] == ["db1-os", "db1-journal"]
    [out] = facts.left_out
    assert (out.name, out.lun, out.why) == ("db1-accounts", 1, "disks.exclude names it")
    assert out.disk_id.endswith("/disks/db1-accounts")
    assert azure.requests("GET", "disks/db1-accounts") == []


async def test_by_tags_every_disk_is_read_once() -> None:
    disks = (DB1.disks[0], replace(DB1.disks[1], tags={"Backup": "no"}), DB1.disks[2])
    async with serving(replace(DB1, disks=disks)) as azure:
        facts = await azure.compute.read_facts(azure.vm_id, SETTINGS, tagged({"backup": "no"}))
        assert [disk.name for disk in facts.disks] == ["db1-os", "db1-accounts"]
        assert len(azure.requests("GET", "/disks/")) == 3


async def test_what_is_wrong_with_a_disk_that_is_left_out_stops_nothing() -> None:
    shared = DiskSpec(name="db1-shared", lun=1, max_shares=2)
    async with serving(replace(DB1, disks=(*DB1.disks[:2], shared))) as azure:
        assert (await azure.compute.read_facts(azure.vm_id, SETTINGS)).obstacles
        assert (await azure.compute.read_facts(azure.vm_id, SETTINGS, NO_ACCOUNTS)).obstacles == ()


async def test_nothing_selected_is_told_by_what_is_left_out(azure: Azure) -> None:
    nothing = DiskSelection(exclude=(DiskRule(kinds=tuple(DiskKind)),))
    facts = await azure.compute.read_facts(azure.vm_id, SETTINGS, nothing)
    assert (facts.disks, len(facts.left_out), facts.obstacles) == ((), 3, ())


async def test_a_restore_point_is_asked_for_without_the_disks_that_are_left_out(azure: Azure) -> None:
    settings = replace(SETTINGS, recovery_point=RecoveryPointKind.RESTORE_POINT)
    facts = await azure.compute.read_facts(azure.vm_id, settings, NO_ACCOUNTS)
    now = now_ms()
    captures, _ = await azure.compute.take_restore_point(
        RestorePointTarget(
            point_id=restore_point_id(azure.vm_id, SNAPSHOTS, SAGA, 1),
            vm_id=azure.vm_id,
            location=facts.location,
            consistency="CrashConsistent",
            disks=facts.disks,
            excluded=[disk.disk_id for disk in facts.left_out],
            tags={},
        ),
        not_before=now,
        deadline=now + 20_000,
        held=True,
    )
    assert [(capture.lun, capture.error) for capture in captures] == [(None, ""), (0, "")]
    [point] = azure.world.resources.restore_points.values()
    assert [each.disk.id.name for each in point.disks] == ["db1-os", "db1-journal"]
