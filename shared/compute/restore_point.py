"""The critical section where the recovery point is a VM restore point: one PUT, and plain GETs.

The collection of the VM is made when the first point finds it missing, so that no later one pays for it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.compute.bodies import restore_point, restore_point_collection
from shared.compute.capture import DEADLINE
from shared.compute.client import ClientPool
from shared.compute.errors import ComputeError, NotFound, classified
from shared.compute.making import FailedOperation, Making, NotMade, Progress, Requests, Window
from shared.compute.names import RestorePointId, parse_restore_point_id
from shared.compute.values import epoch_ms, spelling
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import DiskFacts

if TYPE_CHECKING:
    from azure.core.polling import AsyncLROPoller
    from azure.mgmt.compute.aio import ComputeManagementClient
    from azure.mgmt.compute.models import (
        RestorePoint,
        RestorePointSourceVMDataDisk,
        RestorePointSourceVMOSDisk,
    )

#: Between two looks while a guest waits: 500 reads of restore points in 3 minutes are what the service gives.
HELD_POLL_INTERVAL_S = 0.5

#: The same where no guest waits: an application-consistent one was seen to take about a minute.
UNHELD_POLL_INTERVAL_S = 5.0

LEFT_OUT = "not_in_restore_point"
"""The restore point succeeded, but it does not hold this disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePointTarget:
    """The restore point to make. ``consistency`` is ``CrashConsistent``, or empty, which leaves it out.

    ``tags`` are those of the collection, should it have to be made: a restore point itself has none.
    ``excluded`` are the ids of the VM's disks that are not to be in it.
    """

    point_id: str
    vm_id: str
    location: str
    consistency: str
    disks: Sequence[DiskFacts]
    tags: Mapping[str, str]
    excluded: Sequence[str] = ()


async def take_restore_point(
    pool: ClientPool,
    target: RestorePointTarget,
    window: Window,
    *,
    on_failed: Callable[[FailedOperation], None],
) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
    """Make a restore point over all disks of a VM and return what it came to, one `DiskCapture` per disk.

    A fault is in the `error` of every disk and is not raised. ``on_failed`` is told of an operation that
    Azure accepted and then failed. A request that was given up may still take effect.
    Raises `InvalidResourceId` for a malformed id, before anything is sent.
    """
    point_id = parse_restore_point_id(target.point_id)
    requests = _Requests(pool.of(point_id.subscription_id).freeze_window, point_id, target)
    interval = HELD_POLL_INTERVAL_S if window.held else UNHELD_POLL_INTERVAL_S
    making: Making[RestorePoint] = Making(
        target.point_id,
        Requests(begin=requests.begin, get=requests.get, progress=_progress),
        window,
        poll_interval_s=interval,
    )
    nothing = RestorePointReport(point_id=target.point_id, asked=target.consistency)
    try:
        async with asyncio.timeout(max(0, window.deadline - window.clock()) / 1000):
            point, created_at = await making.ended()
        return _taken(target, point, making.put_sent_at, created_at, window.clock())
    except TimeoutError:
        return _failed(target, making.put_sent_at, DEADLINE), nothing
    except NotMade as useless:
        if making.failed is not None:
            on_failed(making.failed)
        return _failed(target, making.put_sent_at, useless.error, useless.detail), nothing
    except ComputeError as failure:
        return _failed(target, making.put_sent_at, failure.cause, str(failure)), nothing


def _taken(
    target: RestorePointTarget, point: "RestorePoint", put_sent_at: int, created_at: int, seen_at: int
) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
    with classified():
        reached = spelling(point.properties.consistency_mode) if point.properties else ""
        report = RestorePointReport(point_id=target.point_id, asked=target.consistency, reached=reached)
        return _captured(target, point, put_sent_at, created_at, seen_at), report


class _Requests:
    """The requests about one restore point."""

    def __init__(
        self, client: "ComputeManagementClient", point_id: RestorePointId, target: RestorePointTarget
    ) -> None:
        self._client = client
        self._id = point_id
        self._target = target

    async def begin(self) -> "AsyncLROPoller[Any]":
        try:
            return await self._begin_point()
        except NotFound:  # the first restore point of this VM
            with classified():
                await self._client.restore_point_collections.create_or_update(
                    self._id.resource_group,
                    self._id.collection,
                    restore_point_collection(self._target.vm_id, self._target.location, self._target.tags),
                )
            return await self._begin_point()

    async def get(self) -> "RestorePoint":
        with classified():
            return await self._client.restore_points.get(
                self._id.resource_group, self._id.collection, self._id.name
            )

    async def _begin_point(self) -> "AsyncLROPoller[Any]":
        with classified():
            return await self._client.restore_points.begin_create(
                self._id.resource_group,
                self._id.collection,
                self._id.name,
                restore_point(self._target.consistency, self._target.excluded),
            )


def _progress(point: "RestorePoint") -> Progress | None:
    with classified():
        properties = point.properties
        if properties is None:
            return None
        return Progress(spelling(properties.provisioning_state), epoch_ms(properties.time_created))


def _failed(
    target: RestorePointTarget, put_sent_at: int, error: str, detail: str = ""
) -> tuple[DiskCapture, ...]:
    return tuple(
        DiskCapture(
            disk_id=disk.disk_id,
            lun=disk.lun,
            snapshot_id=target.point_id,
            put_sent_at=put_sent_at,
            error=error,
            detail=detail,
        )
        for disk in target.disks
    )


def _captured(
    target: RestorePointTarget, point: "RestorePoint", put_sent_at: int, created_at: int, seen_at: int
) -> tuple[DiskCapture, ...]:
    inside = dict(_disks_inside(point))
    return tuple(
        DiskCapture(
            disk_id=disk.disk_id,
            lun=disk.lun,
            snapshot_id=inside[disk.disk_id.lower()],
            put_sent_at=put_sent_at,
            time_created=created_at,
            succeeded_seen_at=seen_at,
        )
        if disk.disk_id.lower() in inside
        else _failed(target, put_sent_at, LEFT_OUT, f"{disk.name} is not in it")[index]
        for index, disk in enumerate(target.disks)
    )


def _disks_inside(point: "RestorePoint") -> Iterator[tuple[str, str]]:
    """Yield the id of each disk, in lower case, and that of its disk restore point."""
    metadata = point.properties.source_metadata if point.properties else None
    profile = metadata.storage_profile if metadata else None
    if profile is None:
        return
    disks: list[RestorePointSourceVMOSDisk | RestorePointSourceVMDataDisk] = list(profile.data_disks or [])
    for disk in [profile.os_disk, *disks] if profile.os_disk else disks:
        source, made = disk.managed_disk, disk.disk_restore_point
        if source is not None and source.id and made is not None and made.id:
            yield source.id.lower(), spelling(made.id)
