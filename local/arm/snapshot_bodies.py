"""How a snapshot looks from outside, while it is made, copied, and done."""

from typing import Any

from local.arm.clock import arm_time
from local.arm.state import SimWorld, Snapshot
from local.arm.vms import GIB


def completion_percent(world: SimWorld, snapshot: Snapshot) -> float:
    """Return how much of the background copy is done.

    Always 100 for Premium SSD, Standard SSD and HDD, which say so even while they copy ("Create an
    incremental snapshot for managed disks"); growing with time for Premium SSD v2 and Ultra, and for copies.
    """
    if snapshot.source is not None:
        if snapshot.captured_s is None or snapshot.lost:
            return 0.0
        return copied_percent(world, snapshot.captured_s, world.settings.region_copy_s)
    if not snapshot.disk.copies_in_background:
        return 100.0
    if snapshot.captured_s is None:
        return 0.0
    return copied_percent(world, snapshot.captured_s, world.settings.background_copy_s)


def copied_percent(world: SimWorld, captured_s: float, duration_s: float) -> float:
    """Return how far a background copy has come that began at `captured_s` (monotonic seconds)."""
    if duration_s <= 0:
        return 100.0
    return min(100.0, round(100.0 * (world.clock.monotonic() - captured_s) / duration_s, 1))


def access_state(percent: float, *, instant: bool) -> str:
    """Return the snapshotAccessState that belongs to a completion percentage."""
    if instant:
        return "AvailableWithInstantAccess" if percent >= 100 else "InstantAccess"
    return "Available" if percent >= 100 else "Pending"


def snapshot_json(world: SimWorld, snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot's body; times, sizes and percentages are there once it has succeeded."""
    properties = {
        **snapshot.request,
        "diskSizeGB": snapshot.disk.spec.size_gb,
        "provisioningState": snapshot.provisioning_state,
    }
    if snapshot.provisioning_state == "Succeeded":
        properties |= _settled(world, snapshot)
    return {
        "name": snapshot.id.name,
        "id": str(snapshot.id),
        "type": snapshot.id.type,
        "location": snapshot.location,
        "tags": dict(snapshot.tags),
        "sku": {"name": snapshot.sku, "tier": snapshot.sku.split("_")[0]},
        "properties": properties,
    }


def _settled(world: SimWorld, snapshot: Snapshot) -> dict[str, Any]:
    disk = snapshot.disk
    created = snapshot.created
    assert created is not None, "a snapshot that succeeded has a time"
    percent = completion_percent(world, snapshot)
    creation = dict(snapshot.request["creationData"])
    properties: dict[str, Any] = {
        "creationData": {**creation, "sourceUniqueId": (snapshot.source or disk).id.unique_id},
        "timeCreated": arm_time(created),
        "diskState": snapshot.disk_state,
        "diskSizeBytes": disk.spec.size_gb * GIB,
        "uniqueId": snapshot.id.child("at", arm_time(created)).unique_id,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "completionPercent": percent,
        "snapshotAccessState": access_state(percent, instant="instantAccessDurationMinutes" in creation),
    }
    if snapshot.lost:
        gone = {"errorCode": "CopySourceNotFound", "errorMessage": "The source snapshot was deleted."}
        properties["copyCompletionError"] = gone
    if snapshot.request["incremental"]:
        properties["incrementalSnapshotFamilyId"] = disk.id.child("family", "incremental").unique_id
    if disk.spec.lun is None:
        properties |= {"osType": disk.os_type, "hyperVGeneration": "V2"}
    return properties
