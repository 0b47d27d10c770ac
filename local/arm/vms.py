"""Virtual machines and managed disks as they are read; `restored` makes them."""

from typing import Any

from aiohttp import web

from local.arm.clock import arm_time
from local.arm.errors import ResourceNotFoundError
from local.arm.http import GROUP, SUBSCRIPTION, page, resource_of, world_of
from local.arm.ids import ResourceId
from local.arm.operations import Family
from local.arm.state import Disk, SimWorld, Vm

GIB = 1 << 30


def routes() -> list[web.RouteDef]:
    """Return the routes of VMs and disks."""
    return [
        web.get(f"{GROUP}/virtualMachines", _list_vms),
        web.get(f"{SUBSCRIPTION}/virtualMachines", _list_vms),
        web.get(f"{GROUP}/virtualMachines/{{vm}}", _get_vm),
        web.get(f"{GROUP}/virtualMachines/{{vm}}/instanceView", _get_instance_view),
        web.get(f"{GROUP}/disks", _list_disks),
        web.get(f"{SUBSCRIPTION}/disks", _list_disks),
        web.get(f"{GROUP}/disks/{{disk}}", _get_disk),
    ]


def require_vm(world: SimWorld, resource: ResourceId) -> Vm:
    """Return the VM of an id; raises `ResourceNotFoundError`."""
    vm = world.resources.vms.get(resource.key)
    if vm is None:
        raise ResourceNotFoundError(resource)
    return vm


def in_group(request: web.Request, resource: ResourceId) -> bool:
    """Tell whether a list over the request's path has this resource."""
    group = request.match_info.get("group")
    return group is None or resource.group.lower() == group.lower()


async def _get_vm(request: web.Request) -> web.Response:
    vm = require_vm(world_of(request), resource_of(request))
    body = vm_json(world_of(request), vm)
    if request.query.get("$expand") == "instanceView":
        body["properties"]["instanceView"] = instance_view_json(world_of(request), vm)
    return web.json_response(body)


async def _get_instance_view(request: web.Request) -> web.Response:
    world = world_of(request)
    world.require_group(request.match_info["group"])
    name = request.match_info["vm"]
    resource = ResourceId(world.subscription_id, request.match_info["group"], ("virtualMachines", name))
    return web.json_response(instance_view_json(world, require_vm(world, resource)))


async def _list_vms(request: web.Request) -> web.Response:
    world = world_of(request)
    if "group" in request.match_info:
        world.require_group(request.match_info["group"])
    with_status = request.query.get("statusOnly", "").lower() == "true"
    with_view = with_status or request.query.get("$expand") == "instanceView"

    def written(vm: Vm) -> dict[str, Any]:
        body = vm_json(world, vm)
        if with_view:
            body["properties"]["instanceView"] = instance_view_json(world, vm)
        return body

    vms = [vm for vm in world.resources.vms.values() if in_group(request, vm.id)]
    return page(request, Family.COMPUTE, vms, written)


async def _get_disk(request: web.Request) -> web.Response:
    resource = resource_of(request)
    disk = world_of(request).resources.disks.get(resource.key)
    if disk is None:
        raise ResourceNotFoundError(resource)
    return web.json_response(disk_json(disk))


async def _list_disks(request: web.Request) -> web.Response:
    disks = world_of(request).resources.disks.values()
    return page(request, Family.DISK, [disk for disk in disks if in_group(request, disk.id)], disk_json)


def vm_json(world: SimWorld, vm: Vm) -> dict[str, Any]:
    """Return a VM's body without its instance view."""
    spec = vm.spec
    body: dict[str, Any] = {
        "name": vm.id.name,
        "id": str(vm.id),
        "type": vm.id.type,
        "location": spec.location,
        "tags": dict(spec.tags),
        "identity": {
            "type": "SystemAssigned",
            "principalId": vm.id.child("identity", "principal").unique_id,
            "tenantId": vm.id.child("identity", "tenant").unique_id,
        },
        "properties": {
            "hardwareProfile": {"vmSize": spec.size},
            "provisioningState": "Succeeded",
            "vmId": vm.id.unique_id,
            "storageProfile": _storage_profile(world.disks_of(vm)),
            "osProfile": {"computerName": vm.id.name, "adminUsername": "azureuser"},
            "timeCreated": arm_time(vm.created),
        },
    }
    if spec.security_type:
        firmware = {"secureBootEnabled": True, "vTpmEnabled": True}
        profile = {"securityType": spec.security_type, "uefiSettings": firmware}
        body["properties"]["securityProfile"] = profile
    if spec.nics:
        interfaces = [
            {"id": nic, "properties": {"primary": not index}} for index, nic in enumerate(spec.nics)
        ]
        body["properties"]["networkProfile"] = {"networkInterfaces": interfaces}
        del body["properties"]["osProfile"]  # a VM of specialised disks has none
    if spec.zones:
        body["zones"] = list(spec.zones)
    return body


