"""VMs and disks as the client sees them, and setting them up."""

import aiohttp
import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.arm.described import InvalidSpecError
from local.arm.specs import DiskSpec, VmSpec
from tests.integration.arm.sim import DB1, SNAPSHOT_GROUP, VM_GROUP, Sim, disk_id, simulated, snapshot_of


async def test_a_vm_shows_its_disks_by_lun_its_power_and_its_agent(sim: Sim) -> None:
    vm = await sim.client.virtual_machines.get(VM_GROUP, "db1", expand="instanceView")

    assert vm.storage_profile.os_disk.managed_disk.id == disk_id("db1-os")
    assert [(disk.lun, disk.managed_disk.id) for disk in vm.storage_profile.data_disks] == [
        (0, disk_id("db1-journal")),
        (1, disk_id("db1-accounts")),
    ]
    codes = [status.code for status in vm.instance_view.statuses]
    assert codes == ["ProvisioningState/succeeded", "PowerState/running"]
    assert vm.instance_view.vm_agent.statuses[0].display_status == "Ready"
    assert (vm.location, vm.tags, len(vm.vm_id)) == ("westeurope", {"env": "test"}, 36)
    assert vm.identity.principal_id


async def test_the_instance_view_comes_only_when_it_is_asked_for(sim: Sim) -> None:
    vm = await sim.client.virtual_machines.get(VM_GROUP, "db1")
    view = await sim.client.virtual_machines.instance_view(VM_GROUP, "db1")

    assert vm.instance_view is None
    assert view.statuses[1].code == "PowerState/running"


async def test_a_disk_shows_its_sku_size_and_state(sim: Sim) -> None:
    disk = await sim.client.disks.get(VM_GROUP, "db1-accounts")

    assert (disk.sku.name, disk.disk_size_gb, disk.disk_state) == ("PremiumV2_LRS", 8, "Attached")
    assert disk.completion_percent == 100
    assert disk.managed_by.endswith("/virtualMachines/db1")


async def test_vms_are_listed_by_group_and_by_subscription_with_their_status(sim: Sim) -> None:
    by_group = [vm.name async for vm in sim.client.virtual_machines.list(VM_GROUP)]
    by_subscription = [vm async for vm in sim.client.virtual_machines.list_all(status_only="true")]

    assert by_group == ["db1"]
    assert by_subscription[0].instance_view.statuses[1].code == "PowerState/running"


async def test_a_vm_can_be_added_and_stopped_while_the_simulator_runs(sim: Sim) -> None:
    new = {"name": "web1", "disks": [{"name": "web1-os"}], "resource_group": "other-group"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{sim.base_url}/_sim/vms", json=new) as response:
            assert response.status == 201
        change = {"power": "deallocated"}
        async with session.patch(f"{sim.base_url}/_sim/vms/other-group/web1", json=change) as response:
            assert response.status == 200

    view = await sim.client.virtual_machines.instance_view("other-group", "web1")
    assert [status.code for status in view.statuses] == [
        "ProvisioningState/succeeded",
        "PowerState/deallocated",
    ]
    assert view.vm_agent is None
    assert (await sim.client.disks.get("other-group", "web1-os")).disk_state == "Reserved"


async def test_an_agent_that_is_not_ready_says_so() -> None:
    spec = VmSpec(name="vm1", disks=(DiskSpec(name="vm1-os"),), agent_ready=False)
    async with simulated(spec) as sim:
        view = await sim.client.virtual_machines.instance_view(VM_GROUP, "vm1")

    assert view.vm_agent.statuses[0].display_status == "Not Ready"


@pytest.mark.parametrize(
    ("vm", "field"),
    [
        ({"disks": []}, "vm.name"),
        ({"name": "x", "disks": []}, "disks"),
        ({"name": "x", "disks": [{"name": "d"}], "colour": "red"}, "vm.colour"),
        ({"name": "x", "disks": [{"lun": 1}]}, "disks[0].name"),
        ({"name": "x", "disks": [{"name": "d"}], "power": "on"}, "power"),
        ({"name": "x", "disks": [{"name": "db1-os"}]}, "disks"),
        ({"name": "x", "disks": "d"}, "vm.disks"),
        ({"name": "x", "disks": [{"name": 5}]}, "disks[0].name"),
        ({"name": "x", "disks": [{"name": "d", "lun": True}]}, "disks[0].lun"),
        ({"name": "x", "disks": [{"name": "d"}], "tags": []}, "vm.tags"),
        ({"name": "DB1", "resource_group": "other", "disks": [{"name": "d"}]}, "name"),
    ],
)
async def test_a_vm_that_cannot_be_is_refused_with_the_members_name(
    sim: Sim, vm: dict[str, object], field: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sim.base_url}/_sim/vms", json=vm) as response,
    ):
        assert (response.status, (await response.json())["field"]) == (400, field)


def test_two_disks_cannot_have_one_lun() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        VmSpec(name="x", disks=(DiskSpec(name="a"), DiskSpec(name="b", lun=0), DiskSpec(name="c", lun=0)))

    assert caught.value.field == "disks"


async def test_a_replaced_vm_has_only_its_new_disks(sim: Sim) -> None:
    sim.world.put_vm(VmSpec(name="db1", disks=(DB1.os_disk,)))

    vm = await sim.client.virtual_machines.get(VM_GROUP, "db1")
    assert vm.storage_profile.data_disks == []
    with pytest.raises(ResourceNotFoundError):
        await sim.client.disks.get(VM_GROUP, "db1-journal")


async def test_the_journal_and_the_captures_can_be_filtered(sim: Sim) -> None:
    await sim.client.virtual_machines.get(VM_GROUP, "db1")
    for name, disk in (("s1", "db1-os"), ("s2", "db1-journal")):
        poller = await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, name, snapshot_of(disk))
        await poller.result()

    everything = await sim.admin("journal")
    puts = await sim.admin("journal?method=PUT&path_contains=/SNAPSHOTS/")
    assert [item["sequence"] for item in everything] == list(range(1, len(everything) + 1))
    assert [item["path"].rpartition("/")[2] for item in puts] == ["s1", "s2"]
    assert await sim.admin(f"journal?after={len(everything)}") == []
    assert {item["status"] for item in await sim.admin("journal?status=202")} == {202}
    assert [item["snapshot"] for item in await sim.admin("captures?disk=db1-journal")] == ["s2"]
    assert [item["disk"] for item in await sim.admin("captures?snapshot=s1")] == ["db1-os"]
    assert await sim.admin("captures?vm=db2") == []
    assert (await sim.admin("journal?after=x"))["error"]["target"] == "after"
