"""The room of runs: an old run goes as a whole, with its sagas, once no recovery point of it is left.

Sagas go first, then the run's rows, then its row in the list, which it is found by: whatever a crash leaves,
the next pass finds it.
"""

import asyncio
from collections.abc import Sequence

from shared.engine.housekeeping.rooms import Done
from shared.logs import About, about, logger
from shared.storage.errors import PointNotFound, RunNotFound
from shared.storage.point_records import PointState
from shared.storage.points import PointTable
from shared.storage.run_list import ListedRun, RunList
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable

_log = logger("housekeeping")

#: Runs of a page, VMs of a run that are read at once, sagas that are removed at the same time.
RUNS, VMS, AT_ONCE = 20, 100, 8


class OldRuns:
    """Runs that began before the cutoff."""

    name = "runs"

    def __init__(self, listed: RunList, runs: RunTable, sagas: SagaTable, points: PointTable) -> None:
        self._listed = listed
        self._runs = runs
        self._sagas = sagas
        self._points = points

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Remove the old runs of a page of the list; a large one takes several pages."""
        del now
        page = await self._listed.page(policy="", since=None, until=cutoff, after=after, limit=RUNS)
        removed = {"runs": 0, "sagas": 0}
        for run in page:
            with about(About(run.run_id)):
                if not await self._may_go(run):
                    after = run.place
                    continue
                sagas, whole = await self._remove(run)
            removed["sagas"] += sagas
            if not whole:  # the rest of it is the next page's
                return Done(after or _before(run), removed)
            removed["runs"] += 1
            after = run.place
        return Done(after if len(page) == RUNS else "", removed)

    async def _may_go(self, run: ListedRun) -> bool:
        """Whether nothing of the run goes on, and no recovery point refers to it."""
        if await self._runs.is_active(run.run_id):
            return False
        last = ""
        while True:
            entries = await self._runs.page(run.run_id, last or None, VMS)
            if any(not entry.outcome for entry in entries) and await self._is_there(run.run_id):
                _log.warning("it is not swept any more, and has VMs without an end: it stays")
                return False
            for entry in entries:
                if await self._has_point(entry):
                    return False
            if len(entries) < VMS:
                return True
            last = entries[-1].saga_id

    async def _is_there(self, run_id: str) -> bool:
        """Whether there is a run; without one these are the rows of a creation that was broken off."""
        try:
            await self._runs.get(run_id)
        except RunNotFound:
            return False
        return True

    async def _has_point(self, entry: RunEntry) -> bool:
        try:
            record = (await self._points.get(entry.saga_id)).record
        except PointNotFound:
            return False
        return record.state is not PointState.DELETED

    async def _remove(self, run: ListedRun) -> tuple[int, bool]:
        """Remove the next VMs of a run, and the run when those were the last; say how many, and whether."""
        entries = await self._runs.page(run.run_id, None, VMS)
        await self._forget_sagas(entries)
        if len(entries) == VMS:
            await self._runs.forget_entries(run.run_id, entries[0].saga_id, entries[-1].saga_id)
            return len(entries), False
        await self._runs.forget(run.run_id)
        await self._listed.forget(run)
        return len(entries), True

    async def _forget_sagas(self, entries: Sequence[RunEntry]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def forget(saga_id: str) -> None:
            async with places:
                await self._sagas.forget(saga_id)

        async with asyncio.TaskGroup() as group:
            for entry in entries:
                group.create_task(forget(entry.saga_id))


def _before(run: ListedRun) -> str:
    """Give a place right before a run's in the list."""
    return run.place[:-1]
