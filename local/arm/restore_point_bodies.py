"""How collections, restore points and disk restore points look from outside."""

from typing import Any

from local.arm.clock import arm_time
from local.arm.snapshot_bodies import access_state, copied_percent
from local.arm.state import Disk, DiskRestorePoint, RestorePoint, RestorePointCollection, SimWorld


def collection_json(collection: RestorePointCollection) -> dict[str, Any]:
    """Return a collection's body without its restore points."""
    return {
        "name": collection.id.name,
        "id": str(collection.id),
        "type": collection.id.type,
        "location": collection.location,
        "tags": dict(collection.tags),
        "properties": {
            "source": {"id": str(collection.vm.id), "location": collection.vm.spec.location},
            "provisioningState": "Succeeded",
            "restorePointCollectionId": collection.id.unique_id,
            "instantAccess": collection.instant_access,
        },
    }


def point_json(point: RestorePoint, world: SimWorld | None = None) -> dict[str, Any]:
    """Return a restore point's body, with its instance view when a world to look into is given.

    There is no `type` member and, until it has succeeded, neither a time nor a consistency.
    """
    properties: dict[str, Any] = {"provisioningState": point.provisioning_state}
    if point.excluded:
        properties["excludeDisks"] = [{"id": item} for item in point.excluded]
    if point.provisioning_state == "Succeeded":
        assert point.created is not None, "a restore point that succeeded has a time"
        properties["consistencyMode"] = point.consistency
        properties["timeCreated"] = arm_time(point.created)
        properties["sourceMetadata"] = _source_metadata(point)
    if world is not None:
        properties["instanceView"] = _instance_view(world, point)
    return {"name": point.id.name, "id": str(point.id), "properties": properties}


def _source_metadata(point: RestorePoint) -> dict[str, Any]:
    spec = point.vm.spec
    profile: dict[str, Any] = {
        "dataDisks": [
            {"lun": item.disk.spec.lun, "caching": item.disk.spec.host_cache, **_source_disk(item)}
            for item in point.disks
            if item.disk.spec.lun is not None
        ]
    }
    for item in point.disks:
        if item.disk.spec.lun is None:
            profile["osDisk"] = {
                "osType": spec.os_type,
                "caching": item.disk.spec.host_cache,
                **_source_disk(item),
            }
    metadata: dict[str, Any] = {
        "location": spec.location,
        "vmId": point.vm.id.unique_id,
        "hyperVGeneration": "V2",
        "hardwareProfile": {"vmSize": spec.size},
        "osProfile": {"computerName": point.vm.id.name},
        "storageProfile": profile,
    }
    if spec.security_type:
        firmware = {"secureBootEnabled": True, "vTpmEnabled": True}
        metadata["securityProfile"] = {"securityType": spec.security_type, "uefiSettings": firmware}
    return metadata


def _source_disk(item: DiskRestorePoint) -> dict[str, Any]:
    disk: Disk = item.disk
    return {
        "name": disk.id.name,
        "diskSizeGB": disk.spec.size_gb,
        "managedDisk": {"id": str(disk.id), "storageAccountType": disk.spec.sku},
        "diskRestorePoint": {"id": str(item.id)},
    }


def _percent(world: SimWorld, item: DiskRestorePoint) -> float:
    if item.captured_s is None:
        return 0.0
    return copied_percent(world, item.captured_s, world.settings.background_copy_s)


def _instance_view(world: SimWorld, point: RestorePoint) -> dict[str, Any]:
    views = []
    for item in point.disks:
        percent = _percent(world, item)
        done = percent >= 100
        code = "ReplicationState/succeeded" if done else "ReplicationState/replicating"
        display = "Succeeded" if done else "Replicating"
        views.append(
            {
                "id": str(item.id),
                "replicationStatus": {
                    "status": {"code": code, "level": "Info", "displayStatus": display},
                    "completionPercent": int(percent),
                },
                "snapshotAccessState": access_state(percent, instant=point.instant_access),
            }
        )
    state = point.provisioning_state
    status = {"code": f"ProvisioningState/{state.lower()}", "level": "Info", "displayStatus": state}
    return {"diskRestorePoints": views, "statuses": [status]}


def disk_restore_point_json(world: SimWorld, point: RestorePoint, item: DiskRestorePoint) -> dict[str, Any]:
    """Return a disk restore point's body."""
    disk = item.disk
    percent = _percent(world, item)
    properties: dict[str, Any] = {
        "sourceResourceId": str(disk.id),
        "sourceUniqueId": disk.id.unique_id,
        "sourceResourceLocation": disk.location,
        "familyId": disk.id.child("family", "restorePoint").unique_id,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "completionPercent": percent,
        "replicationState": "Succeeded" if percent >= 100 else "Replicating",
        "snapshotAccessState": access_state(percent, instant=point.instant_access),
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
    }
    if item.created is not None:
        properties["timeCreated"] = arm_time(item.created)
    if disk.spec.lun is None:
        properties |= {"osType": disk.os_type, "hyperVGeneration": "V2"}
    return {"name": item.id.name, "id": str(item.id), "type": item.id.type, "properties": properties}
