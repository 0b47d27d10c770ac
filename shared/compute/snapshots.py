"""Snapshots after they were taken: their background copy, their tags, their deletion."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from shared.compute.at_once import all_at_once
from shared.compute.bodies import tag_update
from shared.compute.client import ClientPool
from shared.compute.deletion import delete_until_gone
from shared.compute.errors import NotFound, NotOurs, classified
from shared.compute.names import Kind, parse_id
from shared.compute.tags import SAGA
from shared.compute.values import of_its_types
from shared.saga.state import SnapshotCopy

if TYPE_CHECKING:
    from azure.mgmt.compute.models import Snapshot

_LOST = frozenset({"Failed", "Canceled"})


async def look_at_copies(
    pool: ClientPool, snapshot_ids: Iterable[str]
) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]:
    """Look how far the background copies are; the second part are the ids of those that are gone or failed.

    Snapshots of Standard and Premium SSD disks say 100 percent from the start. Raises `ComputeError` when one
    cannot be read, so that a service that is down is not mistaken for lost snapshots.
    """
    ids = tuple(snapshot_ids)
    seen = await all_at_once(read_snapshot(pool, snapshot_id) for snapshot_id in ids)
    found = {
        snapshot_id: snapshot
        for snapshot_id, snapshot in zip(ids, seen, strict=True)
        if snapshot is not None and not _is_lost(snapshot)
    }
    with classified():
        copies = tuple(
            of_its_types(SnapshotCopy(each, _percent(snapshot))) for each, snapshot in found.items()
        )
    return copies, tuple(snapshot_id for snapshot_id in ids if snapshot_id not in found)


async def tag(pool: ClientPool, snapshot_id: str, tags: Mapping[str, str]) -> None:
    """Add tags to a snapshot; those of other names stay, and nothing is sent when all are there already.

    Returns when Azure accepted the update. Tags that somebody else changes between our read and our write are
    lost, as the service knows no conditional update. Raises `NotFound` for a snapshot that is gone, and other
    `ComputeError`.
    """
    target = parse_id(snapshot_id, Kind.SNAPSHOT)
    snapshots = pool.of(target.subscription_id).patient.snapshots
    with classified():
        snapshot = await snapshots.get(target.resource_group, target.name)
        merged = {**(snapshot.tags or {}), **tags}
        if merged != snapshot.tags:
            await snapshots.begin_update(target.resource_group, target.name, tag_update(merged))


async def delete(pool: ClientPool, snapshot_id: str, saga_id: str) -> None:
    """Delete a snapshot that this saga made; one that is not there is fine. Returns when it is really gone.

    Raises `NotOurs` when it does not carry the saga's tag, `TimedOut` when it takes longer than 60 s, and
    other `ComputeError`. Trying again is safe.
    """
    snapshot = await read_snapshot(pool, snapshot_id)
    if snapshot is None:
        return
    with classified():
        owner = (snapshot.tags or {}).get(SAGA)
    if owner != saga_id:
        raise NotOurs(snapshot_id, saga_id)
    target = parse_id(snapshot_id, Kind.SNAPSHOT)
    snapshots = pool.of(target.subscription_id).patient.snapshots

    async def is_there() -> bool:
        return await read_snapshot(pool, snapshot_id) is not None

    await delete_until_gone(
        snapshot_id, lambda: snapshots.begin_delete(target.resource_group, target.name), is_there
    )


async def read_snapshot(pool: ClientPool, snapshot_id: str) -> "Snapshot | None":
    """Read a snapshot; None where it is not there. Raises other `ComputeError`."""
    target = parse_id(snapshot_id, Kind.SNAPSHOT)
    try:
        with classified():
            return await pool.of(target.subscription_id).patient.snapshots.get(
                target.resource_group, target.name
            )
    except NotFound:
        return None


def _is_lost(snapshot: "Snapshot") -> bool:
    with classified():
        properties = snapshot.properties
        if properties is None:
            return False
        return properties.provisioning_state in _LOST or properties.copy_completion_error is not None


def _percent(snapshot: "Snapshot") -> float:
    """Give the share of the copy that is done; a snapshot that does not say it needs none."""
    properties = snapshot.properties
    if properties is None or properties.completion_percent is None:
        return 100.0
    return properties.completion_percent
