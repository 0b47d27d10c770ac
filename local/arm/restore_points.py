"""Restore point collections and the restore points in them."""

import asyncio
import uuid
from dataclasses import replace
from typing import Any

from aiohttp import web

from local.arm.errors import (
    ConflictError,
    InvalidParameterError,
    OperationFailedError,
    OperationNotAllowedError,
    ParentResourceNotFoundError,
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
    page,
    resource_of,
    tags_of,
    world_of,
)
from local.arm.ids import InvalidResourceIdError, ResourceId, parse_id
from local.arm.operations import Family
from local.arm.restore_point_bodies import collection_json, disk_restore_point_json, point_json
from local.arm.state import DiskRestorePoint, RestorePoint, RestorePointCollection, SimWorld, Vm
from local.arm.vms import in_group, require_vm

_COLLECTION = f"{GROUP}/restorePointCollections/{{collection}}"
_POINT = f"{_COLLECTION}/restorePoints/{{point}}"
_DISK_POINTS = f"{_POINT}/diskRestorePoints"


def routes() -> list[web.RouteDef]:
    """Return the routes of collections, restore points and disk restore points."""
    return [
        web.get(f"{GROUP}/restorePointCollections", _list_collections),
        web.get(_COLLECTION, _get_collection),
        web.put(_COLLECTION, _put_collection),
        web.patch(_COLLECTION, _patch_collection),
        web.delete(_COLLECTION, _delete_collection),
        web.get(_POINT, _get_point),
        web.put(_POINT, _put_point),
        web.delete(_POINT, _delete_point),
        web.get(_DISK_POINTS, _list_disk_points),
        web.get(f"{_DISK_POINTS}/{{disk_point}}", _get_disk_point),
    ]


async def _list_collections(request: web.Request) -> web.Response:
    collections = world_of(request).resources.collections.values()
    items = [collection_json(item) for item in collections if in_group(request, item.id)]
    return page(request, Family.COMPUTE, items, dict)


