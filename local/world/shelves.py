"""Where a store keeps its disks, snapshots and clones, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NoSuchDiskError(Exception):
    """No disk has this name."""

    def __init__(self, disk_name: str) -> None:
        super().__init__(f"there is no disk {disk_name}")
        self.disk_name = disk_name


class NoSuchSnapshotError(Exception):
    """No snapshot has this name."""

    def __init__(self, snapshot_name: str) -> None:
        super().__init__(f"there is no snapshot {snapshot_name}")
        self.snapshot_name = snapshot_name


class NameTakenError(Exception):
    """A disk or snapshot of this name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already")
        self.name = name


class BadNameError(Exception):
    """A name that cannot be a file's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} cannot be the name of a disk or snapshot")
        self.name = name


class Shelves:
    """The folders of a store and the names in them."""

    def __init__(self, root: Path) -> None:
        self._disks = root / "disks"
        self._snapshots = root / "snapshots"
        self._clones = root / "clones"
        for shelf in (self._disks, self._snapshots, self._clones):
            shelf.mkdir(mode=0o700)

    def disk(self, name: str) -> Path:
        """Return an existing disk's path."""
        path = self._disks / _checked(name)
        if not path.exists():
            raise NoSuchDiskError(name)
        return path

    def new_disk(self, name: str) -> Path:
        """Return the path of a disk to make."""
        return _free(self._disks / _checked(name))

    def snapshot(self, name: str) -> Path:
        """Return an existing snapshot's path."""
        path = self.snapshot_if_any(name)
        if not path.exists():
            raise NoSuchSnapshotError(name)
        return path

    def snapshot_if_any(self, name: str) -> Path:
        """Return the path that a snapshot has, if it exists."""
        return self._snapshots / _checked(name)

    def new_snapshot(self, name: str) -> Path:
        """Return the path of a snapshot to take."""
        return _free(self._snapshots / _checked(name))

    def new_clone(self, name: str) -> Path:
        """Return the path of a clone to make."""
        return _free(self._clones / _checked(name))


def _checked(name: str) -> str:
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise BadNameError(name)
    return name


def _free(path: Path) -> Path:
    if path.exists():
        raise NameTakenError(path.name)
    return path
