"""The use cases of somebody who looks for recovery points, holds one, or deletes it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from shared.engine.deleting import Deleting
from shared.engine.point_views import point_view, whole_point_view
from shared.engine.ports import Clock
from shared.engine.retaining import candidate
from shared.logs import logger
from shared.policy.retention import protected
from shared.saga.consistency import Grade
from shared.storage.errors import PointChanged
from shared.storage.point_records import Hold, PointRecord, PointState
from shared.storage.points import PointTable, Span, StoredPoint

_log = logger("points")

#: Points that are looked at for one page; when filters leave few of them, the page is short and goes on.
MOST_LOOKED_AT = 2_000
#: A point that others change all the time is given up after this many tries.
_TRIES = 5


class PointHeld(Exception):
    """The recovery point is held: it is not deleted."""

    def __init__(self, point_id: str, hold: Hold) -> None:
        super().__init__(f"recovery point {point_id} is held ({hold.reason}): release it first")
        self.point_id = point_id


class HoldImmutable(Exception):
    """The hold of a recovery point may be made longer, and nothing else, before its time has come."""

    def __init__(self, point_id: str) -> None:
        super().__init__(
            f"recovery point {point_id} has an immutable hold: before its time it is neither released nor cut"
        )
        self.point_id = point_id


class NewestPoint(Exception):
    """The recovery point is the newest good one of its VM and policy: deleting it needs to be confirmed."""

    def __init__(self, point_id: str) -> None:
        super().__init__(
            f"recovery point {point_id} is the newest good one that its policy has of its VM "
            "(or the newest of the best grade); if you mean it, ask with newest=allow"
        )
        self.point_id = point_id


class PointGone(Exception):
    """The recovery point is deleted, or being deleted: it cannot be held."""

    def __init__(self, point_id: str, state: PointState) -> None:
        super().__init__(f"recovery point {point_id} is {state}")
        self.point_id = point_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which points are asked for. ``vm`` is an ARM id or a name; without ``state`` none is deleted."""

    vm: str | None = None
    policy: str | None = None
    since: int | None = None
    until: int | None = None
    grade: Grade | None = None
    state: PointState | None = None

    def fits(self, record: PointRecord) -> bool:
        """Whether a point is asked for, apart from VM and time."""
        return (
            (self.policy is None or record.policy == self.policy)
            and (self.grade is None or record.grade is self.grade)
            and (record.state is self.state if self.state else record.state is not PointState.DELETED)
        )


class Points:
    """Recovery points, for people."""

    def __init__(self, points: PointTable, deleting: Deleting, clock: Clock) -> None:
        self._points = points
        self._deleting = deleting
        self._clock = clock

    def now(self) -> int:
        """Give the time, ms since the epoch."""
        return self._clock()

    async def list(self, wanted: Wanted, *, limit: int, after: str = "") -> tuple[list[dict[str, Any]], str]:
        """Show the recovery points that are asked for, newest first, and the place to go on behind.

        A page may be short, even empty, and go on: at most ``MOST_LOOKED_AT`` points are looked at.
        """
        now, shown, looked_at = self._clock(), [], 0
        async for point in await self._in_order(wanted, after):
            looked_at += 1
            if wanted.fits(point.record):
                shown.append(point_view(point.record, now))
            if len(shown) == limit or looked_at == MOST_LOOKED_AT:
                return shown, point.place
        return shown, ""

    async def get(self, point_id: str) -> dict[str, Any]:
        """Show a recovery point, with what it is made of and its evidence. Raises ``PointNotFound``."""
        record = (await self._points.get(point_id)).record
        return whole_point_view(record, await self._points.evidence(point_id), self._clock())

    async def hold(self, point_id: str, hold: Hold) -> dict[str, Any]:
        """Keep a recovery point, whatever retention says; a hold that is there is replaced.

        Raises:
            PointNotFound: there is no such point.
            PointGone: it is deleted, or being deleted.
            HoldImmutable: the hold that is there is immutable, and the new one is not at least as long.
        """

        def held(record: PointRecord) -> PointRecord:
            if record.state in (PointState.DELETING, PointState.DELETED):
                raise PointGone(point_id, record.state)
            old = record.hold
            if old is not None and old.immutable and old.holds(self._clock()) and not _as_strong(hold, old):
                raise HoldImmutable(point_id)
            return replace(record, hold=hold)

        return await self._change(point_id, held, "held")

    async def release(self, point_id: str) -> dict[str, Any]:
        """Let retention decide about a recovery point again; one that is not held is fine.

        Raises:
            PointNotFound: there is no such point.
            HoldImmutable: its hold is immutable, and its time has not come.
        """

        def released(record: PointRecord) -> PointRecord:
            if record.hold is not None and record.hold.immutable and record.hold.holds(self._clock()):
                raise HoldImmutable(point_id)
            return replace(record, hold=None)

        return await self._change(point_id, released, "released")

    async def delete(self, point_id: str, *, newest: bool = False) -> dict[str, Any]:
        """Have a recovery point deleted; ``newest`` says that it may be the newest good one.

        Raises:
            PointNotFound: there is no such point.
            PointHeld: it is held.
            NewestPoint: it is the newest good one, and that was not said.
        """
        for _ in range(_TRIES):
            stored = await self._points.get(point_id)
            record, now = stored.record, self._clock()
            if record.state is PointState.DELETED:
                return point_view(record, now)
            if record.state is PointState.DELETING:
                await self._deleting.go_on(stored)
                return point_view(record, now)
            if record.hold is not None and record.held(now):
                raise PointHeld(point_id, record.hold)
            if not newest and point_id in await self._protected(record, now):
                raise NewestPoint(point_id)
            try:
                changed = await self._deleting.begin(stored, "asked for")
            except PointChanged:
                continue
            return point_view(changed.record, now)
        raise PointChanged(point_id)

    async def _in_order(self, wanted: Wanted, after: str) -> AsyncIterator[StoredPoint]:
        span = Span(since=wanted.since, until=wanted.until, after=after)
        if wanted.vm is not None:
            is_id = wanted.vm.startswith("/")
            vms = [wanted.vm] if is_id else await self._points.named(wanted.vm)
            return self._points.of_vms(vms, span)
        return (
            self._points.of_all(span)
            if wanted.policy is None
            else self._points.of_policy(wanted.policy, span)
        )

    async def _protected(self, record: PointRecord, now: int) -> frozenset[str]:
        others = [
            candidate(point.record, now)
            async for point in self._points.of_vms([record.vm_id])
            if point.record.policy == record.policy
            and point.record.state in (PointState.AVAILABLE, PointState.MISSING)
        ]
        return protected(others)

    async def _change(
        self, point_id: str, how: Callable[[PointRecord], PointRecord], what: str
    ) -> dict[str, Any]:
        for _ in range(_TRIES):
            stored = await self._points.get(point_id)
            wanted = how(stored.record)
            if wanted != stored.record:
                try:
                    await self._points.change(stored, wanted)
                except PointChanged:
                    continue
                _log.info("recovery point %s of %s: %s", point_id, wanted.vm_id, what)
            return point_view(wanted, self._clock())
        raise PointChanged(point_id)


def _as_strong(new: Hold, old: Hold) -> bool:
    """Whether a hold is immutable too and ends no sooner; an immutable one always has an end."""
    return new.immutable and new.until is not None and old.until is not None and new.until >= old.until