async def _get_collection(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    collection = _require_collection(world, resource)
    body = collection_json(collection)
    if request.query.get("$expand") == "restorePoints":
        body["properties"]["restorePoints"] = [point_json(item) for item in _points_of(world, resource)]
    return web.json_response(body)


async def _put_collection(request: web.Request) -> web.Response:
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    vm = _source_vm(world, member(body, "properties.source.id", str, ""))
    existing = world.resources.collections.get(resource.key)
    if existing is not None and existing.vm.id.key != vm.id.key:
        raise PropertyChangeNotAllowedError("source.id")
    collection = RestorePointCollection(
        id=resource if existing is None else existing.id,
        vm=vm,
        location=location_of(body),
        tags=tags_of(body),
        instant_access=member(body, "properties.instantAccess", bool, default=False),
    )
    if collection.location.lower() != vm.spec.location.lower():
        raise InvalidParameterError("location", "The source VM lies in another location.")
    world.resources.collections[resource.key] = collection
    return web.json_response(collection_json(collection), status=201 if existing is None else 200)


async def _patch_collection(request: web.Request) -> web.Response:
    """Change a collection's tags: those that the request has replace all."""
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    changed = replace(_require_collection(world, resource), tags=tags_of(body))
    world.resources.collections[resource.key] = changed
    return web.json_response(collection_json(changed))


async def _delete_collection(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    collection = world.resources.collections.get(resource.key)
    if collection is None:
        return web.Response(status=204)

    async def work() -> None:
        for point in _points_of(world, resource):
            await _remove(world, point)
        world.resources.collections.pop(resource.key, None)

    operation = begin(request, Family.COMPUTE, collection.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


async def _get_point(request: web.Request) -> web.Response:
    world = world_of(request)
    point = _require_point(world, resource_of(request))
    return web.json_response(
        point_json(point, world if request.query.get("$expand") == "instanceView" else None)
    )


async def _put_point(request: web.Request) -> web.Response:
    """Begin a restore point. That a second one, of the same name or meanwhile, conflicts is assumed."""
    world, resource, body = world_of(request), resource_of(request), await json_body(request)
    collection = world.resources.collections.get(_parent(resource).key)
    if collection is None:
        raise ParentResourceNotFoundError(_parent(resource))
    if resource.key in world.resources.restore_points:
        raise ConflictError(f"The restore point '{resource.name}' is already there and cannot be updated.")
    point = _point_from(world, resource, collection, body)
    for other in world.resources.restore_points.values():
        if other.vm.id.key == point.vm.id.key and other.provisioning_state == "Creating":
            raise ConflictError(f"The restore point '{other.id.name}' of this VM is still being created.")
    world.resources.restore_points[resource.key] = point

    async def work() -> dict[str, Any]:
        return await _take(world, point)

    def on_failure() -> None:
        world.resources.restore_points[resource.key] = replace(point, provisioning_state="Failed")

    operation = begin(request, Family.COMPUTE, collection.location, work, on_failure)
    headers = operation_headers(request, operation, location=False)
    return web.json_response(point_json(point), status=201, headers=headers)


async def _take(world: SimWorld, point: RestorePoint) -> dict[str, Any]:
    """Capture all disks without a gap: a restore point is consistent across its disks."""
    async with world.locks[point.id.key]:
        await asyncio.sleep(world.settings.restore_point_latency_s)
        consistency = _reached_consistency(point)
        pairs = [(item.disk.id.name, item.id.name) for item in point.disks]
        captures = await world.captures.capture_together(point.vm.id.name, pairs)
        await asyncio.sleep(world.settings.restore_point_latency_s)
        disks = [
            replace(item, created=capture.ended, captured_s=capture.ended_s)
            for item, capture in zip(point.disks, captures, strict=True)
        ]
        succeeded = replace(
            point,
            provisioning_state="Succeeded",
            consistency=consistency,
            created=max(capture.ended for capture in captures),
            disks=tuple(disks),
        )
        world.resources.restore_points[point.id.key] = succeeded
    return point_json(succeeded)


def _reached_consistency(point: RestorePoint) -> str:
    """Return what a restore point comes to; it may be less than was asked for, without an error.

    Left out, consistencyMode means application-consistent; Linux without scripts gives FileSystemConsistent.
    That a VM which does not run gives CrashConsistent, and that an unready agent fails, is assumed.
    """
    spec = point.vm.spec
    if point.asked_consistency is not None or spec.power != "running":
        return "CrashConsistent"
    if not spec.agent_ready:
        raise OperationFailedError(
            "VMAgentStatusCommunicationError", f"The agent of '{spec.name}' is not ready."
        )
    usual = "ApplicationConsistent" if spec.os_type == "Windows" else "FileSystemConsistent"
    return spec.restore_point_consistency or usual


async def _delete_point(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    point = world.resources.restore_points.get(resource.key)
    if point is None:
        return web.Response(status=204)

    async def work() -> None:
        await _remove(world, point)

    operation = begin(request, Family.COMPUTE, point.vm.spec.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


async def _remove(world: SimWorld, point: RestorePoint) -> None:
    async with world.locks[point.id.key]:
        await asyncio.sleep(world.settings.delete_latency_s)
        if world.resources.restore_points.pop(point.id.key, None) is not None:
            for item in point.disks:
                await world.captures.discard(item.id.name)


async def _list_disk_points(request: web.Request) -> web.Response:
    world = world_of(request)
    point = _require_point(world, parse_id(request.path.rpartition("/")[0]))
    return page(request, Family.DISK, point.disks, lambda item: disk_restore_point_json(world, point, item))


async def _get_disk_point(request: web.Request) -> web.Response:
    world, resource = world_of(request), resource_of(request)
    point = _require_point(world, _parent(resource))
    for item in point.disks:
        if item.id.key == resource.key:
            return web.json_response(disk_restore_point_json(world, point, item))
    raise ResourceNotFoundError(resource)


def _point_from(
    world: SimWorld, resource: ResourceId, collection: RestorePointCollection, body: dict[str, Any]
) -> RestorePoint:
    asked = member(body, "properties.consistencyMode", str)
    if asked not in {None, "CrashConsistent"}:
        raise InvalidParameterError("consistencyMode", "Only CrashConsistent can be asked for.")
    vm = require_vm(world, collection.vm.id)
    excluded = tuple(str(item.get("id", "")) for item in member(body, "properties.excludeDisks", list, []))
    left_out = {item.lower() for item in excluded}
    disks = [disk for disk in world.disks_of(vm) if disk.id.key not in left_out]
    if asked is not None and any(disk.copies_in_background for disk in disks):
        raise OperationNotAllowedError(
            "A crash-consistent restore point cannot hold Premium SSD v2 or Ultra disks."
        )
    return RestorePoint(
        id=resource,
        vm=vm,
        excluded=excluded,
        asked_consistency=asked,
        instant_access=collection.instant_access,
        disks=tuple(
            DiskRestorePoint(
                id=resource.child("diskRestorePoints", f"{disk.id.name}_{uuid.uuid4()}"), disk=disk
            )
            for disk in disks
        ),
    )


def _source_vm(world: SimWorld, source: str) -> Vm:
    try:
        return require_vm(world, parse_id(source))
    except InvalidResourceIdError as error:
        raise InvalidParameterError("source.id", str(error)) from error


def _parent(resource: ResourceId) -> ResourceId:
    return replace(resource, path=resource.path[:-2])


def _require_collection(world: SimWorld, resource: ResourceId) -> RestorePointCollection:
    collection = world.resources.collections.get(resource.key)
    if collection is None:
        raise ResourceNotFoundError(resource)
    return collection


def _require_point(world: SimWorld, resource: ResourceId) -> RestorePoint:
    point = world.resources.restore_points.get(resource.key)
    if point is None:
        raise ResourceNotFoundError(resource)
    return point


def _points_of(world: SimWorld, collection: ResourceId) -> list[RestorePoint]:
    points = world.resources.restore_points.values()
    return [point for point in points if _parent(point.id).key == collection.key]
