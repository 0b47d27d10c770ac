"""One disk's snapshot in the making: what was sent to Azure, and what was seen of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.compute.bodies import incremental_snapshot
from shared.compute.errors import (
    ComputeError,
    Conflict,
    NotFound,
    Throttled,
    TimedOut,
    Unavailable,
    classified,
)
from shared.compute.names import Kind, parse_id
from shared.compute.values import epoch_ms
from shared.saga.evidence import DiskCapture
from shared.saga.facts import DiskFacts

if TYPE_CHECKING:
    from azure.core.polling import AsyncLROPoller
    from azure.mgmt.compute.aio import ComputeManagementClient
    from azure.mgmt.compute.models import Snapshot

#: Between two looks at a snapshot while a guest waits for it; a small one is made in under 1.5 s.
HELD_POLL_INTERVAL_S = 0.25

#: The same where no guest waits: Azure Resource Manager gives an app 25 reads a second, for all its VMs.
UNHELD_POLL_INTERVAL_S = 2.0

#: Where no guest waits and a throttled answer does not say how long to wait.
THROTTLED_PAUSE_MS = 5_000

#: How far ahead of Azure's the app's clock may be. NTP keeps both to well under a second. To be generous
#: is safe: names carry the generation, so an older snapshot of this name is of this very generation.
CLOCK_TOLERANCE_MS = 5_000

#: For the one look at a failed operation.
EXPLAIN_TIMEOUT_S = 5.0

STALE = "stale"
"""The name was taken: what was seen is an older snapshot, and no new one was made."""

OPERATION_FAILED = "operation_failed"
"""Azure accepted the request and then failed; `explain` learns why."""

_FAILED = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """A disk, and the id of the snapshot to make of it."""

    disk: DiskFacts
    snapshot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a capture counts, and whether a guest is held meanwhile.

    ``not_before`` and ``deadline`` are ms since the epoch, as ``clock`` gives them; ``pause`` takes seconds.
    """

    held: bool
    not_before: int
    deadline: int
    clock: Callable[[], int]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class FailedOperation:
    """An operation that Azure accepted and then ended as failed; `explain` asks for its reason."""

    snapshot_id: str
    poller: "AsyncLROPoller[Snapshot]"


async def explain(failed: FailedOperation) -> ComputeError | None:
    """Ask Azure why an operation failed; None when it says that it did not.

    Bounded by 5 s. Not for the freeze window: the reason changes nothing, and a guest waits.
    """
    try:
        with classified():
            async with asyncio.timeout(EXPLAIN_TIMEOUT_S):
                await failed.poller.result()
    except TimeoutError:
        return TimedOut("NoAnswer", f"no reason was given for {failed.snapshot_id}")
    except ComputeError as reason:
        return reason
    return None


class DiskSnapshot:
    """Sends the PUT of one snapshot and looks until it has ended.

    Attributes:
        failed: the operation, once Azure ended it as failed and its URL is known.

    """

    def __init__(
        self,
        client: "ComputeManagementClient",
        target: CaptureTarget,
        *,
        tags: Mapping[str, str],
        window: Window,
    ) -> None:
        self._client = client
        self._target = target
        self._id = parse_id(target.snapshot_id, Kind.SNAPSHOT)
        self._tags = dict(tags)
        self._window = window
        self._put_sent_at = 0
        self._poller: AsyncLROPoller[Snapshot] | None = None
        self._conflict: Conflict | None = None
        self.failed: FailedOperation | None = None

    async def take(self) -> DiskCapture:
        """Make the snapshot and return how it ended. The deadline is the caller's to keep."""
        try:
            await self._put()
            while (ended := await self._look()) is None:
                await self._window.pause(
                    HELD_POLL_INTERVAL_S if self._window.held else UNHELD_POLL_INTERVAL_S
                )
        except ComputeError as failure:
            return self.ended(failure.cause, str(failure))
        return ended

    def ended(self, error: str, detail: str = "") -> DiskCapture:
        """Say that the snapshot is of no use. ``put_sent_at`` is 0 when nothing was sent."""
        return DiskCapture(
            disk_id=self._target.disk.disk_id,
            lun=self._target.disk.lun,
            snapshot_id=self._target.snapshot_id,
            put_sent_at=self._put_sent_at,
            error=error,
            detail=detail,
        )

    async def _put(self) -> None:
        """Send the PUT. A lost answer is no failure: what became of the request is seen by looking.

        Raises `ComputeError` for a refusal, and when a pause is asked for that a held guest cannot wait for.
        """
        self._put_sent_at = self._put_sent_at or self._window.clock()
        try:
            with classified():
                self._poller = await self._client.snapshots.begin_create_or_update(
                    self._id.resource_group,
                    self._id.name,
                    incremental_snapshot(self._target.disk, self._tags),
                )
        except Conflict as conflict:
            # An earlier PUT of this name may be what is in the way.
            self._conflict = conflict
        except (Throttled, Unavailable) as busy:
            await self._bear(busy)

    async def _look(self) -> DiskCapture | None:
        """Look at the snapshot once; None means that it has to be looked at again."""
        try:
            with classified():
                snapshot = await self._client.snapshots.get(self._id.resource_group, self._id.name)
        except NotFound:
            await self._absent()
            return None
        except (Throttled, Unavailable) as busy:
            await self._bear(busy)
            return None
        return self._judge(snapshot)

    async def _absent(self) -> None:
        """Decide about a snapshot that is not there: an accepted one will come, a lost PUT is repeated."""
        if self._conflict is not None:
            raise self._conflict
        if self._poller is None:
            await self._put()

    async def _bear(self, busy: Throttled | Unavailable) -> None:
        """Wait as long as the service asks for, unless a guest would have to wait too: then give up."""
        if isinstance(busy, Unavailable) and busy.retry_after_ms is None:
            return
        if self._window.held:
            raise busy
        await self._window.pause((busy.retry_after_ms or THROTTLED_PAUSE_MS) / 1000)

    def _judge(self, snapshot: "Snapshot") -> DiskCapture | None:
        properties = snapshot.properties
        if properties is None:
            return None
        if properties.provisioning_state in _FAILED:
            if self._poller is not None:
                self.failed = FailedOperation(self._target.snapshot_id, self._poller)
            return self.ended(OPERATION_FAILED, f"the snapshot is in state {properties.provisioning_state}")
        created = epoch_ms(properties.time_created)
        if properties.provisioning_state != "Succeeded" or created is None:
            return None
        if created < self._window.not_before - CLOCK_TOLERANCE_MS:
            age = self._window.not_before - created
            return self.ended(STALE, f"the snapshot of this name was made {age} ms before it was asked for")
        return DiskCapture(
            disk_id=self._target.disk.disk_id,
            lun=self._target.disk.lun,
            snapshot_id=self._target.snapshot_id,
            put_sent_at=self._put_sent_at,
            time_created=created,
            succeeded_seen_at=self._window.clock(),
        )
