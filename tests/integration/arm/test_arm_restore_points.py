"""Restore points through the unmodified client."""

from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from local.arm.contract import violations
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from tests.integration.arm.sim import DB1, LOCATION, VM_GROUP, Sim, code_of, disk_id, simulated, vm_id

COLLECTION: dict[str, Any] = {"location": LOCATION, "properties": {"source": {"id": vm_id("db1")}}}
WINDOWS = replace(DB1, os_type="Windows")


async def _point(sim: Sim, body: dict[str, Any] | None = None, name: str = "p1") -> Any:
    await sim.client.restore_point_collections.create_or_update(VM_GROUP, "c1", COLLECTION)
    poller = await sim.client.restore_points.begin_create(VM_GROUP, "c1", name, body or {"properties": {}})
    return await poller.result()


async def test_a_collection_is_made_at_once_and_again_without_harm(sim: Sim) -> None:
    first = await sim.client.restore_point_collections.create_or_update(VM_GROUP, "c1", COLLECTION)
    second = await sim.client.restore_point_collections.create_or_update(VM_GROUP, "c1", COLLECTION)

    assert first.restore_point_collection_id == second.restore_point_collection_id
    assert [item.status for item in sim.world.journal.select(method="PUT")] == [201, 200]


async def test_a_collections_tags_are_replaced_by_an_update(sim: Sim) -> None:
    made = await sim.client.restore_point_collections.create_or_update(
        VM_GROUP, "c1", {**COLLECTION, "tags": {"a": "1"}}
    )
    changed = await sim.client.restore_point_collections.update(VM_GROUP, "c1", {"tags": {"b": "2"}})

    assert (made.tags, changed.tags) == ({"a": "1"}, {"b": "2"})
    assert (await sim.client.restore_point_collections.get(VM_GROUP, "c1")).tags == {"b": "2"}
    assert violations(sim.world.journal.select()) == []


@pytest.mark.parametrize(
    ("vm", "asked", "reached"),
    [
        (DB1, None, "FileSystemConsistent"),
        (WINDOWS, None, "ApplicationConsistent"),
        (replace(WINDOWS, restore_point_consistency="CrashConsistent"), None, "CrashConsistent"),
        (replace(DB1, power="deallocated"), None, "CrashConsistent"),
        (VmSpec(name="db1", disks=(DB1.os_disk,)), "CrashConsistent", "CrashConsistent"),
    ],
)
async def test_what_a_restore_point_came_to_is_read_back_afterwards(
    vm: VmSpec, asked: str | None, reached: str
) -> None:
    async with simulated(vm) as sim:
        point = await _point(sim, {"properties": {"consistencyMode": asked} if asked else {}})

        assert (point.consistency_mode, point.provisioning_state) == (reached, "Succeeded")
        assert point.time_created is not None
        assert violations(sim.world.journal.select()) == []


async def test_the_first_answer_has_an_operation_but_no_location_and_no_consistency_yet(sim: Sim) -> None:
    await _point(sim)

    put = list(sim.world.journal.select(method="PUT"))[-1]
    assert put.status == 201
    assert put.response_body["properties"] == {"provisioningState": "Creating"}
    assert "type" not in put.response_body
    assert "/locations/westeurope/operations/" in put.response_headers["azure-asyncoperation"]
    assert "location" not in put.response_headers


async def test_a_restore_point_names_a_disk_restore_point_for_each_disk(sim: Sim) -> None:
    point = await _point(sim, {"properties": {"excludeDisks": [{"id": disk_id("db1-accounts")}]}})

    profile = point.source_metadata.storage_profile
    ids = [profile.os_disk.disk_restore_point.id, profile.data_disks[0].disk_restore_point.id]
    assert len(profile.data_disks) == 1
    assert sorted(item.disk_name for item in sim.disks.captured) == ["db1-journal", "db1-os"]
    name = ids[0].rpartition("/")[2]
    single = await sim.client.disk_restore_point.get(VM_GROUP, "c1", "p1", name)
    listed = [
        item.id async for item in sim.client.disk_restore_point.list_by_restore_point(VM_GROUP, "c1", "p1")
    ]
    assert (single.source_resource_id, sorted(listed)) == (disk_id("db1-os"), sorted(ids))


async def test_the_instance_view_tells_how_far_replication_has_come() -> None:
    async with simulated(settings=SimSettings(background_copy_s=600)) as sim:
        await _point(sim)

        early = await sim.client.restore_points.get(VM_GROUP, "c1", "p1", expand="instanceView")
        sim.clock.shift_s = 700
        late = await sim.client.restore_points.get(VM_GROUP, "c1", "p1", expand="instanceView")

        codes = [
            view.instance_view.disk_restore_points[0].replication_status.status.code for view in (early, late)
        ]
        assert codes == ["ReplicationState/replicating", "ReplicationState/succeeded"]


async def test_application_consistency_cannot_be_asked_for_by_name(sim: Sim) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await _point(sim, {"properties": {"consistencyMode": "ApplicationConsistent"}})

    assert caught.value.status_code == 400


async def test_a_crash_consistent_restore_point_cannot_hold_premium_ssd_v2(sim: Sim) -> None:
    with pytest.raises(ResourceExistsError) as caught:
        await _point(sim, {"properties": {"consistencyMode": "CrashConsistent"}})

    assert code_of(caught.value) == "OperationNotAllowed"


async def test_a_restore_point_cannot_be_made_again_nor_two_at_once() -> None:
    async with simulated(settings=SimSettings(restore_point_latency_s=0.3)) as sim:
        await sim.client.restore_point_collections.create_or_update(VM_GROUP, "c1", COLLECTION)
        first = await sim.client.restore_points.begin_create(VM_GROUP, "c1", "p1", {"properties": {}})
        with pytest.raises(ResourceExistsError):
            await sim.client.restore_points.begin_create(VM_GROUP, "c1", "p2", {"properties": {}})
        await first.result()
        with pytest.raises(ResourceExistsError):
            await sim.client.restore_points.begin_create(VM_GROUP, "c1", "p1", {"properties": {}})


async def test_an_agent_that_is_not_ready_fails_an_application_consistent_restore_point() -> None:
    spec = VmSpec(name="db1", disks=(DiskSpec(name="db1-os"),), agent_ready=False)
    async with simulated(spec) as sim:
        with pytest.raises(HttpResponseError) as caught:
            await _point(sim)

        assert code_of(caught.value) == "VMAgentStatusCommunicationError"
        left = await sim.client.restore_points.get(VM_GROUP, "c1", "p1")
        assert left.provisioning_state == "Failed"


async def test_deleting_a_collection_deletes_its_restore_points(sim: Sim) -> None:
    await _point(sim, name="p1")
    await _point(sim, name="p2")
    await (await sim.client.restore_points.begin_delete(VM_GROUP, "c1", "p1")).result()
    collection = await sim.client.restore_point_collections.get(VM_GROUP, "c1", expand="restorePoints")
    assert [point.name for point in collection.restore_points] == ["p2"]

    await (await sim.client.restore_point_collections.begin_delete(VM_GROUP, "c1")).result()

    assert len(sim.disks.discarded) == 6
    with pytest.raises(ResourceNotFoundError):
        await sim.client.restore_points.get(VM_GROUP, "c1", "p2")


async def test_a_restore_point_without_its_collection_has_no_parent(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await sim.client.restore_points.begin_create(VM_GROUP, "c9", "p1", {"properties": {}})

    assert code_of(caught.value) == "ParentResourceNotFound"
