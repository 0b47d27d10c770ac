"""Copies of snapshots in other regions: begun by a PUT (CopyStart), followed by plain GETs to 100 percent.

Azure copies in the background, for minutes to hours. The PUT succeeds long before that: only the percentage
tells ("Copy an incremental snapshot to a new region", Microsoft Learn).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.compute.at_once import all_at_once
from shared.compute.bodies import snapshot_copy
from shared.compute.client import ClientPool
from shared.compute.errors import ComputeError, NotOurs, Refused, classified
from shared.compute.names import Kind, parse_id
from shared.compute.snapshots import read_snapshot
from shared.compute.tags import SAGA
from shared.compute.values import of_its_types, spelling
from shared.policy.snapshots import RegionCopySettings, SnapshotSettings
from shared.saga.copying import FAILED
from shared.saga.state import RegionCopy

#: Azure copies one snapshot of a disk at a time, in their order, and 100 in a region: what it says to one
#: more is not documented. Its general code for "not now" is taken for that; the copy's deadline bounds it.
_NOT_NOW = frozenset({"operationnotallowed"})

_LOST = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """A copy, where it goes, the settings of its source, and its tags."""

    copy: RegionCopy
    target: RegionCopySettings
    settings: SnapshotSettings
    tags: Mapping[str, str]


async def copy_snapshots(
    pool: ClientPool, orders: Sequence[CopyOrder], saga_id: str
) -> tuple[RegionCopy, ...]:
    """Begin the copies that are not there, and look how far the others are.

    Never raises for what Azure does: what will not pass is the copy's error, what may is its detail only.
    Doing it twice changes nothing, as a PUT on a name that is there begins no second copy.
    """
    return tuple(await all_at_once(_follow(pool, order, saga_id) for order in orders))


async def _follow(pool: ClientPool, order: CopyOrder, saga_id: str) -> RegionCopy:
    copy = order.copy
    try:
        seen = await _look(pool, copy, saga_id)
        if seen is not None:
            return of_its_types(seen)
        if copy.seen:
            return replace(copy, error=FAILED, detail="it was there, and is gone")
        await _begin(pool, order)
        return replace(copy, seen=True, detail="")
    except ComputeError as error:
        told = f"{error.detail} ({error.code})"
        not_now = isinstance(error, Refused) and error.code.lower() in _NOT_NOW
        return replace(copy, detail=told, error="" if error.passing or not_now else error.cause)


async def _look(pool: ClientPool, copy: RegionCopy, saga_id: str) -> RegionCopy | None:
    snapshot = await read_snapshot(pool, copy.snapshot_id)
    if snapshot is None:
        return None
    with classified():
        if (snapshot.tags or {}).get(SAGA) != saga_id:
            raise NotOurs(copy.snapshot_id, saga_id)
        properties = snapshot.properties
        if properties is None:
            return replace(copy, seen=True)
        failure = properties.copy_completion_error
        if failure is not None:
            detail = f"{failure.error_message} ({spelling(failure.error_code)})"
            return replace(copy, seen=True, error=FAILED, detail=detail)
        if properties.provisioning_state in _LOST:
            return replace(copy, seen=True, error=FAILED, detail=f"it is {properties.provisioning_state}")
        return replace(
            copy, seen=True, completion_percent=float(properties.completion_percent or 0), detail=""
        )


async def _begin(pool: ClientPool, order: CopyOrder) -> None:
    target = parse_id(order.copy.snapshot_id, Kind.SNAPSHOT)
    body = snapshot_copy(order.copy.source_id, order.target, order.settings, order.tags)
    with classified():
        await pool.of(target.subscription_id).patient.snapshots.begin_create_or_update(
            target.resource_group, target.name, body
        )
