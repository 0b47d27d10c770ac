"""Names that derive from a saga, so that doing a thing twice names the same thing."""

import hashlib

from shared.saga.facts import DiskFacts


def saga_id(run_id: str, vm_id: str) -> str:
    """Derive the id of a VM's saga in a run: 20 hex digits. ARM ids are compared without regard to case."""
    return hashlib.sha256(f"{run_id}\n{vm_id.lower()}".encode()).hexdigest()[:20]


def snapshot_name(saga: str, generation: int, slot: str) -> str:
    """Name the snapshot of one disk; well within the 80 characters of a snapshot's name."""
    return f"sf-{saga}-g{generation}-{slot}"


def snapshot_id(disk: DiskFacts, group: str | None, saga: str, generation: int) -> str:
    """Give the ARM id of a disk's snapshot, in ``group`` or in the disk's own resource group."""
    parts = disk.disk_id.split(
        "/"
    )  # "", subscriptions, S, resourceGroups, G, providers, Microsoft.Compute, disks, D
    subscription, own_group = parts[2], parts[4]
    name = snapshot_name(saga, generation, disk.slot)
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group or own_group}"
    return f"{prefix}/providers/Microsoft.Compute/snapshots/{name}"
