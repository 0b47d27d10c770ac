"""Everything that the simulator knows: its resources and the machinery around them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from local.arm.captures import Captures
from local.arm.clock import Clock, SystemClock
from local.arm.described import InvalidSpecError
from local.arm.disks import DiskBackend
from local.arm.errors import ResourceGroupNotFoundError
from local.arm.faults import FaultRules
from local.arm.guests import GuestBackend
from local.arm.ids import ResourceId
from local.arm.journal import Journal
from local.arm.limits import RequestLimits
from local.arm.operations import Operations, UrlSigner
from local.arm.settings import SimSettings
from local.arm.specs import COPYING_SKUS, DiskSpec, VmSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A virtual machine under its id."""

    id: ResourceId
    spec: VmSpec
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A managed disk under its id, and the VM that it is attached to, if it is.

    `asked` are the properties that it was made with by request: a disk of a snapshot, or of a restore point.
    """

    id: ResourceId
    spec: DiskSpec
    vm: Vm | None
    location: str
    os_type: str
    created: datetime
    zones: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    provisioning_state: str = "Succeeded"

    @property
    def holder(self) -> str:
        """The name of the VM whose disks are copied one after the other; a disk of nobody is by itself."""
        return self.vm.id.name if self.vm else self.id.name

    @property
    def copies_in_background(self) -> bool:
        """Whether snapshots of this disk are complete only some time after they succeeded."""
        return self.spec.sku in COPYING_SKUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot of a disk; `request` are the properties that it was asked for with.

    `captured_s` (monotonic seconds) and `created` are None until it has succeeded. A copy has the disk of its
    `source`, the snapshot that it is copied from; `lost` says that this went away before it was done.
    `disk_state` is ActiveSAS while somebody may read its content.
    """

    id: ResourceId
    disk: Disk
    location: str
    tags: Mapping[str, str]
    sku: str
    request: Mapping[str, Any]
    provisioning_state: str = "Updating"
    created: datetime | None = None
    captured_s: float | None = None
    disk_state: str = "Unattached"
    source: "Snapshot | None" = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePointCollection:
    """The restore points of one VM."""

    id: ResourceId
    vm: Vm
    location: str
    tags: Mapping[str, str]
    instant_access: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRestorePoint:
    """What a restore point holds of one disk; `captured_s` is None until it has succeeded."""

    id: ResourceId
    disk: Disk
    created: datetime | None = None
    captured_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePoint:
    """A restore point of a VM over all disks that were not left out."""

    id: ResourceId
    vm: Vm
    disks: tuple[DiskRestorePoint, ...]
    excluded: tuple[str, ...]
    asked_consistency: str | None
    instant_access: bool = False
    provisioning_state: str = "Creating"
    consistency: str | None = None
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """A managed run command. `shown` are the properties that may be told again; secrets are not kept.

    `revision` is another one after each PUT: what an earlier one began may no longer change it.
    `runs_on` is asyncExecution: the command is provisioned as soon as its script has started.
    """

    id: ResourceId
    revision: str
    vm: Vm
    location: str
    tags: Mapping[str, str]
    shown: Mapping[str, Any]
    timeout_s: int
    runs_on: bool
    failure_fails_deployment: bool
    provisioning_state: str = "Creating"
    execution_state: str = "Pending"
    execution_message: str = ""
    exit_code: int = 0
    output: str = ""
    error: str = ""
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(slots=True)
class Resources:
    """All resources by the key of their id, in the order of their making."""

    groups: dict[str, str] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    nics: dict[str, dict[str, Any]] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    collections: dict[str, RestorePointCollection] = field(default_factory=dict)
    restore_points: dict[str, RestorePoint] = field(default_factory=dict)
    run_commands: dict[str, RunCommand] = field(default_factory=dict)


