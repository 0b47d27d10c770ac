"""What a simulated VM and its disks are, and how they are read from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.arm.described import InvalidSpecError, members

COPYING_SKUS = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})
"""Disks whose snapshots are copied in the background and say so by completionPercent."""

POWER_STATES = ("starting", "running", "stopping", "stopped", "deallocating", "deallocated")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A managed disk attached to a VM; `lun` is None for the disk of the operating system.

    `completion_percent` under 100 is a disk that is itself still being filled from a snapshot; with
    `max_shares` over 1 other VMs may have it too.
    """

    name: str
    lun: int | None = None
    size_gb: int = 4
    sku: str = "Premium_LRS"
    completion_percent: float = 100.0
    max_shares: int = 1
    caching: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def host_cache(self) -> str:
        """The host cache, which Azure chooses where nobody does."""
        return self.caching or ("ReadWrite" if self.lun is None else "None")


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """A virtual machine.

    `restore_point_consistency` overrides what an application-consistent restore point comes to, as a guest
    whose VSS writers fail brings it down silently; None means what the operating system usually gives.
    """

    name: str
    disks: tuple[DiskSpec, ...]
    resource_group: str = "stillframe-vms"
    location: str = "westeurope"
    os_type: str = "Linux"
    size: str = "Standard_D2s_v5"
    power: str = "running"
    agent_ready: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    restore_point_consistency: str | None = None
    security_type: str = ""
    nics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the service could not hold."""
        luns = [disk.lun for disk in self.disks]
        if luns.count(None) != 1:
            raise InvalidSpecError("disks", "exactly one disk must be that of the operating system (no lun)")
        if len(set(luns)) != len(luns):
            raise InvalidSpecError("disks", "two disks have the same lun")
        if self.power not in POWER_STATES:
            raise InvalidSpecError("power", f"must be one of {', '.join(POWER_STATES)}")
        if self.os_type not in {"Linux", "Windows"}:
            raise InvalidSpecError("os_type", "must be Linux or Windows")

    @property
    def os_disk(self) -> DiskSpec:
        """The disk of the operating system."""
        return next(disk for disk in self.disks if disk.lun is None)

    @property
    def data_disks(self) -> list[DiskSpec]:
        """The data disks in the order of their LUNs."""
        attached = [(disk.lun, disk) for disk in self.disks if disk.lun is not None]
        return [disk for _, disk in sorted(attached, key=lambda pair: pair[0])]


def vm_from_json(value: Any) -> VmSpec:
    """Read a VM from JSON whose members are those of `VmSpec`; raises `InvalidSpecError`."""
    known = members(VmSpec, value, "vm")
    disks = [
        DiskSpec(**members(DiskSpec, disk, f"disks[{index}]")) for index, disk in enumerate(known["disks"])
    ]
    return VmSpec(
        **{
            **known,
            "disks": tuple(disks),
            "zones": tuple(known.get("zones", ())),
            "nics": tuple(known.get("nics", ())),
        }
    )
