"""Managed disks that are made of snapshots and of disk restore points, and the deletion of disks.

What is refused is what the pages "Create a managed disk from a snapshot", "Deploy a Premium SSD v2" and
"Create VM restore points" (Microsoft Learn) say; statuses and codes are assumed.
"""

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import datetime
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
from local.arm.snapshot_bodies import completion_percent
from local.arm.specs import COPYING_SKUS, DiskSpec
from local.arm.state import Disk, SimWorld
from local.arm.vms import disk_json

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_SKUS = {
    *("Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"),
    *COPYING_SKUS,
}
_ZONES = {"1", "2", "3"}


@dataclass(frozen=True, slots=True)
class _Source:
    """What a disk is made of: the copy in the backend, and the disk that this is a copy of."""

    copy_name: str
    disk: Disk
    location: str


def routes() -> list[web.RouteDef]:
    """Return the routes that make and delete disks."""
    one = f"{GROUP}/disks/{{disk}}"
    return [web.put(one, _put), web.delete(one, _delete)]


async def _put(request: web.Request) -> web.Response:
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    existing = world.resources.disks.get(resource.key)
    if existing is not None:
        return _update(world, existing, body)
    source = _source_of(world, body)
    disk = _disk_from(resource, body, source, world.clock.now())
    world.resources.disks[resource.key] = disk

    async def work() -> dict[str, Any]:
        await world.captures.restore(source.copy_name, disk.id.name)
        await asyncio.sleep(world.settings.disk_latency_s)
        return disk_json(_ended(world, disk, "Succeeded"))

    def on_failure() -> None:
        _ended(world, disk, "Failed")

    operation = begin(request, Family.DISK, disk.location, work, on_failure)
    headers = operation_headers(request, operation, location=True)
    return web.json_response(disk_json(disk), status=202, headers=headers)


def _ended(world: SimWorld, disk: Disk, state: str) -> Disk:
    ended = replace(world.resources.disks[disk.id.key], provisioning_state=state)
    world.resources.disks[disk.id.key] = ended
    return ended


def _update(world: SimWorld, existing: Disk, body: dict[str, Any]) -> web.Response:
    """Update a disk that is there already: what it was made of does not change."""
    before = existing.asked.get("creationData", {}).get("sourceResourceId", "")
    asked = member(body, "properties.creationData.sourceResourceId", str, "")
    if asked.lower() != before.lower():
        raise PropertyChangeNotAllowedError("creationData.sourceResourceId")
    if location_of(body).lower() != existing.location.lower():
        raise PropertyChangeNotAllowedError("location")
    changed = replace(existing, spec=replace(existing.spec, tags=tags_of(body)))
    world.resources.disks[existing.id.key] = changed
    return web.json_response(disk_json(changed))


async def _delete(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    disk = world.resources.disks.get(resource.key)
    if disk is None:
        return web.Response(status=204)
    if disk.vm is not None:
        raise OperationNotAllowedError(f"Disk {disk.id.name} is attached to VM {disk.vm.id}.")

    async def work() -> None:
        await asyncio.sleep(world.settings.delete_latency_s)
        gone = world.resources.disks.pop(resource.key, None)
        if gone is not None and gone.provisioning_state == "Succeeded":
            await world.captures.drop(gone.id.name)

    operation = begin(request, Family.DISK, disk.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


def _disk_from(resource: ResourceId, body: dict[str, Any], source: _Source, now: datetime) -> Disk:
    if not _NAME.fullmatch(resource.name):
        raise InvalidParameterError("name", "A disk's name has 1 to 80 letters, digits, '_', '.' and '-'.")
    location, sku = location_of(body), member(body, "sku.name", str, "Standard_LRS")
    if location.lower() != source.location.lower():
        raise InvalidParameterError("location", "The source lies in another location.")
    if sku not in _SKUS:
        raise InvalidParameterError("sku.name", f"The SKU '{sku}' is not known.")
    properties = dict(member(body, "properties", dict, {}))
    tuned = {"diskIOPSReadWrite", "diskMBpsReadWrite"} & properties.keys()
    if tuned and sku not in COPYING_SKUS:
        raise InvalidParameterError(min(tuned), f"A disk of {sku} has the performance of its size.")
    size = member(body, "properties.diskSizeGB", int, source.disk.spec.size_gb)
    if size < source.disk.spec.size_gb:
        raise InvalidParameterError("diskSizeGB", "A disk is not smaller than what it is made of.")
    return Disk(
        id=resource,
        spec=DiskSpec(
            name=resource.name, lun=source.disk.spec.lun, size_gb=size, sku=sku, tags=tags_of(body)
        ),
        vm=None,
        location=location,
        os_type=member(body, "properties.osType", str, ""),
        created=now,
        zones=_zones_of(body),
        asked=properties,
        provisioning_state="Updating",
    )


def _zones_of(body: dict[str, Any]) -> tuple[str, ...]:
    zones = member(body, "zones", list, [])
    if len(zones) > 1 or not _ZONES.issuperset(zones):
        raise InvalidParameterError("zones", "A disk lies in one zone: 1, 2 or 3.")
    return tuple(zones)


def _source_of(world: SimWorld, body: dict[str, Any]) -> _Source:
    option = member(body, "properties.creationData.createOption", str)
    try:
        resource = parse_id(member(body, "properties.creationData.sourceResourceId", str, ""))
    except InvalidResourceIdError as error:
        raise InvalidParameterError("creationData.sourceResourceId", str(error)) from error
    if option == "Copy":
        return _snapshot(world, resource)
    if option == "Restore":
        return _disk_restore_point(world, resource)
    raise InvalidParameterError("creationData.createOption", "Only Copy and Restore are simulated.")


def _snapshot(world: SimWorld, resource: ResourceId) -> _Source:
    snapshot = world.resources.snapshots.get(resource.key)
    if snapshot is None:
        raise ResourceNotFoundError(resource)
    instant = "instantAccessDurationMinutes" in snapshot.request.get("creationData", {})
    whole = completion_percent(world, snapshot) >= 100 or instant
    if snapshot.provisioning_state != "Succeeded" or not whole:
        raise OperationNotAllowedError(f"The snapshot '{resource.name}' is not complete.")
    content = snapshot.source or snapshot  # a copy in another region has the content of its source
    return _Source(content.id.name, snapshot.disk, snapshot.location)


def _disk_restore_point(world: SimWorld, resource: ResourceId) -> _Source:
    for point in world.resources.restore_points.values():
        for item in point.disks:
            if item.id.key == resource.key and point.provisioning_state == "Succeeded":
                return _Source(item.id.name, item.disk, item.disk.location)
    raise ResourceNotFoundError(resource)
