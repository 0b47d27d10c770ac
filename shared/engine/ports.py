"""What the engine needs of compute. What it needs of storage is in ``shared/storage/ports.py``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shared.compute.agent_package import AgentInstallation
from shared.compute.collections import OwnCollection
from shared.compute.diagnosing import Refusal
from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.errors import ComputeError
from shared.compute.kept import Kept
from shared.compute.listing import VmPage
from shared.compute.making import FailedOperation
from shared.compute.region_copies import CopyOrder
from shared.compute.restore_point import RestorePointTarget
from shared.policy.disks import DiskSelection
from shared.policy.selection import Scope
from shared.policy.snapshots import SnapshotSettings
from shared.saga.effects import Admit, Leave
from shared.saga.events import Admitted, MustWait
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import VmFacts
from shared.saga.state import RegionCopy, SagaState, SnapshotCopy
from shared.storage.run_records import RunEntry

#: Gives the time in ms since the epoch.
Clock = Callable[[], int]


class Admission(Protocol):
    """See ``shared.engine.admission``."""

    async def admit(self, state: SagaState, effect: Admit) -> Admitted | MustWait:
        """Reserve all that is needed, or nothing."""
        ...

    async def leave(self, state: SagaState, effect: Leave) -> None:
        """Give up what was reserved, or the place among those that wait."""
        ...


class Following(Protocol):
    """See ``shared.engine.following``."""

    async def ended(self, state: SagaState, entry: RunEntry) -> None:
        """Record a saga's end, and begin what follows from it."""
        ...

    async def guest_goes_on(self, state: SagaState) -> None:
        """Let the next VM of the run begin."""
        ...


class Compute(Protocol):
    """See ``shared.compute.Compute``. Raises ``ComputeError`` where a method does not say otherwise."""

    async def warm(self, vm_id: str) -> None: ...

    async def reach(self) -> None: ...

    async def list_vms(self, scope: Scope, page: str) -> VmPage: ...

    async def read_facts(self, vm_id: str, settings: SnapshotSettings, disks: DiskSelection) -> VmFacts: ...

    async def diagnose(self, vm_id: str, settings: SnapshotSettings) -> tuple[Refusal, ...]: ...

    async def look_at_groups(self, subscription_id: str, groups: Sequence[str]) -> tuple[Refusal, ...]: ...

    async def capture(
        self,
        targets: Sequence[CaptureTarget],
        *,
        tags: Mapping[str, str],
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Callable[[FailedOperation], None],
    ) -> tuple[DiskCapture, ...]:
        """Snapshot all disks; never raises for a disk."""
        ...

    async def take_restore_point(
        self,
        target: RestorePointTarget,
        *,
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Callable[[FailedOperation], None],
    ) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
        """Make a restore point over all disks; never raises for what Azure does."""
        ...

    async def explain(self, failed: FailedOperation) -> ComputeError | None: ...

    async def look_at_copies(
        self, snapshot_ids: Sequence[str]
    ) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]: ...

    async def copy_snapshots(self, orders: Sequence[CopyOrder], saga_id: str) -> tuple[RegionCopy, ...]:
        """Begin and follow copies in other regions; never raises for a copy."""
        ...

    async def tag(self, kept_id: str, tags: Mapping[str, str]) -> None: ...

    async def delete(self, unwanted_id: str, saga_id: str) -> None: ...

    async def look_at(self, resource_id: str) -> Kept | None: ...

    async def list_kept(
        self, subscription_id: str, group: str, marker: str = ""
    ) -> tuple[tuple[Kept, ...], str]: ...

    async def list_collections(
        self, subscription_id: str, group: str, link: str = ""
    ) -> tuple[tuple[OwnCollection, ...], str]: ...

    async def is_empty(self, collection_id: str) -> bool: ...

    async def delete_collection(self, collection: OwnCollection) -> None: ...

    async def start_agent(
        self,
        vm: VmFacts,
        saga_id: str,
        generation: int,
        bootstrap: str,
        *,
        install: AgentInstallation | None = None,
    ) -> None: ...

    async def stop_agent(self, vm_id: str, saga_id: str, generation: int) -> None: ...
