"""A pass of housekeeping: room by room and page by page, as long as an invocation may, and on at the next.

The timer comes every hour; a pass begins at most once in ``PASS_EVERY_MS``. How far it is, is written down
after every page.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from azure.core.exceptions import AzureError

from shared.compute.errors import ComputeError
from shared.engine.housekeeping.claims import OldClaims
from shared.engine.housekeeping.collections import EmptyCollections
from shared.engine.housekeeping.counts import OldCounts
from shared.engine.housekeeping.guests import IdleGuests, UnknownQueues
from shared.engine.housekeeping.letters import DeadLetters
from shared.engine.housekeeping.ports import DeletableQueues, Letters, Room, Scripts
from shared.engine.housekeeping.reserved import SpentReservations
from shared.engine.housekeeping.rooms import DAY_MS
from shared.engine.housekeeping.runs import OldRuns
from shared.engine.housekeeping.scripts import OldScripts
from shared.engine.ports import Clock, Compute
from shared.logs import logger
from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.counters import CounterTable
from shared.storage.errors import StorageError
from shared.storage.housekeeping import HousekeepingTable, Pass, Removed
from shared.storage.points import PointTable
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import RunList
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable

_log = logger("housekeeping")

#: A little less than a day, so that a pass that began late does not move on through the day.
PASS_EVERY_MS = 20 * 3_600_000
#: One invocation cleans no longer than this (ms), but for the last page's own time; host.json allows 10 min.
CLEAN_FOR_MS = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """All that rooms look into."""

    runs: RunTable
    claims: ClaimTable
    sagas: SagaTable
    points: PointTable
    listed: RunList
    agents: AgentTable
    reservations: ReservationTable
    counters: CounterTable
    scripts: Scripts
    queues: Letters
    guest_queues: DeletableQueues
    compute: Compute

    def rooms(self) -> tuple[Room, ...]:
        """Give all rooms, in the order of a pass: what refers to others goes before them."""
        return (
            OldRuns(self.listed, self.runs, self.sagas, self.points),
            OldClaims(self.claims, self.runs),
            OldScripts(self.scripts, self.runs),
            UnknownQueues(self.guest_queues, self.agents),
            IdleGuests(self.guest_queues, self.agents),
            SpentReservations(self.reservations),
            OldCounts(self.counters),
            DeadLetters(self.queues),
            EmptyCollections(self.points, self.runs, self.compute),
        )


class Housekeeping:
    """Removes what was last needed ``keep_days`` ago."""

    def __init__(
        self, rooms: Sequence[Room], passes: HousekeepingTable, clock: Clock, *, keep_days: int
    ) -> None:
        self._rooms = rooms
        self._passes = passes
        self._clock = clock
        self._keep_ms = keep_days * DAY_MS

    async def go_on(self) -> Pass | None:
        """Go on with the pass, or begin one; give it as it is now, None when it is not time for one."""
        stored, now = await self._passes.passes(), self._clock()
        going_on = stored.now
        if going_on is None:
            if stored.last is not None and now - stored.last.began_at < PASS_EVERY_MS:
                return None
            going_on = Pass(began_at=now, room=self._rooms[0].name)
        until = now + CLEAN_FOR_MS
        while going_on.ended_at is None:
            going_on = await self._clean(going_on)
            if going_on.ended_at is not None:
                await self._passes.end(going_on)
                _tell(going_on)
            else:
                await self._passes.go_on(going_on)
                if self._clock() >= until:
                    break
        return going_on

    async def _clean(self, going_on: Pass) -> Pass:
        """Clean a page; a room that cannot be cleaned keeps no other from it, and waits for the next pass."""
        rooms = [room.name for room in self._rooms]
        number = rooms.index(going_on.room) if going_on.room in rooms else 0
        room, now = self._rooms[number], self._clock()
        try:
            done = await room.clean(going_on.after, now, going_on.began_at - self._keep_ms)
        except* (StorageError, AzureError, ComputeError) as failed:
            error = _first(failed)
            _log.warning("stillframe housekeeping: %s could not be cleaned: %s", room.name, error)
            failing = (*going_on.failed, f"{room.name}: {type(error).__name__}")
            after, removed = "", going_on.removed
        else:
            failing, after = going_on.failed, done.after
            removed = _sum(going_on.removed, done.removed)
        if after:
            return replace(going_on, after=after, removed=removed)
        left = self._rooms[number + 1 :]
        ended = None if left else self._clock()
        return replace(
            going_on,
            room=left[0].name if left else "",
            after="",
            removed=removed,
            failed=failing,
            ended_at=ended,
        )


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    error = failed.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _sum(before: Sequence[Removed], more: Mapping[str, int]) -> tuple[Removed, ...]:
    counts = Counter({one.what: one.count for one in before})
    counts.update(more)
    return tuple(Removed(what, count) for what, count in sorted(counts.items()) if count)


def _tell(ended: Pass) -> None:
    told = " ".join(f"{one.what}={one.count}" for one in ended.removed) or "nothing"
    took_s = ((ended.ended_at or ended.began_at) - ended.began_at) // 1000
    failed = f"; not cleaned: {', '.join(ended.failed)}" if ended.failed else ""
    _log.info("stillframe housekeeping: removed %s in %d s%s", told, took_s, failed)
