"""Azure for a test: VMs with disks, snapshots by name, run commands that start a guest's agent.

Every request counts as one operation of ``Interruptions``, so that a test can end the app around any of them.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from shared.compute import CaptureTarget, ComputeError, FailedOperation, RestorePointTarget
from shared.compute.agent_package import AgentInstallation
from shared.compute.collections import OwnCollection
from shared.compute.diagnosing import Refusal
from shared.compute.errors import Refused
from shared.compute.kept import Kept
from shared.compute.listing import VmPage
from shared.compute.making import CLOCK_TOLERANCE_MS, OPERATION_FAILED, STALE
from shared.compute.region_copies import CopyOrder
from shared.engine.ports import Clock
from shared.policy.disks import DiskSelection, SelectableDisk
from shared.policy.selection import Scope, VmSummary
from shared.policy.snapshots import SnapshotSettings
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import DiskFacts, LeftOut, VmFacts
from shared.saga.state import RegionCopy, SnapshotCopy
from tests.unit.engine.interruptions import Interruptions

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"


def vm_id(name: str) -> str:
    return f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"


def disk(vm: str, lun: int | None) -> DiskFacts:
    name = f"{vm}-os" if lun is None else f"{vm}-data-{lun}"
    return DiskFacts(
        disk_id=f"{GROUP}/providers/Microsoft.Compute/disks/{name}",
        name=name,
        lun=lun,
        location="westeurope",
        sku="Premium_LRS",
        size_gib=64,
    )


def facts_of(vm: str, *, power_state: str = "running", os_type: str = "Linux") -> VmFacts:
    name = vm.rpartition("/")[2]
    return VmFacts(
        vm_id=vm,
        name=name,
        location="westeurope",
        os_type=os_type,
        power_state=power_state,
        vm_agent_ready=True,
        disks=(disk(name, None), disk(name, 0), disk(name, 1)),
    )


@dataclass(slots=True)
class Snapshot:
    """One snapshot; ``held`` says whether its VM's guest was held when it was taken."""

    time_created: int
    tags: dict[str, str]
    held: bool


