"""Names that derive from a saga, so that doing a thing twice names the same thing."""

import hashlib

from shared.policy.snapshots import DEFAULT_NAME
from shared.saga.facts import DiskFacts

#: Of a snapshot's name ("Snapshots - Create Or Update", Microsoft Learn).
LONGEST_NAME = 80


def saga_id(run_id: str, vm_id: str, try_number: int = 1) -> str:
    """Derive the id of a VM's saga in a run: 20 hex digits. ARM ids are compared without regard to case."""
    again = f"\n{try_number}" if try_number > 1 else ""
    return hashlib.sha256(f"{run_id}\n{vm_id.lower()}{again}".encode()).hexdigest()[:20]


def snapshot_name(
    saga: str, generation: int, slot: str, beginning: str = DEFAULT_NAME, region: str = ""
) -> str:
    """Name the snapshot of one disk: saga, generation and slot are its end, whatever its beginning is.

    A copy has its region before them, so that it may lie beside its source.
    """
    end = f"-{saga}-g{generation}-{slot}"
    if region:
        end = f"-{region}{end}"
    return f"{beginning[: LONGEST_NAME - len(end)]}{end}"


def is_snapshot_of(name: str, saga: str, generation: int, slot: str) -> bool:
    """Whether a name is that of a disk's snapshot, whatever it begins with."""
    return name.endswith(f"-{saga}-g{generation}-{slot}")


def collection_name(vm_id: str) -> str:
    """Name the collection of a VM's restore points: VMs of one name in several groups have one each."""
    name = vm_id.rpartition("/")[2][:40]
    return f"sf-{name}-{hashlib.sha256(vm_id.lower().encode()).hexdigest()[:12]}"


def restore_point_name(saga: str, generation: int) -> str:
    """Name a restore point. It carries no tags: its name says whose it is."""
    return f"sf-{saga}-g{generation}"


def restore_point_id(vm_id: str, group: str | None, saga: str, generation: int) -> str:
    """Give the ARM id of a restore point, in the VM's collection in ``group`` or in the VM's own group."""
    subscription, own_group = vm_id.split("/")[2], vm_id.split("/")[4]
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group or own_group}/providers/Microsoft.Compute"
    collection, name = collection_name(vm_id), restore_point_name(saga, generation)
    return f"{prefix}/restorePointCollections/{collection}/restorePoints/{name}"


def snapshot_id(
    disk: DiskFacts,
    group: str | None,
    saga: str,
    generation: int,
    *,
    beginning: str = DEFAULT_NAME,
    region: str = "",
) -> str:
    """Give the ARM id of a disk's snapshot, in ``group`` or in the disk's own resource group."""
    parts = disk.disk_id.split(
        "/"
    )  # "", subscriptions, S, resourceGroups, G, providers, Microsoft.Compute, disks, D
    subscription, own_group = parts[2], parts[4]
    name = snapshot_name(saga, generation, disk.slot, beginning, region)
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group or own_group}"
    return f"{prefix}/providers/Microsoft.Compute/snapshots/{name}"
