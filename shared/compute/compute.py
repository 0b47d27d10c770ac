"""All that the engine wants of Azure Resource Manager, over the clients of one process."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from azure.core.exceptions import AzureError

from shared.compute import agent_start, collections, restore_points, snapshots
from shared.compute.agent_package import AgentInstallation
from shared.compute.at_once import all_at_once
from shared.compute.capture import capture
from shared.compute.client import ClientPool
from shared.compute.collections import OwnCollection
from shared.compute.diagnosing import Refusal, diagnose, look_at_groups
from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.errors import ComputeError, classify
from shared.compute.facts import read_facts
from shared.compute.group_lists import GroupLists
from shared.compute.kept import Kept, list_kept, look_at
from shared.compute.listing import VmPage, list_vms
from shared.compute.making import FailedOperation, Window, explain
from shared.compute.names import Kind, is_restore_point, parse_id
from shared.compute.reaching import reach
from shared.compute.region_copies import CopyOrder, copy_snapshots
from shared.compute.restore_point import RestorePointTarget, take_restore_point
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.selection import Scope
from shared.policy.snapshots import SnapshotSettings
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import VmFacts
from shared.saga.state import RegionCopy, SnapshotCopy


class Compute:
    """Azure's compute provider as the engine sees it. ``clock`` gives ms since the epoch.

    All methods raise `ComputeError` for what Azure would not do, and `InvalidResourceId` for a malformed id.
    """

    def __init__(self, pool: ClientPool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock
        self._lists = GroupLists(pool, clock)

    async def warm(self, vm_id: str) -> None:
        """Import the SDK, make the clients and fetch a token, so that no freeze window pays for it."""
        try:
            await self._pool.warm(parse_id(vm_id, Kind.VM).subscription_id)
        except AzureError as error:
            raise classify(error) from error

    async def reach(self) -> None:
        """See whether Azure Resource Manager can be reached, and takes the app's identity for somebody."""
        await reach(self._pool)

    async def list_vms(self, scope: Scope, page: str = "") -> VmPage:
        """List a page of the VMs of a subscription or a group: the first, or that which an answer names."""
        return await list_vms(self._pool, scope, page)

    async def read_facts(
        self, vm_id: str, settings: SnapshotSettings, disks: DiskSelection = ALL_DISKS
    ) -> VmFacts:
        """Read a VM, those of its disks that are selected, and what would make their snapshots fail."""
        return await read_facts(self._pool, vm_id, settings, disks, clock=self._clock, lists=self._lists)

    async def diagnose(self, vm_id: str, settings: SnapshotSettings) -> tuple[Refusal, ...]:
        """Say what of a VM, its disks and the groups of its snapshots cannot be read."""
        return await diagnose(self._pool, vm_id, settings)

    async def look_at_groups(self, subscription_id: str, groups: Iterable[str]) -> tuple[Refusal, ...]:
        """Say in which of these resource groups snapshots cannot be listed."""
        return await look_at_groups(self._pool, subscription_id, groups)

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

    async def take_restore_point(
        self,
        target: RestorePointTarget,
        *,
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Callable[[FailedOperation], None] = lambda _: None,
    ) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
        """Make a VM restore point over all disks; both times are ms since the epoch."""
        window = Window(held=held, not_before=not_before, deadline=deadline, clock=self._clock)
        return await take_restore_point(self._pool, target, window, on_failed=on_failed)

    async def explain(self, failed: FailedOperation) -> ComputeError | None:
        """Ask why an operation failed; after the guest has gone on."""
        return await explain(failed)

    async def look_at_copies(
        self, snapshot_ids: Iterable[str]
    ) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]:
        """Look how far the background copies are; the second part are the ids of the lost ones.

        The ids are those of snapshots, or that of a restore point.
        """
        ids = tuple(snapshot_ids)
        points = tuple(each for each in ids if is_restore_point(each))
        others = tuple(each for each in ids if each not in points)
        copies, lost = await snapshots.look_at_copies(self._pool, others)
        seen = await all_at_once(restore_points.look_at_copy(self._pool, point) for point in points)
        gone = tuple(point for point, copy in zip(points, seen, strict=True) if copy is None)
        return (*copies, *(copy for copy in seen if copy is not None)), (*lost, *gone)

    async def copy_snapshots(self, orders: Sequence[CopyOrder], saga_id: str) -> tuple[RegionCopy, ...]:
        """Begin copies in other regions, or look how far they are; never raises for a copy."""
        return await copy_snapshots(self._pool, orders, saga_id)

    async def tag(self, kept_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to a snapshot, or to the collection of a restore point."""
        if is_restore_point(kept_id):
            await restore_points.tag_collection(self._pool, kept_id, tags)
        else:
            await snapshots.tag(self._pool, kept_id, tags)

    async def delete(self, unwanted_id: str, saga_id: str) -> None:
        """Delete a snapshot or a restore point of this saga, and wait until it is gone."""
        if is_restore_point(unwanted_id):
            await restore_points.delete(self._pool, unwanted_id, saga_id)
        else:
            await snapshots.delete(self._pool, unwanted_id, saga_id)

    async def look_at(self, resource_id: str) -> Kept | None:
        """Look at a snapshot or a restore point that was kept; None when it is not there."""
        return await look_at(self._pool, resource_id)

    async def list_kept(
        self, subscription_id: str, group: str, marker: str = ""
    ) -> tuple[tuple[Kept, ...], str]:
        """List a page of what there is of ours in a resource group, and where to go on."""
        return await list_kept(self._pool, subscription_id, group, marker)

    async def list_collections(
        self, subscription_id: str, group: str, link: str = ""
    ) -> tuple[tuple[OwnCollection, ...], str]:
        """List a page of the collections of restore points that we made, and the link to the next."""
        return await collections.list_own(self._pool, subscription_id, group, link)

    async def is_empty(self, collection_id: str) -> bool:
        """Whether there is a collection and it has no restore point."""
        return await collections.is_empty(self._pool, collection_id)

    async def delete_collection(self, collection: OwnCollection) -> None:
        """Delete a collection, and whatever is in it."""
        await collections.delete(self._pool, collection)

    async def start_agent(
        self,
        vm: VmFacts,
        saga_id: str,
        generation: int,
        bootstrap: str,
        *,
        install: AgentInstallation | None = None,
    ) -> None:
        """Start the agent in a guest, after having installed it there if wanted."""
        await agent_start.start_agent(
            self._pool, vm, saga_id, generation, bootstrap=bootstrap, install=install
        )

    async def stop_agent(self, vm_id: str, saga_id: str, generation: int) -> None:
        """Remove the run command of one start of the agent."""
        await agent_start.remove(self._pool, vm_id, saga_id, generation)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()
