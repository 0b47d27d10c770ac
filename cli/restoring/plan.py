"""What is going to be made of a recovery point: every resource with its body, in the order of its making."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.errors import BadUsage, CliError, Code
from cli.restoring.arm import API_VERSIONS
from cli.restoring.points import DiskSource, NoSuchPoint, Point, named, rank

RESTORED = "stillframe-restored"
"""The tag of everything that is made: of which recovery point and generation."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]|[A-Za-z0-9]")
_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)
_SECURITY = ("", "Standard", "TrustedLaunch")
#: Disks whose sectors may have 512 or 4,096 bytes; what is made of a disk of another kind has 512 ("Create an
#: incremental snapshot for managed disks", Microsoft Learn).
_OWN_SECTORS, _SECTOR = ("PremiumV2_LRS", "UltraSSD_LRS"), 512
_PLATFORM_KEY = ("", "EncryptionAtRestWithPlatformKey")


class TooWeak(CliError):
    """The recovery point is less consistent than was asked for."""

    code = Code.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the person who restores asks for; empty means: as it was."""

    subscription: str
    group: str
    name: str
    subnet: str = ""
    size: str = ""
    sku: str = ""
    zone: str = ""
    min_grade: str = ""
    disks_only: bool = False
    incomplete: bool = False
    only: tuple[str, ...] = ()
    encryption_set: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource that is to be made. ``what`` says it to people, ``needs`` are those that it needs."""

    resource_id: str
    what: str
    body: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The type, as ``Microsoft.Compute/disks``."""
        return "/".join(self.resource_id.split("/")[6:8])

    @property
    def name(self) -> str:
        """The name."""
        return self.resource_id.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be made, and what a person should know about it."""

    point: Point
    resources: tuple[Resource, ...]
    notes: tuple[str, ...]


def plan(point: Point, wanted: Wanted) -> Plan:
    """Say what is to be made of a recovery point.

    Raises:
        BadUsage: something has to be said that nobody recorded, or what was said does not fit.
        TooWeak: the recovery point is below the grade that was asked for.
        NoSuchPoint: not all of it is there.
    """
    _check(point, wanted)
    disks = [disk for disk in point.disks if not wanted.only or disk.slot in wanted.only]
    made = [_disk(point, disk, wanted) for disk in disks]
    resources = list(made)
    if not wanted.disks_only:
        nic = _nic(point, wanted)
        resources += [nic, _vm(point, wanted, disks, made, nic)]
    return Plan(point, tuple(resources), tuple(_notes(point, wanted)))


def template(plan_: Plan) -> dict[str, Any]:
    """Give the same as a template of Azure Resource Manager, for ``az deployment group create``."""
    names = {each.resource_id: f"[resourceId('{each.kind}', '{each.name}')]" for each in plan_.resources}
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": {"description": f"Restores the recovery point {plan_.point.point_id}"},
        "resources": [
            {
                "type": each.kind,
                "apiVersion": API_VERSIONS[each.kind.rpartition("/")[2].lower()],
                "name": each.name,
                **each.body,
                **({"dependsOn": [names[one] for one in each.needs]} if each.needs else {}),
            }
            for each in plan_.resources
        ],
    }


def _check(point: Point, wanted: Wanted) -> None:
    if not _NAME.fullmatch(wanted.name):
        raise BadUsage(f"--name {wanted.name}: expected 1 to 64 letters, digits, _, . and -")
    if wanted.min_grade and rank(point.grade) < rank(wanted.min_grade):
        what = f"is graded {point.grade}" if point.grade else "has no grade that is known"
        raise TooWeak(f"the recovery point {point.point_id} {what}: below {wanted.min_grade}")
    there = {disk.slot for disk in point.disks}
    if point.lacking and not wanted.incomplete:
        raise NoSuchPoint(
            f"of the recovery point {point.point_id} these are not there: {named(point.lacking)}",
            hint="Without them its applications may not start. --incomplete restores the others.",
        )
    if unknown := [slot for slot in wanted.only if slot not in there]:
        raise BadUsage(
            f"--only {', '.join(unknown)}: there are {', '.join(disk.slot for disk in point.disks)}"
        )
    if point.shape.security not in _SECURITY:
        raise BadUsage(
            f"a VM of the security type {point.shape.security} is not restored by this command",
            hint="Its disks carry a guest state of their own: restore them by the portal or the Azure CLI.",
        )
    for disk in point.disks:
        if disk.percent < 100 and (not wanted.only or disk.slot in wanted.only):
            raise NoSuchPoint(
                f"{named([disk.slot])}: its snapshot is copied to {disk.percent:.0f} % only",
                hint="Azure makes no disk of it before it is whole: wait, or take an older recovery point.",
            )
    if not wanted.disks_only:
        _check_vm(point, wanted, there)


