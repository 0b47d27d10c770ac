"""What a recovery point is made of, as Azure says it: its disks, their places, and their VM."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cli.errors import BadUsage, CliError, Code

GRADES = ("crash", "filesystem", "application")
_END_OF_NAME = re.compile("-(?P<saga>[0-9a-f]{20})-g(?P<generation>[0-9]+)-(?P<slot>os|[0-9]{1,2})")
_COPYING = ("PremiumV2_LRS", "UltraSSD_LRS")


class NoSuchPoint(CliError):
    """The recovery point is not there, or not all of it."""

    code = Code.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a VM is like; empty where it is not known."""

    size: str = ""
    os: str = ""
    location: str = ""
    zone: str = ""
    generation: str = ""
    security: str = ""
    secure_boot: bool = False
    vtpm: bool = False
    controller: str = ""
    license: str = ""

    def over(self, other: "Shape") -> "Shape":
        """Give this shape, and of the other what this one does not know."""
        known = {name: getattr(self, name) or getattr(other, name) for name in self.__slots__}
        return Shape(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSource:
    """What a disk is made of: a snapshot (``Copy``) or a disk restore point (``Restore``).

    ``slot`` is the disk's place: ``os`` or its LUN. ``percent`` is how much of it has been copied, ``sector``
    the logical sector size (bytes), where it is said.
    """

    slot: str
    source_id: str
    option: str
    location: str
    size_gib: int = 0
    sku: str = ""
    caching: str = ""
    accelerated: bool = False
    iops: int = 0
    mbps: int = 0
    percent: float = 100.0
    encryption_set: str = ""
    encryption: str = ""
    sector: int = 0

    @property
    def copying(self) -> bool:
        """Whether its kind of disk is filled in the background, and has a performance of its own."""
        return self.sku in _COPYING


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A recovery point, ready to be restored. ``slots``: those that it must have, if known."""

    point_id: str
    generation: int
    vm_id: str
    grade: str
    created: str
    shape: Shape
    disks: tuple[DiskSource, ...]
    slots: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def lacking(self) -> tuple[str, ...]:
        """The places of disks that are in the recovery point, but of which nothing was found."""
        there = {disk.slot for disk in self.disks}
        return tuple(slot for slot in self.slots or () if slot not in there)


def rank(grade: str) -> int:
    """Give the order of a grade; one that is not known proves nothing."""
    return GRADES.index(grade) if grade in GRADES else -1


def from_snapshots(
    point_id: str, snapshots: Sequence[Mapping[str, Any]], *, generation: int | None, location: str
) -> Point:
    """Make a recovery point of its snapshots, chosen by their tags.

    Of several generations the one that was graded counts, and of several regions that of ``location``, else
    that of the disks themselves.

    Raises:
        NoSuchPoint: there is none, or it is not clear which.
    """
    mine = [each for each in snapshots if _tags(each).get("stillframe-saga") == point_id]
    if not mine:
        raise NoSuchPoint(f"there is no snapshot of the recovery point {point_id}")
    mine = _of_generation(point_id, mine, generation)
    mine = _of_location(point_id, mine, location)
    tags, words = _tags(mine[0]), _words(mine[0])
    disks = tuple(sorted((_disk_of(each) for each in mine), key=_order))
    if len({disk.slot for disk in disks}) < len(disks):
        raise NoSuchPoint(f"several snapshots of the recovery point {point_id} are of the same disk")
    system = next((each for each in mine if _slot(each) == "os"), mine[0])["properties"]
    shape = Shape(
        size=words.get("size", ""),
        os=words.get("os", "") or str(system.get("osType") or ""),
        location=disks[0].location,
        zone=words.get("zone", "") if words.get("location", disks[0].location) == disks[0].location else "",
        generation=words.get("generation", "") or str(system.get("hyperVGeneration") or ""),
        security=words.get("security", "") or _security_of(system),
        secure_boot=words.get("secure_boot") == "1",
        vtpm=words.get("vtpm") == "1",
        controller=words.get("controller", ""),
    )
    return Point(
        point_id=point_id,
        generation=int(tags.get("stillframe-generation", "0")),
        vm_id=_vm_id(tags.get("stillframe-vm", "")),
        grade=tags.get("stillframe-grade", ""),
        created=min(str(each["properties"].get("timeCreated", "")) for each in mine),
        shape=shape,
        disks=disks,
        slots=_slots(words["slots"]) if "slots" in words else None,
        left_out=tuple(slot for slot in tags.get("stillframe-left-out", "").split(",") if slot),
    )


def from_restore_point(point_id: str, point: Mapping[str, Any], collection: Mapping[str, Any]) -> Point:
    """Make a recovery point of a VM restore point, which holds the VM's description itself.

    Its grade is known by the collection's tags only while it is the newest in there.
    """
    name, properties = str(point["name"]), point["properties"]
    generation = int(name.rpartition("-g")[2])
    metadata = properties.get("sourceMetadata") or {}
    storage = metadata.get("storageProfile") or {}
    tags = _tags(collection)
    newest = (tags.get("stillframe-saga"), tags.get("stillframe-generation")) == (point_id, str(generation))
    percents = {
        str(each.get("id", "")).lower(): float(
            (each.get("replicationStatus") or {}).get("completionPercent") or 0
        )
        for each in (properties.get("instanceView") or {}).get("diskRestorePoints") or []
    }
    location = str(metadata.get("location") or collection.get("location") or "")
    found = [
        ("os", storage.get("osDisk")),
        *((str(each["lun"]), each) for each in storage.get("dataDisks") or []),
    ]
    disks = tuple(_inside(slot, disk, location, percents) for slot, disk in found if disk)
    profile = metadata.get("securityProfile") or {}
    firmware = profile.get("uefiSettings") or {}
    return Point(
        point_id=point_id,
        generation=generation,
        vm_id=str(collection["properties"]["source"]["id"]),
        grade=tags.get("stillframe-grade", "") if newest else "",
        created=str(properties.get("timeCreated", "")),
        shape=Shape(
            size=str((metadata.get("hardwareProfile") or {}).get("vmSize") or ""),
            os=str((storage.get("osDisk") or {}).get("osType") or ""),
            location=location,
            generation=str(metadata.get("hyperVGeneration") or ""),
            security=str(profile.get("securityType") or ""),
            secure_boot=bool(firmware.get("secureBootEnabled")),
            vtpm=bool(firmware.get("vTpmEnabled")),
            controller=str(storage.get("diskControllerType") or ""),
            license=str(metadata.get("licenseType") or ""),
        ),
        disks=tuple(sorted(disks, key=_order)),
        slots=tuple(disk.slot for disk in disks),
    )


def with_vm(point: Point, vm: Mapping[str, Any]) -> Point:
    """Fill in what is not known from the VM, which is still there; it may have been changed meanwhile."""
    properties = vm["properties"]
    storage, profile = properties.get("storageProfile") or {}, properties.get("securityProfile") or {}
    firmware = profile.get("uefiSettings") or {}
    now = Shape(
        size=str((properties.get("hardwareProfile") or {}).get("vmSize") or ""),
        os=str((storage.get("osDisk") or {}).get("osType") or ""),
        location=str(vm.get("location") or ""),
        zone=str(next(iter(vm.get("zones") or ()), "")),
        generation=str((properties.get("instanceView") or {}).get("hyperVGeneration") or ""),
        security=str(profile.get("securityType") or ""),
        secure_boot=bool(firmware.get("secureBootEnabled")),
        vtpm=bool(firmware.get("vTpmEnabled")),
        controller=str(storage.get("diskControllerType") or ""),
        license=str(properties.get("licenseType") or ""),
    )
    if now.location != point.shape.location:
        now = replace(now, zone="")
    attached = {str(each.get("lun")): each for each in storage.get("dataDisks") or []}
    attached["os"] = storage.get("osDisk") or {}
    disks = tuple(
        replace(
            disk,
            sku=disk.sku
            or str((attached.get(disk.slot, {}).get("managedDisk") or {}).get("storageAccountType") or ""),
            caching=disk.caching or str(attached.get(disk.slot, {}).get("caching") or ""),
        )
        for disk in point.disks
    )
    shape = point.shape.over(now)
    if point.shape.security:  # what belongs to it is known too, and may be off
        shape = replace(shape, secure_boot=point.shape.secure_boot, vtpm=point.shape.vtpm)
    return replace(point, shape=shape, disks=disks)


def _of_generation(
    point_id: str, snapshots: list[Mapping[str, Any]], wanted: int | None
) -> list[Mapping[str, Any]]:
    graded = [each for each in snapshots if _tags(each).get("stillframe-grade")]
    there = {_tags(each).get("stillframe-generation", "") for each in graded or snapshots}
    if wanted is None and len(there) > 1:
        known = ", ".join(sorted(there))
        raise BadUsage(
            f"{point_id} has snapshots of several generations ({known}): say which by --generation"
        )
    chosen = str(wanted) if wanted is not None else next(iter(there))
    found = [each for each in snapshots if _tags(each).get("stillframe-generation") == chosen]
    if not found:
        raise NoSuchPoint(f"there is no snapshot of the recovery point {point_id} of generation {chosen}")
    return found


def _of_location(point_id: str, snapshots: list[Mapping[str, Any]], wanted: str) -> list[Mapping[str, Any]]:
    there = sorted({str(each["location"]) for each in snapshots})
    own = sorted({str(each["location"]) for each in snapshots if not _is_copy(each)})
    chosen = wanted or (own[0] if len(own) == 1 else there[0] if len(there) == 1 else "")
    if not chosen:
        raise BadUsage(f"{point_id} has snapshots in several regions ({', '.join(there)}): say --location")
    found = [each for each in snapshots if str(each["location"]).lower() == chosen.lower()]
    if not found:
        raise NoSuchPoint(
            f"the recovery point {point_id} has no snapshot in {chosen}; it has in {', '.join(there)}",
            hint="A disk can only be made in the region of its snapshot: have copies made there (copy_to).",
        )
    return found


def _is_copy(snapshot: Mapping[str, Any]) -> bool:
    return bool(snapshot["properties"].get("creationData", {}).get("createOption") == "CopyStart")


def _disk_of(snapshot: Mapping[str, Any]) -> DiskSource:
    properties, words = snapshot["properties"], _words(snapshot)
    encryption = properties.get("encryption") or {}
    instant = "InstantAccess" in str(properties.get("snapshotAccessState") or "")
    percent = properties.get("completionPercent")
    return DiskSource(
        slot=_slot(snapshot),
        source_id=str(snapshot["id"]),
        option="Copy",
        location=str(snapshot["location"]),
        size_gib=int(properties.get("diskSizeGB") or 0),
        sku=words.get("sku", ""),
        caching=words.get("caching", ""),
        accelerated=words.get("accelerated") == "1",
        iops=_whole(words.get("iops")),
        mbps=_whole(words.get("mbps")),
        percent=100.0 if instant or percent is None else float(percent),
        encryption_set=str(encryption.get("diskEncryptionSetId") or ""),
        encryption=str(encryption.get("type") or ""),
        sector=int(properties.get("creationData", {}).get("logicalSectorSize") or 0),
    )


def _inside(slot: str, disk: Mapping[str, Any], location: str, percents: Mapping[str, float]) -> DiskSource:
    managed, source = disk.get("managedDisk") or {}, str(disk["diskRestorePoint"]["id"])
    return DiskSource(
        slot=slot,
        source_id=source,
        option="Restore",
        location=location,
        size_gib=int(disk.get("diskSizeGB") or 0),
        sku=str(managed.get("storageAccountType") or ""),
        caching=str(disk.get("caching") or ""),
        accelerated=bool(disk.get("writeAcceleratorEnabled")),
        percent=percents.get(source.lower(), 100.0),
        encryption_set=str((managed.get("diskEncryptionSet") or {}).get("id") or ""),
        encryption="EncryptionAtRestWithCustomerKey" if managed.get("diskEncryptionSet") else "",
    )


def _security_of(system: Mapping[str, Any]) -> str:
    return str((system.get("securityProfile") or {}).get("securityType") or "")


def _slot(snapshot: Mapping[str, Any]) -> str:
    told = _words(snapshot).get("disk", "")
    named = _END_OF_NAME.search(str(snapshot["name"]))
    if not told and not named:
        raise NoSuchPoint(f"the snapshot {snapshot['name']} does not say which disk it is of")
    return told or str(named["slot"] if named else "")


def _tags(resource: Mapping[str, Any]) -> Mapping[str, str]:
    return resource.get("tags") or {}


def _words(snapshot: Mapping[str, Any]) -> dict[str, str]:
    pairs = (word.partition("=") for word in _tags(snapshot).get("stillframe-restore", "").split(" "))
    return {name: value for name, _, value in pairs if value}


def _slots(text: str) -> tuple[str, ...]:
    slots: list[str] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if part == "os":
            slots.append(part)
        elif first.isdecimal() and (last or first).isdecimal():
            slots += [str(lun) for lun in range(int(first), min(int(last or first), 63) + 1)]
    return tuple(slots)


def _vm_id(text: str) -> str:
    parts = text.split("/")
    if len(parts) != 3 or not all(parts):
        return ""
    subscription, group, name = parts
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}"
    return f"{prefix}/providers/Microsoft.Compute/virtualMachines/{name}"


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _order(disk: DiskSource) -> int:
    return -1 if disk.slot == "os" else int(disk.slot)


def named(slots: Iterable[str]) -> str:
    """Say places of disks to people."""
    return ", ".join("the disk of the system" if slot == "os" else f"LUN {slot}" for slot in slots)
