"""Snapshots of managed disks."""

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web

from local.arm.errors import (
    ConflictError,
    OperationFailedError,
    OperationNotAllowedError,
    PropertyChangeNotAllowedError,
    ResourceNotFoundError,
)
from local.arm.http import (
    GROUP,
    SUBSCRIPTION,
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
from local.arm.ids import ResourceId
from local.arm.operations import Family
from local.arm.snapshot_bodies import completion_percent, snapshot_json
from local.arm.snapshot_requests import check_access, sku_of, snapshot_from
from local.arm.state import Disk, SimWorld, Snapshot
from local.arm.vms import in_group

_UPDATABLE = ("networkAccessPolicy", "publicNetworkAccess", "dataAccessAuthMode", "diskAccessId")


def routes() -> list[web.RouteDef]:
    """Return the routes of snapshots."""
    one = f"{GROUP}/snapshots/{{snapshot}}"
    return [
        web.get(f"{GROUP}/snapshots", _list),
        web.get(f"{SUBSCRIPTION}/snapshots", _list),
        web.get(one, _get),
        web.put(one, _put),
        web.patch(one, _patch),
        web.delete(one, _delete),
    ]


async def _get(request: web.Request) -> web.Response:
    return web.json_response(snapshot_json(world_of(request), _require(request)))


async def _list(request: web.Request) -> web.Response:
    world = world_of(request)
    if "group" in request.match_info:
        world.require_group(request.match_info["group"])
    snapshots = [item for item in world.resources.snapshots.values() if in_group(request, item.id)]
    return page(request, Family.DISK, snapshots, lambda item: snapshot_json(world, item))


async def _put(request: web.Request) -> web.Response:
    resource, body = resource_of(request), await json_body(request)
    existing = world_of(request).resources.snapshots.get(resource.key)
    if existing is not None:
        return _update(request, existing, body)
    return _create(request, resource, body)


def _create(request: web.Request, resource: ResourceId, body: dict[str, Any]) -> web.Response:
    world = world_of(request)
    snapshot = snapshot_from(world, resource, body)
    _check_name_is_free(world, resource)
    limit = None
    if snapshot.source is None:
        _check_copies_in_progress(world, snapshot.disk)
        limit = _limit_reached(world, snapshot)
    world.resources.snapshots[resource.key] = snapshot

    async def work() -> dict[str, Any]:
        if limit is not None:
            raise limit
        return await (_take(world, snapshot) if snapshot.source is None else _begin_copy(world, snapshot))

    def on_failure() -> None:
        _change(world, snapshot, provisioning_state="Failed")

    operation = begin(request, Family.DISK, snapshot.location, work, on_failure)
    return web.json_response(
        snapshot_json(world, snapshot),
        status=202,
        headers=operation_headers(request, operation, location=True),
    )


async def _take(world: SimWorld, snapshot: Snapshot) -> dict[str, Any]:
    disk = snapshot.disk
    async with world.locks[snapshot.id.key]:
        capture = await world.captures.capture(disk.holder, disk.id.name, snapshot.id.name)
        await asyncio.sleep(world.settings.snapshot_latency_s)
        succeeded = _change(
            world,
            snapshot,
            provisioning_state="Succeeded",
            created=capture.ended,
            captured_s=capture.ended_s,
        )
    return snapshot_json(world, succeeded)


async def _begin_copy(world: SimWorld, copy: Snapshot) -> dict[str, Any]:
    """Begin to copy; the operation has succeeded long before the copy is done (seen). It has no content."""
    await asyncio.sleep(world.settings.snapshot_latency_s)
    begun = _change(
        world,
        copy,
        provisioning_state="Succeeded",
        created=world.clock.now(),
        captured_s=world.clock.monotonic(),
    )
    return snapshot_json(world, begun)


def _change(world: SimWorld, snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Change the snapshot as it is stored now: its tags may have been updated meanwhile."""
    changed = replace(world.resources.snapshots[snapshot.id.key], **changes)
    world.resources.snapshots[snapshot.id.key] = changed
    return changed


def _update(request: web.Request, existing: Snapshot, body: dict[str, Any]) -> web.Response:
    """Update a snapshot that is there already: it succeeds, and no new snapshot is taken.

    That a failed one cannot be updated, but must be deleted first, is assumed.
    """
    world = world_of(request)
    if existing.provisioning_state == "Failed":
        raise OperationNotAllowedError(
            f"The snapshot '{existing.id.name}' is in state Failed; delete it first."
        )
    if location_of(body).lower() != existing.location.lower():
        raise PropertyChangeNotAllowedError("location")
    source = member(body, "properties.creationData.sourceResourceId", str, "")
    if source.lower() != (existing.source or existing.disk).id.key:
        raise PropertyChangeNotAllowedError("creationData.sourceResourceId")
    if member(body, "properties.incremental", bool, default=False) != existing.request["incremental"]:
        raise PropertyChangeNotAllowedError("incremental")
    changed = _changed(existing, body, tags=tags_of(body))
    world.resources.snapshots[existing.id.key] = changed
    return web.json_response(snapshot_json(world, changed))


async def _patch(request: web.Request) -> web.Response:
    """Update a snapshot. Tags that are given replace all former ones (assumed: merging would be milder)."""
    world, existing, body = world_of(request), _require(request), await json_body(request)
    tags = tags_of(body) if "tags" in body else dict(existing.tags)
    changed = _changed(existing, body, tags=tags)
    world.resources.snapshots[existing.id.key] = changed

    async def work() -> dict[str, Any]:
        return snapshot_json(world, world.resources.snapshots.get(changed.id.key, changed))

    operation = begin(request, Family.DISK, changed.location, work)
    headers = operation_headers(request, operation, location=True)
    return web.json_response(snapshot_json(world, changed), status=202, headers=headers)


async def _delete(request: web.Request) -> web.Response:
    """Delete a snapshot, after its creation has ended (assumed); 204 where there is none.

    One that somebody has been given access to is refused; status and code are assumed from those of disks.
    """
    world, resource = world_of(request), resource_of(request)
    existing = world.resources.snapshots.get(resource.key)
    if existing is None:
        return web.Response(status=204)
    if existing.disk_state == "ActiveSAS":
        raise OperationNotAllowedError(f"The snapshot '{existing.id.name}' has an active shared access.")

    async def work() -> None:
        async with world.locks[resource.key]:
            await asyncio.sleep(world.settings.delete_latency_s)
            if world.resources.snapshots.pop(resource.key, None) is None:
                return
            _lose_copies(world, existing)
            if existing.source is None:
                await world.captures.discard(existing.id.name)

    operation = begin(request, Family.DISK, existing.location, work)
    return web.Response(status=202, headers=operation_headers(request, operation, location=True))


def _lose_copies(world: SimWorld, source: Snapshot) -> None:
    """Let the copies fail that were not done when their source was deleted."""
    for copy in list(world.resources.snapshots.values()):
        of_it = copy.source is not None and copy.source.id.key == source.id.key
        if of_it and completion_percent(world, copy) < 100:
            _change(world, copy, lost=True)


def _require(request: web.Request) -> Snapshot:
    resource = resource_of(request)
    snapshot = world_of(request).resources.snapshots.get(resource.key)
    if snapshot is None:
        raise ResourceNotFoundError(resource)
    return snapshot


def _check_name_is_free(world: SimWorld, resource: ResourceId) -> None:
    """Refuse a name that another group has: Azure allows it, but backends know snapshots by name alone."""
    for other in world.resources.snapshots.values():
        if other.id.name.lower() == resource.name.lower():
            raise ConflictError(f"Here, a snapshot's name is taken once: '{other.id}'.")


def _check_copies_in_progress(world: SimWorld, disk: Disk) -> None:
    """Refuse one more pending snapshot of a Premium SSD v2 or Ultra disk. Status and code are assumed."""
    if not disk.copies_in_background:
        return
    pending = [item for item in _snapshots_of(world, disk) if completion_percent(world, item) < 100]
    if len(pending) >= world.settings.copies_in_progress:
        raise OperationNotAllowedError(f"The disk '{disk.id.name}' has {len(pending)} snapshots in progress.")


def _limit_reached(world: SimWorld, snapshot: Snapshot) -> OperationFailedError | None:
    """Count an incremental snapshot; return what its operation fails with when there are too many of them.

    The request itself is accepted and leaves a snapshot in state Failed. Known for the number of snapshots;
    for their rate it is assumed.
    """
    if not snapshot.request["incremental"]:
        return None
    settings, now_s = world.settings, world.clock.monotonic()
    starts = world.snapshot_starts[snapshot.disk.id.key]
    starts[:] = [start_s for start_s in starts if now_s - start_s < settings.snapshot_window_s]
    alive = [item for item in _snapshots_of(world, snapshot.disk) if item.request["incremental"]]
    if len(starts) < settings.snapshots_per_window and len(alive) < settings.snapshots_per_disk:
        starts.append(now_s)
        return None
    return OperationFailedError(
        "SnapshotsLimitReached",
        "The snapshot count was exceeded for a disk. Please retry the request after sometime.",
    )


def _snapshots_of(world: SimWorld, disk: Disk) -> list[Snapshot]:
    return [
        item
        for item in world.resources.snapshots.values()
        if item.disk.id.key == disk.id.key and item.provisioning_state != "Failed" and item.source is None
    ]


def _changed(existing: Snapshot, body: dict[str, Any], *, tags: dict[str, str]) -> Snapshot:
    check_access(body)
    asked = member(body, "properties", dict, {})
    updates = {name: asked[name] for name in _UPDATABLE if name in asked}
    return replace(
        existing,
        tags=tags,
        sku=sku_of(body, existing.sku, incremental=existing.request["incremental"]),
        request={**existing.request, **updates},
    )
