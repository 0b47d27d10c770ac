"""What a guest is to be: its disks, and the application on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    """One VM: its disks, and what runs on them."""

    vm_name: str
    disks: tuple[GuestDisk, ...]
    application: Literal["ledger"] | None = "ledger"
    clients: int = 4  # threads that write as fast as they can


@dataclass(frozen=True)
class LedgerFolders:
    """Where the ledger keeps its books: on the first and second data disk, its receipts on the system's."""

    journal: Path
    accounts: Path
    receipts: Path | None

    def arguments(self) -> list[str]:
        """Return them as the ledger's command line has them."""
        receipts = ["--receipts", str(self.receipts)] if self.receipts else []
        return ["--journal", str(self.journal), "--accounts", str(self.accounts), *receipts]


def three_disk_guest(
    vm_name: str,
    mounts: Path,
    *,
    size_mib: int = 64,
    application: Literal["ledger"] | None = "ledger",
    clients: int = 4,
) -> GuestSpec:
    """Describe a VM with a system disk and two data disks, mounted below `mounts`."""
    roles: tuple[tuple[str, int | None], ...] = (("os", None), ("journal", 0), ("accounts", 1))
    disks = (GuestDisk(f"{vm_name}-{role}", lun, size_mib, mounts / vm_name / role) for role, lun in roles)
    return GuestSpec(vm_name, tuple(disks), application, clients)


def ledger_folders(spec: GuestSpec, places: Mapping[str, Path]) -> LedgerFolders:
    """Say where the ledger of this VM keeps its books, with each disk's content at `places[name]`.

    Raises BadGuestError for a VM with fewer than two data disks.
    """
    data = sorted((disk.lun, disk.name) for disk in spec.disks if disk.lun is not None)
    if len(data) < 2:  # the journal's and the accounts'
        raise BadGuestError(spec.vm_name, "the ledger needs two data disks")
    system = [places[disk.name] for disk in spec.disks if disk.lun is None]
    return LedgerFolders(places[data[0][1]], places[data[1][1]], system[0] if system else None)
