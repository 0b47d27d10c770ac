"""Restore points after they were made: their background copy, their collection's tags, their deletion."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.compute.bodies import collection_tag_update
from shared.compute.client import ClientPool
from shared.compute.deletion import delete_until_gone
from shared.compute.errors import NotFound, NotOurs, classified
from shared.compute.names import RestorePointId, parse_restore_point_id
from shared.compute.restore_point_limits import SeenPoint
from shared.compute.values import epoch_ms, spelling
from shared.saga.names import restore_point_id, restore_point_name
from shared.saga.state import SnapshotCopy

if TYPE_CHECKING:
    from azure.mgmt.compute.aio import ComputeManagementClient
    from azure.mgmt.compute.models import RestorePoint

_LOST = frozenset({"Failed", "Canceled"})


async def look_at_copy(pool: ClientPool, point_id: str) -> SnapshotCopy | None:
    """Look how far the copy of a restore point is, that of its slowest disk; None when it is gone or failed.

    A restore point that says nothing of copying needs none. Raises `ComputeError` when it cannot be read.
    """
    point = await _read(pool, parse_restore_point_id(point_id))
    with classified():
        properties = point.properties if point is not None else None
        if properties is None or properties.provisioning_state in _LOST:
            return None
        view = properties.instance_view
        disks = (view.disk_restore_points if view is not None else None) or []
        said = [disk.replication_status.completion_percent for disk in disks if disk.replication_status]
        percents = (float(percent) for percent in said if percent is not None)
        return SnapshotCopy(point_id, min(percents, default=100.0))


async def list_points(pool: ClientPool, vm_id: str, group: str | None) -> tuple[SeenPoint, ...]:
    """Give the restore points in the collection that those of a VM go to; none where it is not there yet.

    Raises `ComputeError`.
    """
    # Any name will do: it is the collection that is looked at.
    place = parse_restore_point_id(restore_point_id(vm_id, group, "any", 1))
    collections = _client(pool, place).restore_point_collections
    try:
        with classified():
            collection = await collections.get(place.resource_group, place.collection, expand="restorePoints")
    except NotFound:
        return ()
    with classified():
        points = (collection.properties.restore_points if collection.properties else None) or []
        return tuple(_seen(point) for point in points)


def _seen(point: "RestorePoint") -> SeenPoint:
    properties = point.properties
    return SeenPoint(
        name=spelling(point.name),
        provisioning_state=spelling(properties.provisioning_state) if properties else "",
        created_at=epoch_ms(properties.time_created) if properties else None,
        consistency=spelling(properties.consistency_mode) if properties else "",
    )


async def tag_collection(pool: ClientPool, point_id: str, tags: Mapping[str, str]) -> None:
    """Add tags to the collection of a restore point, which itself has none: they are about the newest point.

    Those of other names stay, and nothing is sent when all are there already. Raises `NotFound` for a
    collection that is gone, and other `ComputeError`.
    """
    point = parse_restore_point_id(point_id)
    collections = pool.of(point.subscription_id).patient.restore_point_collections
    with classified():
        collection = await collections.get(point.resource_group, point.collection)
        merged = {**(collection.tags or {}), **tags}
        if merged != collection.tags:
            await collections.update(point.resource_group, point.collection, collection_tag_update(merged))


async def delete(pool: ClientPool, point_id: str, saga_id: str) -> None:
    """Delete a restore point that this saga made; one that is not there is fine. Returns when it is gone.

    Raises `NotOurs` when its name is not one of the saga's, `TimedOut` and other `ComputeError`. Trying again
    is safe: one that is still being made is in conflict until then.
    """
    point = parse_restore_point_id(point_id)
    generation = point.name.rpartition("-g")[2]
    if not generation.isdecimal() or point.name != restore_point_name(saga_id, int(generation)):
        raise NotOurs(point_id, saga_id)
    if await _read(pool, point) is None:
        return
    points = _client(pool, point).restore_points

    async def is_there() -> bool:
        return await _read(pool, point) is not None

    await delete_until_gone(
        point_id,
        lambda: points.begin_delete(point.resource_group, point.collection, point.name),
        is_there,
    )


async def _read(pool: ClientPool, point: RestorePointId) -> "RestorePoint | None":
    try:
        with classified():
            return await _client(pool, point).restore_points.get(
                point.resource_group, point.collection, point.name, expand="instanceView"
            )
    except NotFound:
        return None


def _client(pool: ClientPool, point: RestorePointId) -> "ComputeManagementClient":
    return pool.of(point.subscription_id).patient
