"""Which disks a VM has, read from its description."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.compute.names import Kind, ResourceId, parse_id
from shared.compute.values import spelling

if TYPE_CHECKING:
    from azure.mgmt.compute.models import DataDisk, OSDisk, StorageProfile


@dataclass(frozen=True, slots=True)
class AttachedDisk:
    """A managed disk as the VM names it; ``lun`` is None for the OS disk."""

    id: ResourceId
    lun: int | None
    caching: str = ""
    write_accelerated: bool = False


@dataclass(frozen=True, slots=True)
class HinderedDisk:
    """A disk that cannot be snapshotted, and why, as the middle of a sentence."""

    name: str
    lun: int | None
    hindrance: str

    @property
    def sentence(self) -> str:
        """Say it to people."""
        return f"disk {self.name} {self.hindrance} and cannot be snapshotted"


@dataclass(frozen=True, slots=True)
class AttachedDisks:
    """The managed disks of a VM, the OS disk first, and the disks that are none."""

    managed: tuple[AttachedDisk, ...]
    hindered: tuple[HinderedDisk, ...]

    @property
    def hindrances(self) -> tuple[str, ...]:
        """A sentence for each disk that cannot be snapshotted."""
        return tuple(disk.sentence for disk in self.hindered)


def attached_disks(storage: "StorageProfile | None") -> AttachedDisks:
    """Sort a VM's disks into those that can be snapshotted and those that cannot.

    Raises `InvalidResourceId` when the service names a disk in a form that is not known.
    """
    managed: list[AttachedDisk] = []
    hindered: list[HinderedDisk] = []
    for disk, lun in _disks(storage):
        hindrance = _hindrance(disk)
        if hindrance:
            hindered.append(HinderedDisk(disk.name or "", lun, hindrance))
        elif disk.managed_disk is not None and disk.managed_disk.id:
            managed.append(
                AttachedDisk(
                    parse_id(disk.managed_disk.id, Kind.DISK),
                    lun,
                    caching=spelling(disk.caching),
                    write_accelerated=bool(disk.write_accelerator_enabled),
                )
            )
    return AttachedDisks(tuple(managed), tuple(hindered))


def _disks(storage: "StorageProfile | None") -> "list[tuple[OSDisk | DataDisk, int | None]]":
    if storage is None:
        return []
    os_disk: list[tuple[OSDisk | DataDisk, int | None]] = [(storage.os_disk, None)] if storage.os_disk else []
    return os_disk + [(disk, disk.lun) for disk in storage.data_disks or []]


def _hindrance(disk: "OSDisk | DataDisk") -> str:
    # Only OS disks can be ephemeral; those have a managed disk's id too, but no disk that could be read.
    ephemeral = getattr(disk, "diff_disk_settings", None)
    if ephemeral is not None and ephemeral.option == "Local":
        return "is ephemeral"
    return "is not a managed disk" if disk.managed_disk is None or not disk.managed_disk.id else ""
