"""The critical section: the snapshots of all disks of a VM, while its guest holds still.

All PUTs go out at once, and every snapshot is then looked at by plain GETs: what the GET says is the truth,
whatever became of the PUT's answer. Nothing here waits for the SDK's poller, and while a guest is held
nothing sleeps through a Retry-After.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from shared.compute.client import ClientPool
from shared.compute.disk_snapshot import CaptureTarget, DiskSnapshot
from shared.compute.making import FailedOperation, Window
from shared.compute.names import Kind, parse_id
from shared.saga.evidence import DiskCapture

if TYPE_CHECKING:
    from azure.mgmt.compute.aio import ComputeManagementClient

DEADLINE = "deadline"
"""The deadline came before the snapshot was seen to succeed."""

ABANDONED = "abandoned"
"""Another disk's snapshot failed first, which loses the recovery point."""


async def capture(
    pool: ClientPool,
    targets: Sequence[CaptureTarget],
    window: Window,
    *,
    tags: Mapping[str, str],
    on_failed: Callable[[FailedOperation], None],
) -> tuple[DiskCapture, ...]:
    """Snapshot all disks at once, and return as soon as the guest need not wait any longer.

    That is when all have succeeded, or when one has failed (a recovery point lacks no disk, so the others are
    given up), or at the deadline. One `DiskCapture` per target comes back, in their order; a disk's fault is
    in its `error`, and is not raised. ``on_failed`` is told of each operation that Azure accepted and then
    failed; `explain` asks for its reason once the guest has gone on.

    A request that was given up may still take effect: afterwards any target's snapshot may exist.
    Raises `InvalidResourceId` for a malformed snapshot id, before anything is sent.
    """
    snapshots = [
        DiskSnapshot(_window_client(pool, target), target, tags=tags, window=window) for target in targets
    ]
    tasks = [asyncio.create_task(snapshot.take()) for snapshot in snapshots]
    try:
        given_up = await _until_decided(tasks, window)
    finally:
        await _give_up(tasks)
    for snapshot in snapshots:
        if snapshot.failed is not None:
            on_failed(snapshot.failed)
    return tuple(
        snapshot.ended(given_up) if task.cancelled() else task.result()
        for snapshot, task in zip(snapshots, tasks, strict=True)
    )


def _window_client(pool: ClientPool, target: CaptureTarget) -> "ComputeManagementClient":
    return pool.of(parse_id(target.snapshot_id, Kind.SNAPSHOT).subscription_id).freeze_window


async def _until_decided(tasks: Collection[asyncio.Task[DiskCapture]], window: Window) -> str:
    """Wait until nothing is left to wait for; return the error of those that have not ended, if any."""
    pending = set(tasks)
    while pending:
        left_ms = window.deadline - window.clock()
        if left_ms <= 0:
            return DEADLINE
        done, pending = await asyncio.wait(
            pending, timeout=left_ms / 1000, return_when=asyncio.FIRST_COMPLETED
        )
        if any(task.result().error for task in done):
            return ABANDONED
    return ""


async def _give_up(tasks: Collection[asyncio.Task[DiskCapture]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