def _storage_profile(disks: list[Disk]) -> dict[str, Any]:
    os_disk, *data_disks = disks
    return {
        "osDisk": {
            "osType": os_disk.os_type,
            "name": os_disk.id.name,
            "createOption": "Attach" if os_disk.asked else "FromImage",
            "caching": os_disk.spec.host_cache,
            "managedDisk": {"storageAccountType": os_disk.spec.sku, "id": str(os_disk.id)},
            "deleteOption": "Detach",
            "diskSizeGB": os_disk.spec.size_gb,
        },
        "dataDisks": [
            {
                "lun": disk.spec.lun,
                "name": disk.id.name,
                "createOption": "Attach",
                "caching": disk.spec.host_cache,
                "managedDisk": {"storageAccountType": disk.spec.sku, "id": str(disk.id)},
                "deleteOption": "Detach",
                "diskSizeGB": disk.spec.size_gb,
                "toBeDetached": False,
            }
            for disk in data_disks
        ],
    }


def instance_view_json(world: SimWorld, vm: Vm) -> dict[str, Any]:
    """Return a VM's instance view: its power, its agent, its disks."""
    now = arm_time(world.clock.now())
    running = vm.spec.power == "running"
    view: dict[str, Any] = {
        "disks": [
            {"name": disk.id.name, "statuses": [_status("ProvisioningState/succeeded", now)]}
            for disk in world.disks_of(vm)
        ],
        "hyperVGeneration": "V2",
        "statuses": [
            _status("ProvisioningState/succeeded", now),
            {"code": f"PowerState/{vm.spec.power}", "level": "Info", "displayStatus": f"VM {vm.spec.power}"},
        ],
    }
    if running:
        view["computerName"] = vm.id.name
        view["vmAgent"] = _agent_json(now, ready=vm.spec.agent_ready)
    return view


def _agent_json(now: str, *, ready: bool) -> dict[str, Any]:
    if ready:
        status = {
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Ready",
            "message": "Guest Agent is running",
            "time": now,
        }
        return {"vmAgentVersion": "2.13.1.1", "extensionHandlers": [], "statuses": [status]}
    status = {
        "code": "ProvisioningState/Unavailable",
        "level": "Warning",
        "displayStatus": "Not Ready",
        "message": "VM status blob is found but not yet populated.",
        "time": now,
    }
    return {"vmAgentVersion": "Unknown", "statuses": [status]}


def _status(code: str, now: str) -> dict[str, Any]:
    return {"code": code, "level": "Info", "displayStatus": "Provisioning succeeded", "time": now}


def disk_json(disk: Disk) -> dict[str, Any]:
    """Return a disk's body."""
    spec = disk.spec
    attached = disk.vm is not None and disk.vm.spec.power != "deallocated"
    properties: dict[str, Any] = {
        "creationData": {"createOption": "Empty"},
        "diskSizeGB": spec.size_gb,
        "diskSizeBytes": spec.size_gb * GIB,
        "diskState": "Unattached" if disk.vm is None else "Attached" if attached else "Reserved",
        "uniqueId": disk.id.unique_id,
        "completionPercent": spec.completion_percent,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
        **disk.asked,
        "provisioningState": disk.provisioning_state,
        "timeCreated": arm_time(disk.created),
    }
    if spec.max_shares > 1:
        properties["maxShares"] = spec.max_shares
    if spec.lun is None and not disk.asked:
        properties |= {"osType": disk.os_type, "hyperVGeneration": "V2"}
    body: dict[str, Any] = {
        "name": disk.id.name,
        "id": str(disk.id),
        "type": disk.id.type,
        "location": disk.location,
        "tags": dict(spec.tags),
        "sku": {"name": spec.sku, "tier": spec.sku.split("_")[0]},
        "properties": properties,
    }
    if disk.vm is not None:
        body["managedBy"] = str(disk.vm.id)
    if disk.zones:
        body["zones"] = list(disk.zones)
    return body
