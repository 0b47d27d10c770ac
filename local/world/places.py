"""Where a stack keeps its things: in memory where there is room."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
# What the store may grow to in a demonstration: the XFS log, snapshots, and as much again for comfort.
STORE_NEEDS_MIB = 1024

_MEMORY = Path("/dev/shm")  # private to the stack inside the sandbox
_DISK = Path("/var/tmp")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Places:
    """Folders of one stack. `runtime` is never on a filesystem that may be frozen."""

    runtime: Path
    mounts: Path
    store: Path


@contextlib.contextmanager
def places() -> Iterator[Places]:
    """Make the folders, and delete them at the end."""
    memory = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    root = Path(tempfile.mkdtemp(prefix="stillframe-", dir=memory))
    root.chmod(0o711)  # servers in the guests have users of their own, who must reach their data
    store_in = memory if _has_room(memory) else _DISK
    store = Path(tempfile.mkdtemp(prefix="stillframe-store-", dir=store_in))
    try:
        yield Places(root / "guests", root / "mounts", store)
    finally:
        # No deep deletion where disks are mounted: what could not be unmounted must not be emptied.
        shutil.rmtree(root / "guests", ignore_errors=True)
        _remove_empty(root)
        _remove_empty(store)


def _has_room(memory: Path) -> bool:
    """Say whether the store fits: in the tmpfs, and in what the machine has left behind it."""
    free = shutil.disk_usage(memory).free
    available = next(
        (int(line.split()[1]) * 1024 for line in _MEMINFO.read_text().splitlines() if "MemAvailable" in line),
        0,
    )
    return min(free, available // 2) >= STORE_NEEDS_MIB * MIB


def _remove_empty(folder: Path) -> None:
    """Delete a tree of empty folders; leave whatever holds something, and never look into a mount."""
    if not folder.is_dir() or folder.is_mount() or folder.is_symlink():
        return
    for child in folder.iterdir():
        _remove_empty(child)
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()
