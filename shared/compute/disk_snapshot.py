"""One disk's snapshot in the making: what was sent to Azure, and what was seen of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.compute.bodies import disk_snapshot
from shared.compute.errors import ComputeError, classified
from shared.compute.making import FailedOperation, Making, NotMade, Progress, Requests, Window
from shared.compute.names import Kind, parse_id
from shared.compute.values import epoch_ms, spelling
from shared.policy.snapshots import SnapshotSettings
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


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """A disk, the id of the snapshot to make of it, the tags of that one alone, and how it is asked for."""

    disk: DiskFacts
    snapshot_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: SnapshotSettings = field(default_factory=SnapshotSettings)


class DiskSnapshot:
    """Sends the PUT of one snapshot and looks until it has ended."""

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
        self._tags = {**target.tags, **tags}
        self._window = window
        requests = Requests(begin=self._begin, get=self._get, progress=_progress)
        interval = HELD_POLL_INTERVAL_S if window.held else UNHELD_POLL_INTERVAL_S
        self._making = Making(target.snapshot_id, requests, window, poll_interval_s=interval)

    @property
    def failed(self) -> FailedOperation | None:
        """The operation, once Azure ended it as failed and its URL is known."""
        return self._making.failed

    async def take(self) -> DiskCapture:
        """Make the snapshot and return how it ended. The deadline is the caller's to keep."""
        try:
            _, created_at = await self._making.ended()
        except NotMade as useless:
            return self.ended(useless.error, useless.detail)
        except ComputeError as failure:
            return self.ended(failure.cause, str(failure))
        return DiskCapture(
            disk_id=self._target.disk.disk_id,
            lun=self._target.disk.lun,
            snapshot_id=self._target.snapshot_id,
            put_sent_at=self._making.put_sent_at,
            time_created=created_at,
            succeeded_seen_at=self._window.clock(),
        )

    def ended(self, error: str, detail: str = "") -> DiskCapture:
        """Say that the snapshot is of no use. ``put_sent_at`` is 0 when nothing was sent."""
        return DiskCapture(
            disk_id=self._target.disk.disk_id,
            lun=self._target.disk.lun,
            snapshot_id=self._target.snapshot_id,
            put_sent_at=self._making.put_sent_at,
            error=error,
            detail=detail,
        )

    async def _begin(self) -> "AsyncLROPoller[Any]":
        body = disk_snapshot(self._target.disk, self._tags, self._target.settings)
        with classified():
            return await self._client.snapshots.begin_create_or_update(
                self._id.resource_group, self._id.name, body
            )

    async def _get(self) -> "Snapshot":
        with classified():
            return await self._client.snapshots.get(self._id.resource_group, self._id.name)


def _progress(snapshot: "Snapshot") -> Progress | None:
    with classified():
        properties = snapshot.properties
        if properties is None:
            return None
        return Progress(spelling(properties.provisioning_state), epoch_ms(properties.time_created))
