"""Disks of snapshots and restore points, and VMs of disks, by the real client."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from local.arm.settings import SimSettings
from tests.integration.arm.sim import LOCATION, SUBSCRIPTION, VM_GROUP, Sim, simulated

DISKS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}/providers/Microsoft.Compute/disks"
NIC = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}/providers/Microsoft.Network/networkInterfaces/n"
)


async def snapshot(sim: Sim, disk: str) -> str:
    body = {
        "location": LOCATION,
        "properties": {
            "creationData": {"createOption": "Copy", "sourceResourceId": f"{DISKS}/{disk}"},
            "incremental": True,
        },
    }
    poller = await sim.client.snapshots.begin_create_or_update(VM_GROUP, f"s-{disk}", body)
    return str((await poller.result()).id)


def disk_of(source: str, **more: Any) -> dict[str, Any]:
    properties = {"creationData": {"createOption": "Copy", "sourceResourceId": source}}
    return {"location": LOCATION, "sku": {"name": "Premium_LRS"}, "properties": properties, **more}


async def make_disk(sim: Sim, name: str, body: dict[str, Any]) -> Any:
    return await (await sim.client.disks.begin_create_or_update(VM_GROUP, name, body)).result()


def vm_of(*disks: str, **more: Any) -> dict[str, Any]:
    system, *data = [{"createOption": "Attach", "managedDisk": {"id": f"{DISKS}/{each}"}} for each in disks]
    return {
        "location": LOCATION,
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_E4s_v5"},
            "storageProfile": {
                "osDisk": {"osType": "Linux", "caching": "ReadWrite", **system},
                "dataDisks": [{"lun": lun, "caching": "ReadOnly", **each} for lun, each in enumerate(data)],
            },
            "networkProfile": {"networkInterfaces": [{"id": NIC}]},
            **more,
        },
    }


async def make_vm(sim: Sim, name: str, body: dict[str, Any]) -> Any:
    return await (await sim.client.virtual_machines.begin_create_or_update(VM_GROUP, name, body)).result()


async def refused(call: Any) -> tuple[int | None, str]:
    with pytest.raises(HttpResponseError) as refusal:
        await call
    error = refusal.value.error
    return refusal.value.status_code, str(error.code if error else "")


async def test_a_vm_is_made_of_disks_that_are_made_of_snapshots_and_is_gone_again_with_its_disks_left() -> (
    None
):
    async with simulated() as sim:
        for source, name in (("db1-os", "r-os"), ("db1-journal", "r-0")):
            made = await make_disk(sim, name, disk_of(await snapshot(sim, source), zones=["2"]))
            assert (made.properties.provisioning_state, made.properties.disk_state) == (
                "Succeeded",
                "Unattached",
            )
            assert made.properties.disk_size_gb == (30 if source == "db1-os" else 4)
        assert sim.disks.restored == {"r-os": "s-db1-os", "r-0": "s-db1-journal"}
        sim.world.resources.nics[NIC.lower()] = {"id": NIC}

        vm = await make_vm(sim, "r", vm_of("r-os", "r-0") | {"zones": ["2"]})
        seen = await sim.client.virtual_machines.get(VM_GROUP, "r", expand="instanceView")
        assert vm.properties.hardware_profile.vm_size == "Standard_E4s_v5"
        [data] = seen.properties.storage_profile.data_disks
        assert (data.lun, data.caching, seen.properties.instance_view.statuses[1].code) == (
            0,
            "ReadOnly",
            "PowerState/running",
        )
        attached = await sim.client.disks.get(VM_GROUP, "r-0")
        assert attached.managed_by == vm.id
        assert (await refused(sim.client.disks.begin_delete(VM_GROUP, "r-0")))[0] == 409
        assert await refused(make_vm(sim, "r2", vm_of("r-os") | {"zones": ["2"]})) == (
            409,
            "OperationNotAllowed",
        )

        await (await sim.client.virtual_machines.begin_delete(VM_GROUP, "r")).result()
        await (await sim.client.disks.begin_delete(VM_GROUP, "r-0")).result()
        assert set(sim.disks.restored) == {"r-os"}
        assert (await sim.client.disks.get(VM_GROUP, "r-os")).managed_by is None


async def test_a_disk_is_made_of_a_disk_restore_point() -> None:
    async with simulated() as sim:
        vm_id = f"{DISKS.removesuffix('/disks')}/virtualMachines/db1"
        collection = {"location": LOCATION, "properties": {"source": {"id": vm_id}}}
        points = sim.client.restore_points
        await sim.client.restore_point_collections.create_or_update(VM_GROUP, "c", collection)
        point = await (await points.begin_create(VM_GROUP, "c", "p", {})).result()
        inside = point.properties.source_metadata.storage_profile.os_disk.disk_restore_point.id
        body = disk_of(inside)
        body["properties"]["creationData"]["createOption"] = "Restore"
        made = await make_disk(sim, "r-os", body)
        assert made.properties.creation_data.source_resource_id == inside
        assert sim.disks.restored == {"r-os": inside.rpartition("/")[2]}


BAD_DISKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "location": lambda body: body | {"location": "northeurope"},
    "sku.name": lambda body: body | {"sku": {"name": "Floppy_LRS"}},
    "zones": lambda body: body | {"zones": ["1", "2"]},
    "diskSizeGB": lambda body: body | {"properties": body["properties"] | {"diskSizeGB": 1}},
    "diskIOPSReadWrite": lambda body: body | {"properties": body["properties"] | {"diskIOPSReadWrite": 9}},
}


@pytest.mark.parametrize("wrong", BAD_DISKS)
async def test_a_disk_that_azure_would_not_make_is_not_made(wrong: str) -> None:
    async with simulated() as sim:
        body = BAD_DISKS[wrong](disk_of(await snapshot(sim, "db1-os")))
        assert await refused(make_disk(sim, "r", body)) == (400, "InvalidParameter")
        assert sim.disks.restored == {}


async def test_a_snapshot_that_is_still_being_copied_makes_no_disk_and_no_other_source_replaces_one() -> None:
    async with simulated(settings=SimSettings(background_copy_s=1_000.0)) as sim:
        young = disk_of(await snapshot(sim, "db1-accounts"))
        assert await refused(make_disk(sim, "r", young)) == (409, "OperationNotAllowed")
        gone = disk_of(f"{DISKS.removesuffix('/disks')}/snapshots/nobody")
        assert (await refused(make_disk(sim, "r", gone)))[0] == 404
        await make_disk(sim, "r", disk_of(await snapshot(sim, "db1-os")))
        other = disk_of(await snapshot(sim, "db1-journal"))
        assert await refused(make_disk(sim, "r", other)) == (409, "PropertyChangeNotAllowed")


BAD_VMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "osProfile": lambda it: it | {"osProfile": {"computerName": "r"}},
    "networkProfile": lambda it: it | {"networkProfile": {"networkInterfaces": []}},
    "vmSize": lambda it: it | {"hardwareProfile": {}},
    "osType": lambda it: (
        it | {"storageProfile": {"osDisk": {**it["storageProfile"]["osDisk"], "osType": "Windows"}}}
    ),
    "security": lambda it: it | {"securityProfile": {"securityType": "TrustedLaunch"}},
}


@pytest.mark.parametrize("wrong", BAD_VMS)
async def test_a_vm_that_azure_would_not_make_is_not_made(wrong: str) -> None:
    async with simulated() as sim:
        system = disk_of(await snapshot(sim, "db1-os"))
        system["properties"]["osType"] = "Linux"
        await make_disk(sim, "r-os", system)
        sim.world.resources.nics[NIC.lower()] = {"id": NIC}
        body = vm_of("r-os")
        body["properties"] = BAD_VMS[wrong](body["properties"])
        assert (await refused(make_vm(sim, "r", body)))[0] == 400
        assert (await sim.client.disks.get(VM_GROUP, "r-os")).managed_by is None


async def test_a_premium_ssd_v2_has_no_host_cache_and_a_disk_of_another_zone_is_no_disk_of_this_vm() -> None:
    async with simulated() as sim:
        await make_disk(sim, "r-os", disk_of(await snapshot(sim, "db1-os")))
        fast = disk_of(await snapshot(sim, "db1-journal")) | {"sku": {"name": "PremiumV2_LRS"}}
        await make_disk(sim, "r-0", fast)
        sim.world.resources.nics[NIC.lower()] = {"id": NIC}
        assert await refused(make_vm(sim, "r", vm_of("r-os", "r-0"))) == (400, "InvalidParameter")
        elsewhere = sim.world.resources.disks[f"{DISKS}/r-os".lower()]
        sim.world.resources.disks[elsewhere.id.key] = replace(elsewhere, zones=("3",))
        assert await refused(make_vm(sim, "r", vm_of("r-os"))) == (400, "InvalidParameter")
