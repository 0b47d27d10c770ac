"""What a request for a snapshot may ask for."""

import re
from collections.abc import Mapping
from typing import Any

from local.arm.errors import InvalidParameterError, OperationNotAllowedError, ResourceNotFoundError
from local.arm.http import location_of, member, tags_of
from local.arm.ids import InvalidResourceIdError, ResourceId, parse_id
from local.arm.snapshot_bodies import completion_percent
from local.arm.state import Disk, SimWorld, Snapshot

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_DEFAULT_SKU = "Standard_LRS"
_SKUS = ("Standard_LRS", "Standard_ZRS", "Premium_LRS")
_PREMIUM = "Premium_LRS"


def snapshot_from(world: SimWorld, resource: ResourceId, body: dict[str, Any]) -> Snapshot:
    """Read the request for a snapshot of a disk, or of a snapshot; raises the service's errors."""
    location = location_of(body)
    if not _NAME.fullmatch(resource.name):
        raise InvalidParameterError("name", "A snapshot's name has 1 to 80 letters, digits, '_' and '-'.")
    option = member(body, "properties.creationData.createOption", str)
    if option == "CopyStart":
        return _copy_from(world, resource, body)
    if option != "Copy":
        raise InvalidParameterError(
            "creationData.createOption", "Only snapshots of disks (Copy) and of snapshots are simulated."
        )
    disk = _source_of(world.resources.disks, body)
    if location.lower() != disk.location.lower():
        raise InvalidParameterError("location", "The source disk lies in another location.")
    properties = member(body, "properties", dict, {})
    incremental = member(body, "properties.incremental", bool, default=False)
    if disk.copies_in_background and not incremental:
        raise InvalidParameterError("incremental", f"Snapshots of {disk.spec.sku} disks must be incremental.")
    check_access(body)
    _check_instant_access(disk, member(body, "properties.creationData.instantAccessDurationMinutes", int))
    return Snapshot(
        id=resource,
        disk=disk,
        location=location,
        tags=tags_of(body),
        sku=sku_of(body, _DEFAULT_SKU, incremental=incremental),
        request={**properties, "incremental": incremental},
    )


def _copy_from(world: SimWorld, resource: ResourceId, body: dict[str, Any]) -> Snapshot:
    """Read the request for a copy of a snapshot.

    The rules are those of "Copy an incremental snapshot to a new region": from one incremental snapshot to
    another, one of a disk at a time, in the order of their making, 100 at once in a region. Which status and
    code tell of a rule that is broken is assumed.
    """
    source = _source_of(world.resources.snapshots, body)
    incremental = member(body, "properties.incremental", bool, default=False)
    if not incremental or not source.request["incremental"]:
        raise InvalidParameterError("incremental", "Only incremental snapshots can be copied.")
    check_access(body)
    copy = Snapshot(
        id=resource,
        disk=source.disk,
        location=location_of(body),
        tags=tags_of(body),
        sku=sku_of(body, _DEFAULT_SKU, incremental=True),
        request={**member(body, "properties", dict, {}), "incremental": True},
        source=source,
    )
    _check_copy(world, copy, source)
    return copy


def _check_copy(world: SimWorld, copy: Snapshot, source: Snapshot) -> None:
    if source.provisioning_state != "Succeeded" or completion_percent(world, source) < 100:
        raise OperationNotAllowedError(f"The snapshot '{source.id.name}' is not complete.")
    others = [other for other in world.resources.snapshots.values() if other.source is not None]
    under_way = [one for one in others if not one.lost and completion_percent(world, one) < 100]
    if any(one.disk.id.key == source.disk.id.key for one in under_way):
        raise OperationNotAllowedError(f"A snapshot of '{source.disk.id.name}' is being copied.")
    there = [one for one in others if one.location.lower() == copy.location.lower()]
    if len([one for one in there if one in under_way]) >= world.settings.copies_per_region:
        raise OperationNotAllowedError(f"Too many snapshots are being copied to {copy.location}.")
    for one in there:
        if one.source is not None and _is_younger(one.source, source):
            raise OperationNotAllowedError("A younger snapshot of the disk has been copied already.")


def _is_younger(one: Snapshot, other: Snapshot) -> bool:
    same_disk = one.disk.id.key == other.disk.id.key
    return same_disk and (one.captured_s or 0.0) > (other.captured_s or 0.0)


def _source_of[R](resources: Mapping[str, R], body: dict[str, Any]) -> R:
    """Give the disk or the snapshot that a snapshot is made of."""
    try:
        resource = parse_id(member(body, "properties.creationData.sourceResourceId", str, ""))
    except InvalidResourceIdError as error:
        raise InvalidParameterError("creationData.sourceResourceId", str(error)) from error
    found = resources.get(resource.key)
    if found is None:
        raise ResourceNotFoundError(resource)
    return found


def sku_of(body: Mapping[str, Any], default: str, *, incremental: bool) -> str:
    """Return the SKU that a request asks for.

    That incremental snapshots are always on Standard storage is known ("Create an incremental snapshot for
    managed disks"); that another wish is refused, and not overruled, is assumed.
    """
    sku = str(member(body, "sku.name", str, default))
    if sku not in _SKUS or (incremental and sku == _PREMIUM):
        raise InvalidParameterError("sku.name", f"The SKU '{sku}' is not allowed for this snapshot.")
    return sku


def check_access(body: Mapping[str, Any]) -> None:
    """Refuse a disk access without AllowPrivate, and AllowPrivate without a disk access.

    That the two go together is known ("Restrict import/export access for managed disks"); code and message
    are assumed. Whether the disk access exists is not looked at: there is no such resource here.
    """
    policy = member(body, "properties.networkAccessPolicy", str, "AllowAll")
    access = member(body, "properties.diskAccessId", str, "")
    if (policy == "AllowPrivate") != bool(access):
        raise InvalidParameterError("diskAccessId", "AllowPrivate and a disk access go together.")
    if access:
        try:
            kind = parse_id(access).path[0]
        except InvalidResourceIdError as error:
            raise InvalidParameterError("diskAccessId", str(error)) from error
        if kind.lower() != "diskaccesses":
            raise InvalidParameterError("diskAccessId", "It is the id of no disk access.")


def _check_instant_access(disk: Disk, minutes: int | None) -> None:
    where = "creationData.instantAccessDurationMinutes"
    if minutes is None:
        return
    if not disk.copies_in_background:
        raise InvalidParameterError(where, "Instant access is for Premium SSD v2 and Ultra disks only.")
    if not 60 <= minutes <= 300:
        raise InvalidParameterError(where, "Must lie between 60 and 300 minutes.")
    if disk.spec.completion_percent < 100:
        raise OperationNotAllowedError(f"The disk '{disk.id.name}' is still being filled.")
