"""Preflight: what Azure says of a VM, its power, its disks, and what would make their snapshots fail."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.compute import restore_point_limits
from shared.compute.at_once import all_at_once
from shared.compute.attached import AttachedDisk
from shared.compute.client import ClientPool
from shared.compute.errors import classified
from shared.compute.group_lists import GroupLists
from shared.compute.limits import SeenDisk, near, obstacles, passing_obstacles, recent
from shared.compute.names import Kind, ResourceId, parse_id
from shared.compute.restore_point_limits import SeenPoint
from shared.compute.restore_points import list_points
from shared.compute.selecting import DiskReader, Selected, select
from shared.compute.values import of_its_types, spelling
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.snapshots import SnapshotSettings
from shared.saga.facts import COPYING_SKUS, DiskFacts, RecentSnapshot, VmFacts, VmShape

if TYPE_CHECKING:
    from azure.mgmt.compute.models import Disk, InstanceViewStatus, VirtualMachine, VirtualMachineInstanceView

#: Codes of the instance view; it has several statuses, and their order is not promised.
_POWER = "PowerState/"
_AGENT_READY = "ProvisioningState/succeeded"

#: How much of a disk's tags is kept for its snapshot (characters of JSON).
ROOM_FOR_TAGS = 4_000


async def read_facts(
    pool: ClientPool,
    vm_id: str,
    settings: SnapshotSettings,
    selection: DiskSelection = ALL_DISKS,
    *,
    clock: Callable[[], int],
    lists: GroupLists | None = None,
) -> VmFacts:
    """Read a VM, its instance view, its disks and the snapshots of the groups that will get the new ones.

    One GET for the VM, then all disks and one list per group at once. ``clock`` gives ms since the epoch.
    ``lists`` are those of the process, where several VMs are read.
    Disks that cannot be snapshotted (ephemeral, unmanaged) are obstacles, not disks, unless the selection
    leaves them out.
    Raises `ComputeError`, and `InvalidResourceId` for a malformed id.
    """
    vm, reader = await _read_vm(pool, parse_id(vm_id, Kind.VM)), DiskReader(pool)
    selected = await select(vm, selection, reader)
    attached, now = selected.attached, clock()
    read_at, lists = now, lists or GroupLists(pool, clock)
    recent_of: dict[str, tuple[RecentSnapshot, ...]] = {}
    if settings.is_restore_point:
        disks, points = await asyncio.gather(
            reader.read(attached.managed), list_points(pool, vm_id, settings.resource_group)
        )
        with classified():
            limits = _limits_of_a_restore_point(vm, disks, points, now)
    else:
        disks, snapshots = await asyncio.gather(
            reader.read(attached.managed),
            all_at_once(lists.of(*group) for group in _groups(attached.managed, settings)),
        )
        read_at = min([now, *(group.read_at for group in snapshots)])
        with classified():
            seen = [_seen(disk) for disk in disks]
            ours = [disk.disk_id for disk in seen]
            listed = [snapshot for group in snapshots for snapshot in group.of(ours)]
            limits = _Limits(tuple(obstacles(seen, listed, incremental=settings.incremental)))
            if settings.incremental:
                passing = tuple(passing_obstacles(seen, listed, now))
                limits = replace(limits, passing=passing, near=tuple(near(seen, listed, now)))
                recent_of = {disk.disk_id.lower(): recent(disk.disk_id, listed, now) for disk in seen}
    with classified():
        facts = _vm_facts(vm, selected, disks, vm_id=vm_id, settings=settings)
        return of_its_types(
            replace(
                facts,
                disks=tuple(
                    replace(disk, recent=recent_of.get(disk.disk_id.lower(), ())) for disk in facts.disks
                ),
                read_at=read_at,
                passing_obstacles=limits.passing,
                obstacles=(*attached.hindrances, *limits.of_any),
                crash_obstacles=limits.of_crash_consistent,
                platform_obstacles=limits.of_platform,
                near_limits=limits.near,
            )
        )


@dataclass(frozen=True, slots=True)
class _Limits:
    """Sentences on what stands in the way of any recovery point, or of one kind of restore point.

    ``near`` are those on what nearly does.
    """

    of_any: tuple[str, ...]
    of_crash_consistent: tuple[str, ...] = ()
    of_platform: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    near: tuple[str, ...] = ()


def _limits_of_a_restore_point(
    vm: "VirtualMachine", disks: "Sequence[Disk]", points: Sequence[SeenPoint], now: int
) -> _Limits:
    restorable = [_restorable(disk, _write_accelerated(vm)) for disk in disks]
    confidential = _security_type(vm) == "ConfidentialVM"
    limits = restore_point_limits
    return _Limits(
        tuple(limits.obstacles(restorable, points, confidential=confidential)),
        tuple(limits.crash_obstacles(restorable, points, now)),
        tuple(limits.platform_obstacles(points, now)),
    )


def _vm_facts(
    vm: "VirtualMachine",
    selected: Selected,
    disks: "Sequence[Disk]",
    *,
    vm_id: str,
    settings: SnapshotSettings,
) -> VmFacts:
    view = vm.properties.instance_view if vm.properties else None
    storage = vm.properties.storage_profile if vm.properties else None
    return VmFacts(
        vm_id=vm_id,
        name=vm.name or "",
        location=vm.location,
        os_type=spelling(storage.os_disk.os_type) if storage and storage.os_disk else "",
        power_state=_power_state(view),
        vm_agent_ready=_agent_ready(view),
        disks=tuple(
            _disk_facts(each, disk, with_tags=settings.copy_disk_tags)
            for each, disk in zip(selected.attached.managed, disks, strict=True)
        ),
        left_out=selected.left_out,
        tags=tuple(sorted((vm.tags or {}).items())),
        shape=_shape(vm, view),
    )


def _shape(vm: "VirtualMachine", view: "VirtualMachineInstanceView | None") -> VmShape:
    properties = vm.properties
    hardware = properties.hardware_profile if properties else None
    storage = properties.storage_profile if properties else None
    profile = properties.security_profile if properties else None
    firmware = profile.uefi_settings if profile else None
    return VmShape(
        size=spelling(hardware.vm_size) if hardware else "",
        generation=spelling(view.hyper_v_generation) if view else "",
        security=_security_type(vm),
        secure_boot=bool(firmware and firmware.secure_boot_enabled),
        vtpm=bool(firmware and firmware.v_tpm_enabled),
        zone=next(iter(vm.zones or ()), ""),
        controller=spelling(storage.disk_controller_type) if storage else "",
    )


async def _read_vm(pool: ClientPool, vm: ResourceId) -> "VirtualMachine":
    client = pool.of(vm.subscription_id).patient
    with classified():
        return await client.virtual_machines.get(vm.resource_group, vm.name, expand="instanceView")


def _groups(disks: Iterable[AttachedDisk], settings: SnapshotSettings) -> list[tuple[str, str]]:
    """Give the subscription and name of each group that will get snapshots of these disks."""
    targets = {
        (each.id.subscription_id.lower(), (settings.resource_group or each.id.resource_group).lower())
        for each in disks
    }
    return sorted(targets)


def _power_state(view: "VirtualMachineInstanceView | None") -> str:
    codes = _codes(view.statuses if view else None)
    return next((code[len(_POWER) :] for code in codes if code.startswith(_POWER)), "unknown")


def _agent_ready(view: "VirtualMachineInstanceView | None") -> bool:
    """Whether the VM agent reports; a VM that does not run has no agent in its view."""
    agent = view.vm_agent if view else None
    return _AGENT_READY in _codes(agent.statuses if agent else None)


def _codes(statuses: "Iterable[InstanceViewStatus] | None") -> list[str]:
    return [status.code for status in statuses or () if status.code]


def _restorable(disk: "Disk", write_accelerated: set[str]) -> restore_point_limits.RestorableDisk:
    return restore_point_limits.RestorableDisk(
        name=disk.name or "",
        sku=_sku(disk),
        max_shares=(disk.properties.max_shares if disk.properties else None) or 1,
        write_accelerated=disk.name in write_accelerated,
    )


def _write_accelerated(vm: "VirtualMachine") -> set[str]:
    """Give the names of the disks whose writes go through a cache that no restore point sees."""
    storage = vm.properties.storage_profile if vm.properties else None
    if storage is None:
        return set()
    names = {disk.name for disk in storage.data_disks or [] if disk.write_accelerator_enabled}
    if storage.os_disk and storage.os_disk.write_accelerator_enabled:
        names.add(storage.os_disk.name)
    return {name for name in names if name}


def _security_type(vm: "VirtualMachine") -> str:
    profile = vm.properties.security_profile if vm.properties else None
    return spelling(profile.security_type) if profile else ""


def _seen(disk: "Disk") -> SeenDisk:
    properties = disk.properties
    return SeenDisk(
        disk_id=disk.id or "",
        name=disk.name or "",
        sku=_sku(disk),
        completion_percent=properties.completion_percent if properties else None,
        max_shares=(properties.max_shares if properties else None) or 1,
    )


def _disk_facts(attached: AttachedDisk, disk: "Disk", *, with_tags: bool) -> DiskFacts:
    tags = tuple(sorted((disk.tags or {}).items())) if with_tags else ()
    kept = tuple(_that_fit(tags))
    tuned = disk.properties if _sku(disk) in COPYING_SKUS else None  # elsewhere these follow from the size
    return DiskFacts(
        disk_id=str(attached.id),
        name=attached.id.name,
        lun=attached.lun,
        location=disk.location,
        sku=_sku(disk),
        size_gib=(disk.properties.disk_size_gb if disk.properties else None) or 0,
        tags=kept,
        tags_left_out=len(tags) - len(kept),
        caching=attached.caching,
        write_accelerated=attached.write_accelerated,
        iops=(tuned.disk_iops_read_write if tuned else None) or 0,
        mbps=(tuned.disk_m_bps_read_write if tuned else None) or 0,
    )


def _that_fit(tags: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield tags while there is room: a saga keeps those of 65 disks in one row of a table."""
    room = ROOM_FOR_TAGS
    for tag in tags:
        room -= len(json.dumps(tag))
        if room >= 0:
            yield tag


def _sku(disk: "Disk") -> str:
    return spelling(disk.sku.name) if disk.sku else ""
