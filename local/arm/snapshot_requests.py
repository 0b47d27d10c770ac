"""What a request for a snapshot may ask for."""

import re
from collections.abc import Mapping
from typing import Any

from local.arm.errors import InvalidParameterError, OperationNotAllowedError, ResourceNotFoundError
from local.arm.http import location_of, member, tags_of
from local.arm.ids import InvalidResourceIdError, ResourceId, parse_id
from local.arm.state import Disk, SimWorld, Snapshot

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_DEFAULT_SKU = "Standard_LRS"
_SKUS = ("Standard_LRS", "Standard_ZRS", "Premium_LRS")
_PREMIUM = "Premium_LRS"


def snapshot_from(world: SimWorld, resource: ResourceId, body: dict[str, Any]) -> Snapshot:
    """Read the request for a snapshot of a disk; raises the service's errors."""
    location = location_of(body)
    if not _NAME.fullmatch(resource.name):
        raise InvalidParameterError("name", "A snapshot's name has 1 to 80 letters, digits, '_' and '-'.")
    if member(body, "properties.creationData.createOption", str) != "Copy":
        raise InvalidParameterError(
            "creationData.createOption", "Only snapshots of disks (Copy) are simulated."
        )
    disk = _source_disk(world, member(body, "properties.creationData.sourceResourceId", str, ""))
    if location.lower() != disk.vm.spec.location.lower():
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


def _source_disk(world: SimWorld, source: str) -> Disk:
    try:
        resource = parse_id(source)
    except InvalidResourceIdError as error:
        raise InvalidParameterError("creationData.sourceResourceId", str(error)) from error
    disk = world.resources.disks.get(resource.key)
    if disk is None:
        raise ResourceNotFoundError(resource)
    return disk


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
