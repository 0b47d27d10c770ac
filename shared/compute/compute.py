"""All that the engine wants of Azure Resource Manager, over the clients of one process."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from azure.core.exceptions import AzureError

from shared.compute import agent_start, snapshots
from shared.compute.capture import capture
from shared.compute.client import ClientPool
from shared.compute.disk_snapshot import CaptureTarget, FailedOperation, Window, explain
from shared.compute.errors import ComputeError, classify
from shared.compute.facts import read_facts
from shared.compute.names import Kind, parse_id
from shared.policy.snapshots import SnapshotSettings
from shared.saga.evidence import DiskCapture
from shared.saga.facts import VmFacts
from shared.saga.state import SnapshotCopy


class Compute:
    """Azure's compute provider as the engine sees it. ``clock`` gives ms since the epoch.

    All methods raise `ComputeError` for what Azure would not do, and `InvalidResourceId` for a malformed id.
    """

    def __init__(self, pool: ClientPool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    async def warm(self, vm_id: str) -> None:
        """Import the SDK, make the clients and fetch a token, so that no freeze window pays for it."""
        try:
            await self._pool.warm(parse_id(vm_id, Kind.VM).subscription_id)
        except AzureError as error:
            raise classify(error) from error

    async def read_facts(self, vm_id: str, settings: SnapshotSettings) -> VmFacts:
        """Read a VM, its disks, and what would make their snapshots fail."""
        return await read_facts(self._pool, vm_id, settings, clock=self._clock)

    async def capture(
        self,
        targets: Sequence[CaptureTarget],
        *,
        tags: Mapping[str, str],
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Callable[[FailedOperation], None] = lambda _: None,
    ) -> tuple[DiskCapture, ...]:
        """Snapshot all disks at once; both times are ms since the epoch.

        While a guest is ``held``, nothing sleeps through a throttled answer: the generation fails instead.
        """
        window = Window(held=held, not_before=not_before, deadline=deadline, clock=self._clock)
        return await capture(self._pool, targets, window, tags=tags, on_failed=on_failed)

    async def explain(self, failed: FailedOperation) -> ComputeError | None:
        """Ask why an operation failed; after the guest has gone on."""
        return await explain(failed)

    async def look_at_copies(
        self, snapshot_ids: Iterable[str]
    ) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]:
        """Look how far the background copies are; the second part are the ids of the lost ones."""
        return await snapshots.look_at_copies(self._pool, snapshot_ids)

    async def tag(self, snapshot_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to a snapshot."""
        await snapshots.tag(self._pool, snapshot_id, tags)

    async def delete(self, snapshot_id: str, saga_id: str) -> None:
        """Delete a snapshot of this saga, and wait until it is gone."""
        await snapshots.delete(self._pool, snapshot_id, saga_id)

    async def start_agent(self, vm: VmFacts, saga_id: str, generation: int, bootstrap: str) -> None:
        """Start the agent in a guest."""
        await agent_start.start_agent(self._pool, vm, saga_id, generation, bootstrap=bootstrap)

    async def stop_agent(self, vm_id: str, saga_id: str, generation: int) -> None:
        """Remove the run command of one start of the agent."""
        await agent_start.remove(self._pool, vm_id, saga_id, generation)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()