class SimWorld:
    """One simulated subscription. Build it, give it to `app.build_app`, and look into it in tests."""

    def __init__(
        self,
        *,
        disks: DiskBackend,
        guests: GuestBackend,
        vms: Iterable[VmSpec] = (),
        groups: Iterable[str] = (),
        subscription_id: str = "00000000-0000-0000-0000-000000000001",
        settings: SimSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Set up the VMs and, besides the groups that they lie in, further resource groups."""
        self.settings = settings or SimSettings()
        self.clock = clock or SystemClock()
        self.subscription_id = subscription_id
        self.guests = guests
        self.resources = Resources()
        self.captures = Captures(disks, self.settings, self.clock)
        self.operations = Operations(self.clock)
        self.signer = UrlSigner()
        self.limits = RequestLimits(self.clock, enforce=self.settings.enforce_request_limits)
        self.faults = FaultRules()
        self.journal = Journal(self.settings.journal_size)
        self.snapshot_starts: defaultdict[str, list[float]] = defaultdict(list)
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.scripts: dict[str, asyncio.Task[None]] = {}
        for group in groups:
            self.add_group(group)
        for spec in vms:
            self.put_vm(spec)

    def add_group(self, name: str) -> None:
        """Make a resource group, if it is not there."""
        self.resources.groups.setdefault(name.lower(), name)

    def require_group(self, name: str) -> None:
        """Raise `ResourceGroupNotFoundError` when the group is not there."""
        if name.lower() not in self.resources.groups:
            raise ResourceGroupNotFoundError(name)

    def put_vm(self, spec: VmSpec) -> Vm:
        """Add a VM with its disks, or replace the one of this name.

        Raises `InvalidSpecError` when another VM, or a disk of another one, has the same name: backends know
        guests and disks by their names alone.
        """
        self.add_group(spec.resource_group)
        vm_id = ResourceId(self.subscription_id, spec.resource_group, ("virtualMachines", spec.name))
        self._check_names(vm_id, spec)
        existing = self.resources.vms.get(vm_id.key)
        vm = Vm(id=vm_id, spec=spec, created=existing.created if existing else self.clock.now())
        mine = self._forget_disks_of(vm_id) if existing else {}
        self.resources.vms[vm_id.key] = vm
        for disk_spec in spec.disks:
            disk_id = _disk_id(vm_id, disk_spec)
            before = mine.get(disk_id.key)
            self.resources.disks[disk_id.key] = Disk(
                id=disk_id,
                spec=disk_spec,
                vm=vm,
                location=spec.location,
                os_type=spec.os_type,
                created=before.created if before else vm.created,
                zones=before.zones if before else spec.zones,
                asked=before.asked if before else {},
            )
        return vm

    def attach(self, vm: Vm) -> None:
        """Put a VM up that was asked for with disks that are there, which its spec names."""
        self.resources.vms[vm.id.key] = vm
        by_name = {disk.name: disk for disk in vm.spec.disks}
        for key, disk in list(self.resources.disks.items()):
            if disk.vm is None and disk.id.name in by_name:
                self.resources.disks[key] = replace(disk, vm=vm, spec=by_name[disk.id.name])

    def detach(self, vm: Vm) -> None:
        """Take a VM away; its disks stay."""
        self.resources.vms.pop(vm.id.key, None)
        for key, disk in list(self.resources.disks.items()):
            if disk.vm is not None and disk.vm.id == vm.id:
                self.resources.disks[key] = replace(disk, vm=None)

    def disks_of(self, vm: Vm) -> list[Disk]:
        """Return a VM's disks: the operating system's first, then in the order of their LUNs."""
        order = [vm.spec.os_disk, *vm.spec.data_disks]
        return [self.resources.disks[_disk_id(vm.id, spec).key] for spec in order]

    async def close(self) -> None:
        """Stop everything that still goes on: operations and scripts."""
        await self.operations.close()
        for script in self.scripts.values():
            script.cancel()
        await asyncio.gather(*self.scripts.values(), return_exceptions=True)

    def _check_names(self, vm_id: ResourceId, spec: VmSpec) -> None:
        others = [vm for key, vm in self.resources.vms.items() if key != vm_id.key]
        if spec.name.lower() in {vm.spec.name.lower() for vm in others}:
            raise InvalidSpecError("name", f"another VM is named {spec.name}")
        taken = {disk.name.lower() for vm in others for disk in vm.spec.disks}
        for disk in spec.disks:
            if disk.name.lower() in taken:
                raise InvalidSpecError("disks", f"a disk of another VM is named {disk.name}")

    def _forget_disks_of(self, vm_id: ResourceId) -> dict[str, Disk]:
        """Take the disks of a VM out, and give them as they were."""
        mine = {
            key: disk for key, disk in self.resources.disks.items() if disk.vm and disk.vm.id.key == vm_id.key
        }
        for key in mine:
            del self.resources.disks[key]
        return mine


def _disk_id(vm: ResourceId, disk: DiskSpec) -> ResourceId:
    """Give the id of a VM's disk, which lies in the VM's group."""
    return ResourceId(vm.subscription, vm.group, ("disks", disk.name))
