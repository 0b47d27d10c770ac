"""What a guest is to be: its disks, and the application on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.guests.applications import application_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class BadGuestError(Exception):
    """A guest that cannot be made; `reason` says why."""

    def __init__(self, vm_name: str, reason: str) -> None:
        super().__init__(f"guest {vm_name}: {reason}")
        self.vm_name = vm_name
        self.reason = reason


@dataclass(frozen=True)
class GuestDisk:
    """One disk of a VM. The operating system's has no LUN."""

    name: str
    lun: int | None
    size_mib: int
    mount_point: Path


@dataclass(frozen=True)
class GuestSpec:
    """One VM: its disks, and the application on them (a name in local.guests.applications)."""

    vm_name: str
    disks: tuple[GuestDisk, ...]
    application: str | None = "ledger"
    clients: int = 4  # threads that write as fast as they can


def three_disk_guest(
    vm_name: str,
    mounts: Path,
    *,
    size_mib: int = 64,
    application: str | None = "ledger",
    clients: int = 4,
) -> GuestSpec:
    """Describe a VM with a system disk and the ledger's two data disks, mounted below `mounts`."""
    disks = _disks(vm_name, mounts, ("journal", "accounts"), size_mib)
    return GuestSpec(vm_name, disks, application, clients)


def guest_with(application: str, vm_name: str, mounts: Path, *, clients: int = 4) -> GuestSpec:
    """Describe a VM with the disks that an application wants, mounted below `mounts`.

    Raises UnknownApplicationError.
    """
    wants = application_of(application)
    return GuestSpec(vm_name, _disks(vm_name, mounts, wants.roles, wants.disk_mib), application, clients)


def folders_by_role(spec: GuestSpec, places: Mapping[str, Path]) -> dict[str, Path]:
    """Say where the application of this VM has its data: a disk's at `places[name]`.

    The data disks have its roles in the order of their LUNs. Raises UnknownApplicationError, and
    BadGuestError for a VM with too few data disks or no application.
    """
    if spec.application is None:
        raise BadGuestError(spec.vm_name, "it has no application")
    roles = application_of(spec.application).roles
    data = sorted((disk.lun, disk.name) for disk in spec.disks if disk.lun is not None)
    if len(data) < len(roles):
        raise BadGuestError(spec.vm_name, f"the {spec.application} needs {len(roles)} data disks")
    return {role: places[name] for role, (_, name) in zip(roles, data, strict=False)}


def folder_arguments(spec: GuestSpec, places: Mapping[str, Path]) -> list[str]:
    """Say the same on the application's command line; the clients' receipts lie on the system's disk.

    Raises UnknownApplicationError and BadGuestError.
    """
    folders = folders_by_role(spec, places)
    arguments = [word for role, folder in folders.items() for word in (f"--{role}", str(folder))]
    system = [str(places[disk.name]) for disk in spec.disks if disk.lun is None]
    return [*arguments, "--receipts", system[0]] if system else arguments


def _disks(vm_name: str, mounts: Path, roles: tuple[str, ...], size_mib: int) -> tuple[GuestDisk, ...]:
    wanted: list[tuple[str, int | None]] = [("os", None), *((role, lun) for lun, role in enumerate(roles))]
    return tuple(
        GuestDisk(f"{vm_name}-{role}", lun, size_mib, mounts / vm_name / role) for role, lun in wanted
    )