def _check_vm(point: Point, wanted: Wanted, there: set[str]) -> None:
    if wanted.only or "os" not in there:
        raise BadUsage("without the disk of the system there is no VM", hint="Say --disks-only.")
    if not _SUBNET.fullmatch(wanted.subnet):
        raise BadUsage(
            f"--subnet {wanted.subnet}: expected the ARM id of a subnet"
            if wanted.subnet
            else "--subnet: missing",
            hint="A VM needs one (az network vnet subnet show --query id); or say --disks-only.",
        )
    known = {"--size": wanted.size or point.shape.size, "--os": point.shape.os}
    if missing := [option for option, value in known.items() if not value]:
        raise BadUsage(
            f"{' and '.join(missing)}: missing; neither the recovery point nor its VM tells it",
            hint="Recovery points made before stillframe-restore was among their tags do not.",
        )


def _disk(point: Point, disk: DiskSource, wanted: Wanted) -> Resource:
    shape, sku = point.shape, wanted.sku or disk.sku
    if not sku:
        raise BadUsage(
            f"--sku: missing; nobody tells what storage {named([disk.slot])} was on",
            hint="For example Premium_LRS, StandardSSD_LRS or PremiumV2_LRS.",
        )
    creation: dict[str, Any] = {"createOption": disk.option, "sourceResourceId": disk.source_id}
    sector = disk.sector or (0 if disk.copying else _SECTOR)
    if sku in _OWN_SECTORS and sector:
        creation["logicalSectorSize"] = sector
    is_system, zone = disk.slot == "os", _zone(point, wanted)
    properties: dict[str, Any] = {
        "creationData": creation,
        "networkAccessPolicy": "DenyAll",
        "publicNetworkAccess": "Disabled",
    }
    if is_system:
        properties["osType"] = shape.os or None
        properties["hyperVGeneration"] = shape.generation or None
        if shape.security and shape.security != "Standard":
            properties["securityProfile"] = {"securityType": shape.security}
    if sku == disk.sku and disk.copying:
        properties["diskIOPSReadWrite"] = disk.iops or None
        properties["diskMBpsReadWrite"] = disk.mbps or None
    encryption_set = wanted.encryption_set or disk.encryption_set
    if encryption_set:
        by_customer = disk.encryption in _PLATFORM_KEY
        kind = "EncryptionAtRestWithCustomerKey" if by_customer else disk.encryption
        properties["encryption"] = {"type": kind, "diskEncryptionSetId": encryption_set}
    body = {
        "location": disk.location,
        **({"zones": [zone]} if zone and not sku.endswith("_ZRS") else {}),
        "sku": {"name": sku},
        "tags": _tags(point, wanted),
        "properties": {name: value for name, value in properties.items() if value is not None},
    }
    end = "os" if is_system else f"lun{disk.slot}"
    size = f"{disk.size_gib} GiB, " if disk.size_gib else ""
    return Resource(
        resource_id=_id(wanted, "Microsoft.Compute/disks", f"{wanted.name}-{end}"),
        what=f"{size}{sku}, of {disk.source_id.rpartition('/')[2]}",
        body=body,
    )


