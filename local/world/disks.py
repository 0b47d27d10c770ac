"""The disks of the local stack, each with a point in time of its own when it is captured.

`ReflinkDisks` are real: one XFS image is the storage account; a disk is a file in it, with ext4 behind a
loop device; a snapshot is one FICLONE of the live file. `FolderDisks` are folders that are copied, for
machines where real disks cannot be had. Nothing holds across disks in either, as in Azure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import TYPE_CHECKING, Protocol

from local.world.frozen import thaw_everything
from local.world.mounts import clone_file, mount_image, system, unmount
from local.world.shelves import Shelves

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1024 * 1024
SMALLEST_DISK_MIB = 16  # room for ext4 with a journal of 4 MiB
STORE_MIB = 64 * 1024  # a sparse file: takes only what is written to it


class DiskTooSmallError(Exception):
    """A disk of fewer than SMALLEST_DISK_MIB."""

    def __init__(self, disk_name: str, size_mib: int) -> None:
        super().__init__(f"disk {disk_name}: {size_mib} MiB, but {SMALLEST_DISK_MIB} is the least")
        self.disk_name = disk_name
        self.size_mib = size_mib


class Disks(Protocol):
    """What the simulator, the guests and a restore need of disks."""

    @property
    def are_real(self) -> bool:
        """Whether a disk is a filesystem of its own, which can be frozen, and a clone an image to mount."""

    def create(self, disk_name: str, size_mib: int, mount_point: Path | None) -> None:
        """Make an empty disk and, with a mount point, mount it there."""

    def remove(self, disk_name: str) -> None:
        """Unmount a disk and forget it; its snapshots stay."""

    async def capture(self, disk_name: str, snapshot_name: str) -> int:
        """Take a snapshot; its point in time lies before the return. Returns the size in bytes."""

    async def discard(self, snapshot_name: str) -> None:
        """Forget a snapshot; one that is not there is forgotten already."""

    async def restore(self, snapshot_name: str, disk_name: str) -> None:
        """Make a disk with the content of a snapshot, mounted nowhere."""

    async def drop(self, disk_name: str) -> None:
        """Delete a disk that is mounted nowhere."""

    def image(self, disk_name: str) -> Path:
        """Return what a disk is: an image where disks are real, else a folder."""

    def clone(self, snapshot_name: str, clone_name: str) -> Path:
        """Make a writable copy of a snapshot: an image where disks are real, else a folder."""

    def drop_clone(self, clone: Path) -> None:
        """Delete a copy made by `clone`."""

    def close(self) -> None:
        """Unmount and delete everything."""


class ReflinkDisks:
    """Real disks. Must be used inside the sandbox, so that nothing can be left behind."""

    are_real = True

    def __init__(self, store_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty store in `store_dir`, which must be an empty or new folder.

        Raises SystemCommandError where the machine does not allow it (see can_use_real_disks).
        """
        self._clock = clock
        self._mounted: dict[str, Path] = {}
        self._store = store_dir / "store"
        self._templates: dict[int, Path] = {}
        store_dir.mkdir(parents=True, exist_ok=True)
        image = store_dir / "store.xfs"
        _make_sparse(image, STORE_MIB)
        system("mkfs.xfs", "-q", "-K", "-m", "reflink=1", str(image))
        mount_image(image, self._store, "xfs")
        image.unlink()  # the loop device keeps it: its space is free again with the last mount, come what may
        self._shelves = Shelves(self._store)

    def create(self, disk_name: str, size_mib: int, mount_point: Path | None) -> None:
        """Make an empty ext4 disk and, with a mount point, mount it there.

        Raises NameTakenError, BadNameError, DiskTooSmallError, SystemCommandError.
        """
        path = self._shelves.new_disk(disk_name)
        if size_mib < SMALLEST_DISK_MIB:
            raise DiskTooSmallError(disk_name, size_mib)
        clone_file(self._template(size_mib), path)
        if mount_point:
            mount_image(path, mount_point, "ext4")
            self._mounted[disk_name] = mount_point

    def create_from(self, image: Path, disk_name: str) -> None:
        """Make a disk with the content of an image from elsewhere; holes in it stay holes.

        Raises NameTakenError, BadNameError, SystemCommandError.
        """
        system("cp", "--sparse=always", "--", str(image), str(self._shelves.new_disk(disk_name)))

    def image(self, disk_name: str) -> Path:
        """Return the file that a disk is, for who attaches it to a virtual machine.

        Raises NoSuchDiskError.
        """
        return self._shelves.disk(disk_name)

    def remove(self, disk_name: str) -> None:
        """Unmount a disk and delete it; its snapshots stay.

        Raises NoSuchDiskError, StillMountedError.
        """
        path = self._shelves.disk(disk_name)
        self._detach(disk_name)
        path.unlink()

    async def capture(self, disk_name: str, snapshot_name: str) -> int:
        """Clone the live disk: one instant for all of it. Returns the disk's size in bytes.

        Raises NoSuchDiskError, NameTakenError, BadNameError.
        """
        disk, snapshot = self._shelves.disk(disk_name), self._shelves.new_snapshot(snapshot_name)
        return await asyncio.to_thread(clone_file, disk, snapshot)

    async def discard(self, snapshot_name: str) -> None:
        """Delete a snapshot; one that is not there is deleted already."""
        await asyncio.to_thread(self._shelves.snapshot_if_any(snapshot_name).unlink, missing_ok=True)

    async def restore(self, snapshot_name: str, disk_name: str) -> None:
        """Make a disk with the content of a snapshot, mounted nowhere.

        Raises NoSuchSnapshotError, NameTakenError, BadNameError.
        """
        disk = self._shelves.new_disk(disk_name)
        await asyncio.to_thread(clone_file, self._shelves.snapshot(snapshot_name), disk)

    async def drop(self, disk_name: str) -> None:
        """Delete a disk; raises NoSuchDiskError."""
        await asyncio.to_thread(self.remove, disk_name)

    def clone(self, snapshot_name: str, clone_name: str) -> Path:
        """Make a writable image of a snapshot.

        Raises NoSuchSnapshotError, NameTakenError, BadNameError.
        """
        clone = self._shelves.new_clone(clone_name)
        clone_file(self._shelves.snapshot(snapshot_name), clone)
        return clone

    def drop_clone(self, clone: Path) -> None:
        """Delete an image made by `clone`; nothing must have it mounted any more."""
        clone.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount what was mounted here, thawed where it was left frozen, and delete everything.

        Raises StillMountedError when a process still uses a disk.
        """
        for disk_name in list(self._mounted):
            self._detach(disk_name)
        unmount(self._store, clock=self._clock)
        self._store.rmdir()

    def _detach(self, disk_name: str) -> None:
        mount_point = self._mounted.get(disk_name)
        if mount_point is None:
            return
        # A frozen filesystem that is unmounted stays frozen for ever, and its loop device with it.
        thaw_everything([mount_point])
        unmount(mount_point, clock=self._clock)
        del self._mounted[disk_name]
        mount_point.rmdir()

    def _template(self, size_mib: int) -> Path:
        """Return the formatted disk of this size, of which every other is a clone."""
        if size_mib not in self._templates:
            template = self._store / f"template-{size_mib}"
            _make_sparse(template, size_mib)
            at_once = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"  # no background writes later
            system("mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-E", at_once, str(template))
            self._templates[size_mib] = template
        return self._templates[size_mib]


class FolderDisks:
    """Folders instead of disks: no root needed, nothing to freeze, and a capture takes its time."""

    are_real = False

    def __init__(self, store_dir: Path) -> None:
        """Make an empty store in `store_dir`, which must be an empty or new folder."""
        self._store = store_dir
        self._linked: dict[str, Path] = {}
        store_dir.mkdir(parents=True, exist_ok=True)
        self._shelves = Shelves(store_dir)

    def create(self, disk_name: str, size_mib: int, mount_point: Path | None) -> None:
        """Make an empty folder and, with a mount point, a link to it there; the size is only a wish.

        Raises NameTakenError, BadNameError, DiskTooSmallError.
        """
        path = self._shelves.new_disk(disk_name)
        if size_mib < SMALLEST_DISK_MIB:
            raise DiskTooSmallError(disk_name, size_mib)
        path.mkdir()
        if mount_point:
            mount_point.parent.mkdir(parents=True, exist_ok=True)
            mount_point.symlink_to(path, target_is_directory=True)
            self._linked[disk_name] = mount_point

    def remove(self, disk_name: str) -> None:
        """Delete a disk; its snapshots stay.

        Raises NoSuchDiskError.
        """
        path = self._shelves.disk(disk_name)
        if mount_point := self._linked.pop(disk_name, None):
            mount_point.unlink()
        shutil.rmtree(path)

    async def capture(self, disk_name: str, snapshot_name: str) -> int:
        """Copy the folder file by file. Returns the bytes copied.

        Raises NoSuchDiskError, NameTakenError, BadNameError.
        """
        disk, snapshot = self._shelves.disk(disk_name), self._shelves.new_snapshot(snapshot_name)
        return await asyncio.to_thread(_copy_folder, disk, snapshot)

    async def discard(self, snapshot_name: str) -> None:
        """Delete a snapshot; one that is not there is deleted already."""
        snapshot = self._shelves.snapshot_if_any(snapshot_name)
        await asyncio.to_thread(shutil.rmtree, snapshot, ignore_errors=True)

    async def restore(self, snapshot_name: str, disk_name: str) -> None:
        """Make a disk with the content of a snapshot, mounted nowhere.

        Raises NoSuchSnapshotError, NameTakenError, BadNameError.
        """
        disk = self._shelves.new_disk(disk_name)
        await asyncio.to_thread(_copy_folder, self._shelves.snapshot(snapshot_name), disk)

    async def drop(self, disk_name: str) -> None:
        """Delete a disk; raises NoSuchDiskError."""
        await asyncio.to_thread(self.remove, disk_name)

    def image(self, disk_name: str) -> Path:
        """Return the folder that a disk is.

        Raises NoSuchDiskError.
        """
        return self._shelves.disk(disk_name)

    def clone(self, snapshot_name: str, clone_name: str) -> Path:
        """Make a writable folder of a snapshot.

        Raises NoSuchSnapshotError, NameTakenError, BadNameError.
        """
        clone = self._shelves.new_clone(clone_name)
        _copy_folder(self._shelves.snapshot(snapshot_name), clone)
        return clone

    def drop_clone(self, clone: Path) -> None:
        """Delete a folder made by `clone`."""
        shutil.rmtree(clone, ignore_errors=True)

    def close(self) -> None:
        """Delete everything."""
        for mount_point in self._linked.values():
            mount_point.unlink(missing_ok=True)
        self._linked.clear()
        shutil.rmtree(self._store, ignore_errors=True)


def _copy_folder(source: Path, target: Path) -> int:
    """Copy a live folder; what disappears meanwhile is not in the copy. Returns the bytes copied."""
    target.mkdir(mode=0o700)
    total = 0
    for entry in sorted(source.iterdir()):
        try:
            if entry.is_dir() and not entry.is_symlink():
                total += _copy_folder(entry, target / entry.name)
            else:
                shutil.copy2(entry, target / entry.name, follow_symlinks=False)
                total += (target / entry.name).lstat().st_size
        except FileNotFoundError:
            continue
    return total


def _make_sparse(path: Path, size_mib: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(fd, size_mib * MIB)
    finally:
        os.close(fd)
