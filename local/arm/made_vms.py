"""Virtual machines that are made of disks that are there, and their deletion.

What is refused is what "Virtual Machines - Create Or Update" and "Deploy a Premium SSD v2" (Microsoft Learn)
say; statuses and codes are assumed, but for that of ``osProfile``. A VM with an image is not simulated.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from local.arm.errors import (
    InvalidParameterError,
    OperationNotAllowedError,
    PropertyChangeNotAllowedError,
    ResourceNotFoundError,
)
from local.arm.http import (
    GROUP,
    begin,
    json_body,
    location_of,
    member,
    operation_headers,
    resource_of,
    tags_of,
    world_of,
)
from local.arm.ids import InvalidResourceIdError, ResourceId, parse_id
from local.arm.operations import Family
from local.arm.specs import COPYING_SKUS, DiskSpec, VmSpec
from local.arm.state import Disk, SimWorld, Vm
from local.arm.vms import vm_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CACHES = ("None", "ReadOnly", "ReadWrite")


def routes() -> list[web.RouteDef]:
    """Return the routes that make and delete VMs."""
    one = f"{GROUP}/virtualMachines/{{vm}}"
    return [web.put(one, _put), web.delete(one, _delete)]


async def _put(request: web.Request) -> web.Response:
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    spec, disks = _spec_from(world, resource, body)
    existing = world.resources.vms.get(resource.key)
    if existing is not None:
        if {disk.id.name for disk in disks} != {disk.name for disk in existing.spec.disks}:
            raise PropertyChangeNotAllowedError("storageProfile")
        return web.json_response(vm_json(world, existing))
    for disk in disks:
        if disk.vm is not None:
            raise OperationNotAllowedError(f"Disk {disk.id.name} is attached to VM {disk.vm.id}.")
    vm = Vm(id=resource, spec=replace(spec, power="starting"), created=world.clock.now())
    world.attach(vm)

    async def work() -> None:
        await asyncio.sleep(world.settings.vm_latency_s)
        world.put_vm(spec)

    operation = begin(request, Family.COMPUTE, spec.location, work, lambda: world.detach(vm))
    headers = operation_headers(request, operation, location=False)
    answer = vm_json(world, vm)
    answer["properties"]["provisioningState"] = "Creating"
    return web.json_response(answer, status=201, headers=headers)


async def _delete(request: web.Request) -> web.Response:
    """Delete a VM; its disks stay, as their deleteOption is Detach."""
    world, resource = world_of(request), resource_of(request)
    vm = world.resources.vms.get(resource.key)
    if vm is None:
        return web.Response(status=204)

    async def work() -> None:
        await asyncio.sleep(world.settings.delete_latency_s)
        world.detach(vm)

    operation = begin(request, Family.COMPUTE, vm.spec.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


def _spec_from(world: SimWorld, resource: ResourceId, body: dict[str, Any]) -> tuple[VmSpec, list[Disk]]:
    if not _NAME.fullmatch(resource.name):
        raise InvalidParameterError("name", "A VM's name has 1 to 64 letters, digits, '_', '.' and '-'.")
    if member(body, "properties.osProfile", dict) is not None:
        raise InvalidParameterError("osProfile", "Parameter 'osProfile' is not allowed.")
    size = member(body, "properties.hardwareProfile.vmSize", str)
    if not size:
        raise InvalidParameterError("vmSize", "Required parameter 'vmSize' is missing (null).")
    os_disk = member(body, "properties.storageProfile.osDisk", dict)
    if os_disk is None:
        raise InvalidParameterError("osDisk", "Required parameter 'osDisk' is missing (null).")
    location, zones = location_of(body), tuple(member(body, "zones", list, []))
    asked = [(None, os_disk)]
    for data_disk in member(body, "properties.storageProfile.dataDisks", list, []):
        asked.append((member(data_disk, "lun", int), data_disk))  # noqa: PERF401 - reads better so
    luns = [lun for lun, _ in asked[1:]]
    if None in luns or len(set(luns)) != len(luns) or not set(luns) <= set(range(64)):
        raise InvalidParameterError("dataDisks.lun", "Each data disk has a LUN of its own, from 0 to 63.")
    found = [_disk(world, resource.group, lun, disk, location, zones) for lun, disk in asked]
    security = member(body, "properties.securityProfile.securityType", str, "")
    _check_system(found[0][0], os_disk, security)
    spec = VmSpec(
        name=resource.name,
        disks=tuple(spec for _, spec in found),
        resource_group=resource.group,
        location=location,
        os_type=member(os_disk, "osType", str, ""),
        size=size,
        tags=tags_of(body),
        zones=zones,
        security_type=security,
        nics=_nics(world, body, resource),
    )
    return spec, [disk for disk, _ in found]


def _disk(
    world: SimWorld,
    group: str,
    lun: int | None,
    asked: Mapping[str, Any],
    location: str,
    zones: tuple[str, ...],
) -> tuple[Disk, DiskSpec]:
    where = "osDisk" if lun is None else f"dataDisks[{lun}]"
    if member(asked, "createOption", str) != "Attach":
        raise InvalidParameterError(f"{where}.createOption", "Only Attach is simulated.")
    try:
        resource = parse_id(member(asked, "managedDisk.id", str, ""))
    except InvalidResourceIdError as error:
        raise InvalidParameterError(f"{where}.managedDisk.id", str(error)) from error
    disk = world.resources.disks.get(resource.key)
    if disk is None:
        raise ResourceNotFoundError(resource)
    if resource.group.lower() != group.lower():
        raise InvalidParameterError(f"{where}.managedDisk.id", "Here, a VM's disks lie in its group.")
    if disk.provisioning_state != "Succeeded":
        raise OperationNotAllowedError(f"Disk {resource.name} is in state {disk.provisioning_state}.")
    if disk.location.lower() != location.lower():
        raise InvalidParameterError(f"{where}.managedDisk.id", "The disk lies in another location.")
    if disk.zones != zones and not disk.spec.sku.endswith("_ZRS"):
        raise InvalidParameterError(f"{where}.managedDisk.id", "The disk lies in another zone.")
    caching = member(asked, "caching", str, "")
    if caching and caching not in _CACHES:
        raise InvalidParameterError(f"{where}.caching", f"Must be one of {', '.join(_CACHES)}.")
    if disk.spec.sku in COPYING_SKUS and caching not in ("", "None"):
        raise InvalidParameterError(f"{where}.caching", f"A disk of {disk.spec.sku} has no host cache.")
    return disk, replace(disk.spec, lun=lun, caching=caching)


def _check_system(disk: Disk, asked: Mapping[str, Any], security: str) -> None:
    if member(asked, "osType", str, "") not in ("Linux", "Windows"):
        raise InvalidParameterError("osDisk.osType", "Must be Linux or Windows where a disk is attached.")
    if disk.asked and disk.os_type and disk.os_type != asked["osType"]:
        raise InvalidParameterError("osDisk.osType", f"The disk has {disk.os_type} on it.")
    of_disk = member(disk.asked, "securityProfile.securityType", str, "")
    if security != of_disk:
        raise InvalidParameterError("securityProfile.securityType", f"The disk was made with '{of_disk}'.")
    if security and member(disk.asked, "hyperVGeneration", str) != "V2":
        raise InvalidParameterError("securityProfile.securityType", "Needs a disk of generation V2.")


def _nics(world: SimWorld, body: dict[str, Any], vm: ResourceId) -> tuple[str, ...]:
    nics = [
        str(nic.get("id", ""))
        for nic in member(body, "properties.networkProfile.networkInterfaces", list, [])
    ]
    if not nics:
        raise InvalidParameterError("networkProfile", "A VM has at least one network interface.")
    used = {
        nic.lower()
        for other in world.resources.vms.values()
        if other.id.key != vm.key
        for nic in other.spec.nics
    }
    for nic in nics:
        if nic.lower() not in world.resources.nics:
            raise InvalidParameterError(
                "networkInterfaces.id", f"The network interface '{nic}' was not found."
            )
        if nic.lower() in used:
            raise OperationNotAllowedError(f"The network interface '{nic}' is used by another VM.")
    return tuple(nics)