def _nic(point: Point, wanted: Wanted) -> Resource:
    address = {"subnet": {"id": wanted.subnet}, "privateIPAllocationMethod": "Dynamic"}
    return Resource(
        resource_id=_id(wanted, "Microsoft.Network/networkInterfaces", f"{wanted.name}-nic"),
        what=f"in {wanted.subnet.rpartition('/')[2]}",
        body={
            "location": point.shape.location,
            "tags": _tags(point, wanted),
            "properties": {"ipConfigurations": [{"name": "restored", "properties": address}]},
        },
    )


def _vm(
    point: Point, wanted: Wanted, disks: list[DiskSource], made: list[Resource], nic: Resource
) -> Resource:
    shape, size, zone = point.shape, wanted.size or point.shape.size, _zone(point, wanted)
    attached = [_attached(disk, resource, wanted) for disk, resource in zip(disks, made, strict=True)]
    storage: dict[str, Any] = {"osDisk": {"osType": shape.os, **attached[0]}}
    storage["dataDisks"] = [
        {"lun": int(disk.slot), **one} for disk, one in zip(disks[1:], attached[1:], strict=True)
    ]
    if shape.controller:
        storage["diskControllerType"] = shape.controller
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": storage,
        "networkProfile": {"networkInterfaces": [{"id": nic.resource_id, "properties": {"primary": True}}]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
    }
    if shape.security and shape.security != "Standard":
        firmware = {"secureBootEnabled": shape.secure_boot, "vTpmEnabled": shape.vtpm}
        properties["securityProfile"] = {"securityType": shape.security, "uefiSettings": firmware}
    if any((wanted.sku or disk.sku) == "UltraSSD_LRS" for disk in disks):
        properties["additionalCapabilities"] = {"ultraSSDEnabled": True}
    if shape.license:
        properties["licenseType"] = shape.license
    return Resource(
        resource_id=_id(wanted, "Microsoft.Compute/virtualMachines", wanted.name),
        what=f"{size}, {shape.os}{f', zone {zone}' if zone else ''}",
        body={
            "location": shape.location,
            **({"zones": [zone]} if zone else {}),
            "tags": _tags(point, wanted),
            "properties": properties,
        },
        needs=(*(each.resource_id for each in made), nic.resource_id),
    )


def _attached(disk: DiskSource, made: Resource, wanted: Wanted) -> dict[str, Any]:
    """Attach a disk as it was; Premium SSD v2 and Ultra have no host cache, another SKU no accelerator."""
    cached = "None" if (wanted.sku or disk.sku) in _OWN_SECTORS else disk.caching
    same = not wanted.sku or wanted.sku == disk.sku
    return {
        "createOption": "Attach",
        "managedDisk": {"id": made.resource_id},
        "deleteOption": "Detach",
        **({"caching": cached} if cached else {}),
        **({"writeAcceleratorEnabled": True} if disk.accelerated and same else {}),
    }


def _zone(point: Point, wanted: Wanted) -> str:
    zone = wanted.zone or point.shape.zone
    return "" if zone == "none" else zone


def _tags(point: Point, wanted: Wanted) -> dict[str, str]:
    return {**wanted.tags, RESTORED: f"{point.point_id}-g{point.generation}"}


def _id(wanted: Wanted, kind: str, name: str) -> str:
    return f"/subscriptions/{wanted.subscription}/resourceGroups/{wanted.group}/providers/{kind}/{name}"


def _notes(point: Point, wanted: Wanted) -> list[str]:
    notes = list(point.notes)
    if not point.grade:
        notes.append("its grade is not known: expect no more than after a power failure")
    if any(disk.option == "Restore" for disk in point.disks) and not (point.shape.zone or wanted.zone):
        notes.append(
            "a restore point does not tell the zone, and its VM tells none: give --zone where it had one"
        )
    if point.slots is None:
        notes.append("its tags do not say which disks belong to it: compare with the VM that it was of")
    if point.left_out:
        notes.append(f"not in the recovery point by its policy: {named(point.left_out)}")
    if point.lacking:
        notes.append(f"not there, and not restored: {named(point.lacking)}")
    if not wanted.disks_only and point.shape.security == "TrustedLaunch":
        notes.append("a new virtual TPM: have the recovery keys of BitLocker or LUKS at hand if they use it")
    return notes
