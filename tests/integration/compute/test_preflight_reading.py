"""Looking at a VM before a run, against the simulator: only GETs, and every piece that is missing by name."""

from dataclasses import replace
from typing import Any

import pytest

from local.arm.contract import violations
from local.arm.faults import Fault
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec
from shared.engine.orders import Keys
from shared.engine.preflighting import Preflights
from shared.engine.run_settings import RunSettings
from shared.policy.guest_processing import GuestProcessing
from shared.policy.snapshots import RecoveryPointKind, RegionCopySettings, SnapshotSettings
from shared.storage.agents import AgentTable
from shared.storage.memory import MemoryTables
from tests.integration.compute.conftest import DB1, SNAPSHOTS, Azure, now_ms, serving

SETTINGS = SnapshotSettings(resource_group=SNAPSHOTS)


def settings_of(snapshots: SnapshotSettings) -> RunSettings:
    return RunSettings(policy_name="", guest=GuestProcessing(), layers=(), snapshots=snapshots)


async def look(azure: Azure, snapshots: SnapshotSettings = SETTINGS) -> dict[str, Any]:
    preflights = Preflights(azure.compute, AgentTable(MemoryTables()), Keys(b"m" * 32), now_ms)
    view = await preflights.look(azure.vm_id, settings_of(snapshots))
    assert [each.method for each in azure.world.journal.select() if each.method != "GET"] == []
    assert violations(azure.world.journal.select()) == []
    return view


def denied(action: str, path: str) -> Fault:
    message = f"The client does not have authorization to perform action '{action}' over scope '/s'."
    body = {"error": {"code": "AuthorizationFailed", "message": message}}
    return Fault(method="GET", path_contains=path, status=403, body=body)


def sentences(view: dict[str, Any], code: str) -> list[str]:
    return [check["sentence"] for check in view["checks"] if check["code"] == code]


async def test_a_vm_that_is_well_is_looked_at_by_reading_alone(azure: Azure) -> None:
    view = await look(azure)
    assert (view["level"], view["best_grade"]) == ("ok", "filesystem")
    assert [disk["name"] for disk in view["disks"]] == ["db1-os", "db1-journal", "db1-accounts"]


@pytest.mark.parametrize("kind", RecoveryPointKind)
async def test_the_same_of_a_restore_point(kind: RecoveryPointKind) -> None:
    async with serving(replace(DB1, disks=DB1.disks[:2])) as azure:
        assert (await look(azure, replace(SETTINGS, recovery_point=kind)))["level"] == "ok"


@pytest.mark.parametrize(
    ("action", "path"),
    [
        ("Microsoft.Compute/virtualMachines/read", "/virtualMachines/db1"),
        ("Microsoft.Compute/disks/read", "/disks/db1-journal"),
        ("Microsoft.Compute/snapshots/read", f"{SNAPSHOTS}/providers/Microsoft.Compute/snapshots"),
    ],
)
async def test_a_missing_right_is_told_with_its_action(azure: Azure, action: str, path: str) -> None:
    azure.fault(denied(action, path), times=10)
    view = await look(azure)
    assert (view["level"], view["best_grade"]) == ("error", None)
    [told] = sentences(view, "right_missing")
    assert f"'{action}'" in told
    assert "infra/roles" in view["checks"][0]["what_to_do"]


async def test_a_group_of_snapshots_that_is_not_there_stops_and_one_of_copies_weakens(azure: Azure) -> None:
    stopped = await look(azure, replace(SETTINGS, resource_group="nowhere"))
    assert (stopped["level"], stopped["best_grade"]) == ("error", None)
    assert "nowhere" in sentences(stopped, "group_unreadable")[0]
    copies = (RegionCopySettings(region="northeurope", resource_group="nowhere"),)
    weakened = await look(azure, replace(SETTINGS, copy_to=copies))
    assert (weakened["level"], weakened["best_grade"]) == ("warning", "filesystem")


async def test_limits_are_told_before_they_are_reached_and_when_they_are() -> None:
    async with serving(settings=SimSettings(capture_gap_s=0.0, background_copy_s=0.0)) as azure:
        for generation in range(1, 6):
            await azure.capture(await azure.targets(generation))
        azure.world.journal.clear()
        near = await look(azure)
        assert near["level"] == "warning"
        assert "got 5 of 7 incremental snapshots" in sentences(near, "near_limit")[0]
        for generation in (6, 7):
            await azure.capture(await azure.targets(generation))
        azure.world.journal.clear()
        reached = await look(azure)
        assert (reached["level"], reached["best_grade"]) == ("warning", "filesystem")
        assert "7 are allowed" in sentences(reached, "limit_for_now")[0]
        assert sentences(reached, "near_limit") == []


@pytest.mark.parametrize(
    "disk",
    [DiskSpec(name="shared", lun=2, max_shares=2), DiskSpec(name="young", lun=2, completion_percent=40.0)],
)
async def test_disks_that_cannot_be_snapshotted_stop(disk: DiskSpec) -> None:
    async with serving(replace(DB1, disks=(*DB1.disks, disk))) as azure:
        view = await look(azure)
    assert view["level"] == "error"
    assert disk.name in sentences(view, "obstacle")[0]


async def test_what_a_disk_does_not_take_of_the_settings_weakens() -> None:
    async with serving() as azure:
        view = await look(azure, replace(SETTINGS, instant_access_minutes=60))
    assert view["level"] == "warning"
    assert len(sentences(view, "setting_does_not_fit")) == 2


async def test_a_vm_agent_that_is_not_ready_stops_a_strict_policy() -> None:
    async with serving(replace(DB1, agent_ready=False)) as azure:
        view = await look(azure)
    assert view["level"] == "error"
    assert sentences(view, "vm_agent_not_ready")


async def test_a_vm_that_is_gone_is_told() -> None:
    async with serving() as azure:
        azure.world.resources.vms.clear()
        preflights = Preflights(azure.compute, AgentTable(MemoryTables()), Keys(b"m" * 32), now_ms)
        group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/stillframe-vms"
        gone = f"{group}/providers/Microsoft.Compute/virtualMachines/gone"
        view = await preflights.look(gone, settings_of(SETTINGS))
    assert [check["code"] for check in view["checks"]] == ["vm_unreadable"]
