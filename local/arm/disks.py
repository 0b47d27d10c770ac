"""What the simulator needs of real disks, and a backend that has none."""

import time
from dataclasses import dataclass
from typing import Protocol


class DiskBackend(Protocol):
    """Takes and drops point-in-time copies of disks. Names are unique within one simulated world."""

    async def capture(self, disk_name: str, snapshot_name: str) -> int:
        """Copy a disk as it is at one instant; return the copy's size in bytes.

        The point in time lies before this returns. Whatever it raises fails the operation that asked for it.
        """
        ...

    async def discard(self, snapshot_name: str) -> None:
        """Drop a copy; one that is not there is no error."""
        ...

    async def restore(self, snapshot_name: str, disk_name: str) -> None:
        """Make a disk with the content of a copy; what it raises fails the operation that asked for it."""
        ...

    async def drop(self, disk_name: str) -> None:
        """Delete a disk that `restore` made."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A capture that `NoDisks` was asked for; the instant is CLOCK_MONOTONIC in seconds."""

    disk_name: str
    snapshot_name: str
    monotonic_s: float


class NoDisks:
    """A backend without disks: it remembers names and instants, and every copy has no bytes."""

    def __init__(self) -> None:
        self.captured: list[Remembered] = []
        self.discarded: list[str] = []
        self.restored: dict[str, str] = {}

    async def capture(self, disk_name: str, snapshot_name: str) -> int:
        """Remember the capture and return 0 bytes."""
        self.captured.append(Remembered(disk_name, snapshot_name, time.monotonic()))
        return 0

    async def discard(self, snapshot_name: str) -> None:
        """Remember that the copy was dropped."""
        self.discarded.append(snapshot_name)

    async def restore(self, snapshot_name: str, disk_name: str) -> None:
        """Remember which copy a disk is made of."""
        self.restored[disk_name] = snapshot_name

    async def drop(self, disk_name: str) -> None:
        """Forget a disk."""
        del self.restored[disk_name]
