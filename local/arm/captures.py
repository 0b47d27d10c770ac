"""When each disk is copied: one after the other within a VM, never at one instant."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.arm.clock import Clock, arm_time
from local.arm.disks import DiskBackend
from local.arm.settings import SimSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One copy of one disk. Its point in time lies between `started_s` and `ended_s` (monotonic seconds)."""

    sequence: int
    vm: str
    disk: str
    snapshot: str
    started_s: float
    ended_s: float
    ended: datetime
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return the record as the simulator's own API shows it."""
        return {
            "sequence": self.sequence,
            "vm": self.vm,
            "disk": self.disk,
            "snapshot": self.snapshot,
            "startedMonotonic": self.started_s,
            "endedMonotonic": self.ended_s,
            "endedAt": arm_time(self.ended),
            "sizeBytes": self.size_bytes,
        }


@dataclass(slots=True)
class _Turn:
    """Whose turn it is among the disks of one VM, and when the next may be copied (monotonic seconds)."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at_s: float = 0.0


class Captures:
    """Copies disks through the backend; the disks of one VM queue up with a gap between them."""

    def __init__(self, backend: DiskBackend, settings: SimSettings, clock: Clock) -> None:
        self._backend = backend
        self._settings = settings
        self._clock = clock
        self._turns: defaultdict[str, _Turn] = defaultdict(_Turn)
        self.records: list[Capture] = []

    async def capture(self, vm: str, disk: str, snapshot: str) -> Capture:
        """Copy one disk when its turn has come; raises what the backend raises."""
        not_before_s = self._clock.monotonic() + self._settings.capture_delay_s
        turn = self._turns[vm]
        async with turn.lock:
            await asyncio.sleep(max(not_before_s, turn.free_at_s) - self._clock.monotonic())
            record = await self._copy(vm, disk, snapshot)
            turn.free_at_s = record.ended_s + self._settings.capture_gap_s
            return record

    async def capture_together(self, vm: str, pairs: Sequence[tuple[str, str]]) -> list[Capture]:
        """Copy several (disk, snapshot) pairs of a VM with no gap, as a restore point does."""
        turn = self._turns[vm]
        async with turn.lock:
            return await asyncio.gather(*(self._copy(vm, disk, snapshot) for disk, snapshot in pairs))

    async def discard(self, snapshot: str) -> None:
        """Drop a copy."""
        await self._backend.discard(snapshot)

    async def restore(self, snapshot: str, disk: str) -> None:
        """Make a disk of a copy; raises what the backend raises."""
        await self._backend.restore(snapshot, disk)

    async def drop(self, disk: str) -> None:
        """Delete a disk that was made of a copy."""
        await self._backend.drop(disk)

    async def _copy(self, vm: str, disk: str, snapshot: str) -> Capture:
        started_s = self._clock.monotonic()
        size = await self._backend.capture(disk, snapshot)
        record = Capture(
            sequence=len(self.records) + 1,
            vm=vm,
            disk=disk,
            snapshot=snapshot,
            started_s=started_s,
            ended_s=self._clock.monotonic(),
            ended=self._clock.now(),
            size_bytes=size,
        )
        self.records.append(record)
        return record
