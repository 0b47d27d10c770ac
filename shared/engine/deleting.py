"""Deleting recovery points: marked first, so that nothing that was begun is forgotten, then by a message.

Nothing is deleted but what Stillframe made: the record names the resource, and its tags (the name of a
restore point) name saga, generation, run and policy of the record. What somebody is using is left alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.compute.errors import ComputeError
from shared.compute.kept import Kept, Owner
from shared.engine.ports import Clock, Compute
from shared.engine.queue_names import POINTS, PointMessage, PointTask
from shared.logs import About, about, logger
from shared.storage.errors import PointChanged, PointNotFound
from shared.storage.point_records import PointRecord, PointState
from shared.storage.points import PointTable, StoredPoint
from shared.storage.ports import MessageQueues

_log = logger("points")

#: A deletion that was begun this long ago and has not ended lost its message.
LOST_AFTER_MS = 600_000
#: Snapshots that a process looks at at the same time.
READS_AT_ONCE = 16
#: How long the record of a deleted point is kept.
TOMBSTONE_MS = 90 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of what a recovery point is made of; ``obstacles`` say why it may not be deleted now."""

    there: tuple[Kept, ...]
    obstacles: tuple[str, ...]


class Deleting:
    """Deletes recovery points."""

    def __init__(self, points: PointTable, compute: Compute, queues: MessageQueues, clock: Clock) -> None:
        self._points = points
        self._compute = compute
        self._queues = queues
        self._clock = clock
        self._places = asyncio.Semaphore(READS_AT_ONCE)

    async def begin(self, stored: StoredPoint, why: str) -> StoredPoint:
        """Mark a point for deletion and have it deleted.

        Raises:
            PointChanged: it is not as it was read any more; nothing was begun.
        """
        record = stored.record
        marked = replace(record, state=PointState.DELETING, why=why, changed=self._clock())
        changed = await self._points.change(stored, marked)
        await self._send(record.point_id)
        with about(_of(record)):
            _log.info("stillframe deletes: vm=%s grade=%s: %s", record.vm_id, record.grade, why)
        return changed

    async def go_on(self, stored: StoredPoint) -> None:
        """Have a deletion go on whose message was lost; forget what was deleted long ago."""
        record = stored.record
        since = self._clock() - (record.changed or 0)
        if record.state is PointState.DELETING and since > LOST_AFTER_MS:
            await self._send(record.point_id)  # a second message does no harm
        elif record.state is PointState.DELETED and since > TOMBSTONE_MS:
            await self._points.forget(stored)

    async def look(self, record: PointRecord) -> Look:
        """See what of a point is there, and what keeps it from being deleted. Raises `ComputeError`."""

        async def seen_of(resource_id: str) -> Kept | None:
            async with self._places:
                return await self._compute.look_at(resource_id)

        seen = await asyncio.gather(*(seen_of(each) for each in (*record.resources, *record.copies)))
        there = tuple(each for each in seen if each is not None)
        return Look(there, tuple(_obstacles(there, record)))

    async def note_missing(self, stored: StoredPoint, look: Look) -> tuple[str, ...]:
        """Note and give what of a point, as it was seen, is gone; or note that nothing is."""
        record = stored.record
        there = {each.resource_id.lower() for each in look.there}
        missing = tuple(each for each in record.resources if each.lower() not in there)
        if missing == record.missing or record.state not in (PointState.AVAILABLE, PointState.MISSING):
            return missing
        names = ", ".join(each.rpartition("/")[2] for each in missing)
        state, why = PointState.AVAILABLE, "it was missing, and is there again"
        if missing:
            state, why = PointState.MISSING, f"gone, and not deleted by Stillframe: {names}"
        noted = replace(record, state=state, missing=missing, why=why, changed=self._clock())
        try:
            await self._points.change(stored, noted)
        except PointChanged:  # who changed it has looked, or the next comparison will
            return missing
        with about(_of(record)):
            _log.warning("stillframe point: vm=%s point=%s: %s", record.vm_id, record.point_id, why)
        return missing

    async def take(self, point_id: str) -> None:
        """Delete a point that is marked for it; one that is not, or is gone, needs nothing.

        Raises:
            ComputeError: Azure could not do it now; the message comes again.
        """
        try:
            stored = await self._points.get(point_id)
        except PointNotFound:
            return
        if stored.record.state is PointState.DELETING:
            with about(_of(stored.record)):
                await self._delete(stored)

    async def _delete(self, stored: StoredPoint) -> None:
        record = stored.record
        look = await self.look(record)
        if look.obstacles:
            await self._give_up(stored, look)
            return
        jobs = [self._compute.delete(each.resource_id, record.point_id) for each in look.there]
        failed = [e for e in await asyncio.gather(*jobs, return_exceptions=True) if e is not None]
        for error in failed:
            if not isinstance(error, ComputeError) or error.passing:
                raise error
        if failed:
            await self._note(stored, "; ".join(f"could not be deleted: {error}" for error in failed))
            return
        gone = replace(record, state=PointState.DELETED, missing=(), changed=self._clock())
        await self._points.change(stored, gone)
        _log.info("stillframe deleted: vm=%s: %s", record.vm_id, record.why)

    async def _give_up(self, stored: StoredPoint, look: Look) -> None:
        """Leave a point as it is, or what is left of it, and say why; retention will ask again."""
        record, why = stored.record, "; ".join(look.obstacles)
        there = {each.resource_id.lower() for each in look.there}
        if {each.lower() for each in record.resources} <= there:
            kept = replace(
                record, state=PointState.AVAILABLE, why=f"not deleted: {why}", changed=self._clock()
            )
            await self._points.change(stored, kept)
            _log.warning("stillframe deletes not: vm=%s: %s", record.vm_id, why)
        else:
            await self._note(stored, f"not deleted as a whole: {why}")

    async def _note(self, stored: StoredPoint, why: str) -> None:
        await self._points.change(stored, replace(stored.record, why=why, changed=self._clock()))
        _log.warning("stillframe deletes not: vm=%s: %s", stored.record.vm_id, why)

    async def _send(self, point_id: str) -> None:
        await self._queues.send(POINTS, PointMessage(PointTask.DELETE, point_id).text())


def owner_of(record: PointRecord) -> Owner:
    """Say whose the resources of a point have to be."""
    return Owner(record.policy, record.run_id, record.point_id, record.generation)


def _obstacles(there: Sequence[Kept], record: PointRecord) -> list[str]:
    told = []
    for each in there:
        name = each.resource_id.rpartition("/")[2]
        told += [f"{name}: {what}" for what in (each.disagrees(owner_of(record)), each.in_use) if what]
    return told


def _of(record: PointRecord) -> About:
    return About(record.run_id, record.point_id, record.generation, "retention")
