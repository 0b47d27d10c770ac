"""How many acks were turned away or ignored, and why: counted in memory, kept in storage.

A flood of forged acks must not cost a write, or a line of the log, each. So a process writes its counts at
most once in ``FLUSH_EVERY_MS``, the first ones at once, and logs no more than ``LINES_AT_MOST`` of them
between two writes; the writing tells the sum. What a process that dies has not written yet is lost.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from azure.core.exceptions import AzureError

from shared.engine import measuring
from shared.engine.loop import REPEATED
from shared.engine.ports import Clock
from shared.logs import logger
from shared.saga.machine import OTHER_GENERATION, OVER
from shared.storage.counters import CounterTable
from shared.storage.errors import StorageError

_log = logger("acks")

#: The counts' name in the table of counters.
NAME = "acks"

FLUSH_EVERY_MS = 10_000
LINES_AT_MOST = 20

#: Why a genuine ack moves nothing; anything else is ``not_awaited``.
_IGNORED = {OVER: "saga_done", OTHER_GENERATION: "other_generation"}


class AckCounts:
    """Counts in memory alone. ``rejected`` and ``ignored`` are by reason, since this process started."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()

    def turned_away(self, reason: str) -> bool:
        """Count an ack that is not genuine; say whether a line of the log may be spent on it."""
        self.rejected[reason] += 1
        measuring.ack_rejected(reason)
        return True

    def moved_nothing(self, why: str) -> None:
        """Count a genuine ack that its saga has no use for; ``why`` is the saga's own sentence."""
        reason = why if why == REPEATED else _IGNORED.get(why, "not_awaited")
        self.ignored[reason] += 1
        measuring.ack_ignored(reason)


class KeptAckCounts(AckCounts):
    """Counts that are written to storage behind the back of whoever counts. ``pause`` takes seconds."""

    def __init__(
        self,
        table: CounterTable,
        clock: Clock,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._table = table
        self._clock = clock
        self._pause = pause
        self._pending: Counter[str] = Counter()
        self._flushed_at: int | None = None
        self._lines = 0
        self._writing: asyncio.Task[None] | None = None

    def turned_away(self, reason: str) -> bool:
        """Count an ack that is not genuine; say whether a line of the log may be spent on it."""
        super().turned_away(reason)
        self._count(f"rejected_{reason}")
        self._lines += 1
        return self._lines <= LINES_AT_MOST

    def moved_nothing(self, why: str) -> None:
        """Count a genuine ack that its saga has no use for."""
        before = self.ignored.copy()
        super().moved_nothing(why)
        for reason in self.ignored - before:
            self._count(f"ignored_{reason}")

    def _count(self, kind: str) -> None:
        self._pending[kind] += 1
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write what is pending, and what comes meanwhile, no sooner than it may be written."""
        while self._pending:
            if self._flushed_at is not None:
                left_ms = self._flushed_at + FLUSH_EVERY_MS - self._clock()
                if left_ms > 0:
                    await self._pause(left_ms / 1000)
            await self._flush()

    async def _flush(self) -> None:
        counts, self._pending = self._pending, Counter()
        self._flushed_at, self._lines = self._clock(), 0
        rejected = sum(number for kind, number in counts.items() if kind.startswith("rejected_"))
        if rejected:
            told = " ".join(f"{kind}={number}" for kind, number in sorted(counts.items()))
            _log.warning("stillframe acks: rejected=%d %s", rejected, told)
        try:
            await self._table.add(NAME, day_of(self._flushed_at), counts)
        except (StorageError, AzureError) as error:  # they are written with the next ones
            _log.warning("the counts of acks could not be kept: %s", error)
            self._pending += counts


def day_of(now: int) -> str:
    """Give the day (UTC) of a time in ms since the epoch."""
    return datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d")