@dataclass(slots=True)
class FakeCompute:
    """Gives what ``shared.engine.ports.Compute`` asks for. ``errors`` are raised once each, by method."""

    clock: Clock
    interruptions: Interruptions
    start_guest: Callable[[str, Mapping[str, str]], None] = lambda _vm, _bootstrap: None
    guest_is_held: Callable[[str], bool] = lambda _vm: False
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    run_commands: set[tuple[str, str, int]] = field(default_factory=set)
    bootstraps: list[str] = field(default_factory=list)
    installations: list[AgentInstallation | None] = field(default_factory=list)
    errors: dict[str, list[ComputeError]] = field(default_factory=dict)
    power_state: str = "running"
    os_type: str = "Linux"
    reached: str = "ApplicationConsistent"
    points_asked: list[str] = field(default_factory=list)
    collection_tags: dict[str, str] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)
    failing_disks: set[str] = field(default_factory=set)
    explained: list[str] = field(default_factory=list)
    captures_of: list[str] = field(default_factory=list)
    copied_percent: float = 100.0
    refusals: tuple[Refusal, ...] = ()
    missing_groups: set[str] = field(default_factory=set)
    region_copy_ms: int = 0
    closed_regions: set[str] = field(default_factory=set)
    after_capture: Callable[[], Awaitable[None]] | None = None
    vms: list[VmSummary] = field(default_factory=list)
    page_size: int = 50
    collections: dict[str, OwnCollection] = field(default_factory=dict)
    unlistable: dict[Scope, ComputeError] = field(default_factory=dict)

    async def warm(self, vm_id: str) -> None:
        """Nothing to warm."""

    async def reach(self) -> None:
        self._fail("reach")

    async def list_vms(self, scope: Scope, page: str) -> VmPage:
        async with self.interruptions.around(f"list {scope.text()}"):
            self._fail("list_vms")
            if scope in self.unlistable:
                raise self.unlistable[scope]
            found = [
                vm
                for vm in self.vms
                if vm.subscription.lower() == scope.subscription
                and (not scope.group or vm.resource_group.lower() == scope.group)
            ]
            start = int(page or 0)
            behind = start + self.page_size
            return VmPage(tuple(found[start:behind]), str(behind) if behind < len(found) else "")

    async def read_facts(self, vm_id: str, settings: SnapshotSettings, disks: DiskSelection) -> VmFacts:
        async with self.interruptions.around(f"read {vm_id}"):
            self._fail("read_facts")
            whole = facts_of(vm_id, power_state=self.power_state, os_type=self.os_type)
            selected = {
                each: disks.why_out(SelectableDisk(name=each.name, lun=each.lun, tags={}))
                for each in whole.disks
            }
            left_out = tuple(
                LeftOut(disk_id=each.disk_id, name=each.name, lun=each.lun, why=why)
                for each, why in selected.items()
                if why
            )
            kept = tuple(each for each, why in selected.items() if not why)
            tags = next((vm.tags for vm in self.vms if vm.id.lower() == vm_id.lower()), ())
            return replace(whole, disks=kept, left_out=left_out, tags=tags)

    async def diagnose(self, vm_id: str, settings: SnapshotSettings) -> tuple[Refusal, ...]:
        return self.refusals

    async def look_at_groups(self, subscription_id: str, groups: Sequence[str]) -> tuple[Refusal, ...]:
        return tuple(
            Refusal("resource group", group, "not_found", f"no {group}")
            for group in groups
            if group in self.missing_groups
        )

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
        async with self.interruptions.around("capture"):
            self.captures_of.extend(target.snapshot_id for target in targets)
            captured = tuple(self._captured(target, tags, not_before, on_failed) for target in targets)
            if self.after_capture:
                await self.after_capture()
            return captured

    def _captured(
        self,
        target: CaptureTarget,
        tags: Mapping[str, str],
        not_before: int,
        on_failed: Callable[[FailedOperation], None],
    ) -> DiskCapture:
        now = self.clock()
        error = ""
        if target.disk.name in self.failing_disks:
            error = OPERATION_FAILED
            on_failed(FailedOperation(target.snapshot_id, cast("Any", None)))
        else:
            held = self.guest_is_held(target.disk.name)
            new = Snapshot(now, {**target.tags, **tags}, held)
            snapshot = self.snapshots.setdefault(target.snapshot_id, new)
            error = STALE if snapshot.time_created < not_before - CLOCK_TOLERANCE_MS else ""
        return DiskCapture(
            disk_id=target.disk.disk_id,
            lun=target.disk.lun,
            snapshot_id=target.snapshot_id,
            put_sent_at=now,
            time_created=None if error else self.snapshots[target.snapshot_id].time_created,
            succeeded_seen_at=None if error else now,
            error=error,
        )

    async def take_restore_point(
        self,
        target: RestorePointTarget,
        *,
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Callable[[FailedOperation], None],
    ) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
        async with self.interruptions.around("restore point"):
            self.points_asked.append(target.consistency)
            each = [CaptureTarget(disk, target.point_id) for disk in target.disks]
            captured = tuple(self._captured(one, target.tags, not_before, on_failed) for one in each)
            if self.after_capture:
                await self.after_capture()
            reached = target.consistency or self.reached
            return captured, RestorePointReport(
                point_id=target.point_id, asked=target.consistency, reached=reached
            )

    async def explain(self, failed: FailedOperation) -> ComputeError | None:
        self.explained.append(failed.resource_id)
        return ComputeError("DiskIsOnFire", "it burns")

    async def look_at_copies(
        self, snapshot_ids: Sequence[str]
    ) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]:
        async with self.interruptions.around("copies"):
            self._fail("look_at_copies")
            there = tuple(
                SnapshotCopy(name, self.copied_percent) for name in snapshot_ids if name in self.snapshots
            )
            return there, tuple(name for name in snapshot_ids if name not in self.snapshots)

    async def copy_snapshots(self, orders: Sequence[CopyOrder], saga_id: str) -> tuple[RegionCopy, ...]:
        async with self.interruptions.around("copy to a region"):
            return tuple(self._copied(order) for order in orders)

    def _copied(self, order: CopyOrder) -> RegionCopy:
        copy = order.copy
        if copy.region in self.closed_regions:
            return replace(copy, error="denied", detail="not here (AuthorizationFailed)")
        new = Snapshot(self.clock(), dict(order.tags), held=False)
        there = self.snapshots.setdefault(copy.snapshot_id, new)
        done = there.time_created + self.region_copy_ms <= self.clock()
        return replace(copy, seen=True, completion_percent=100.0 if done else 50.0)

    async def tag(self, snapshot_id: str, tags: Mapping[str, str]) -> None:
        async with self.interruptions.around("tag"):
            self._fail("tag")
            snapshot = self.snapshots[snapshot_id]
            if "/restorePoints/" in snapshot_id:
                self.collection_tags |= tags
            else:
                snapshot.tags |= tags

    async def delete(self, snapshot_id: str, saga_id: str) -> None:
        async with self.interruptions.around("delete"):
            self._fail("delete")
            self.snapshots.pop(snapshot_id, None)

    async def look_at(self, resource_id: str) -> Kept | None:
        async with self.interruptions.around("look"):
            self._fail("look_at")
            snapshot = self.snapshots.get(resource_id)
            if snapshot is None:
                return None
            in_use = "it is in use" if resource_id in self.in_use else ""
            tags = {} if "/restorePoints/" in resource_id else dict(snapshot.tags)
            return Kept(resource_id=resource_id, tags=tags, in_use=in_use, created=snapshot.time_created)

    async def list_kept(
        self, subscription_id: str, group: str, marker: str = ""
    ) -> tuple[tuple[Kept, ...], str]:
        """Two snapshots a page, so that there are pages."""
        async with self.interruptions.around("list"):
            self._fail("list_kept")
            if marker and not marker.isdecimal():
                raise Refused("ForeignLink", "not a page of this list")
            prefix = f"/subscriptions/{subscription_id}/resourceGroups/{group}/".lower()
            names = sorted(
                name
                for name, snapshot in self.snapshots.items()
                if name.lower().startswith(prefix) and "/restorePoints/" not in name and snapshot.tags
            )
            start = int(marker or 0)
            page = [await self.look_at(name) for name in names[start : start + 2]]
            following = str(start + 2) if start + 2 < len(names) else ""
            return tuple(kept for kept in page if kept is not None), following

    async def list_collections(
        self, subscription_id: str, group: str, link: str = ""
    ) -> tuple[tuple[OwnCollection, ...], str]:
        """One a page, so that there are pages."""
        async with self.interruptions.around("list collections"):
            self._fail("list_collections")
            place = f"/subscriptions/{subscription_id}/resourceGroups/{group}/".lower()
            mine = (name for name in self.collections if name.lower().startswith(place))
            found = sorted(name for name in mine if name > link)
            following = found[0] if len(found) > 1 else ""
            return tuple(self.collections[name] for name in found[:1]), following

    async def is_empty(self, collection_id: str) -> bool:
        async with self.interruptions.around("look into a collection"):
            there = collection_id in self.collections
            return there and not any(name.startswith(f"{collection_id}/") for name in self.snapshots)

    async def delete_collection(self, collection: OwnCollection) -> None:
        async with self.interruptions.around("delete a collection"):
            self._fail("delete_collection")
            self.collections.pop(collection.resource_id, None)

    async def start_agent(
        self,
        vm: VmFacts,
        saga_id: str,
        generation: int,
        bootstrap: str,
        *,
        install: AgentInstallation | None = None,
    ) -> None:
        async with self.interruptions.around("start agent"):
            self._fail("start_agent")
            self.run_commands.add((vm.vm_id, saga_id, generation))
            self.bootstraps.append(bootstrap)
            self.installations.append(install)
            self.start_guest(vm.vm_id, json.loads(bootstrap))

    async def stop_agent(self, vm_id: str, saga_id: str, generation: int) -> None:
        async with self.interruptions.around("stop agent"):
            self._fail("stop_agent")
            self.run_commands.discard((vm_id, saga_id, generation))

    def _fail(self, method: str) -> None:
        errors = self.errors.get(method)
        if errors:
            raise errors.pop(0)
