"""Which sagas are overdue: looked for as the sweep does, but only looked at, and within bounds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.engine.ports import Clock
from shared.engine.sweeping import OVERDUE_MS, UNSTARTED_MS
from shared.saga.state import Phase
from shared.storage.errors import SagaNotFound, UnknownSchema, UnreadableSaga
from shared.storage.ports import ReloadableSagas
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable

#: Runs and sagas that one look takes in; there may be more.
RUNS_AT_MOST, SAGAS_AT_MOST = 100, 200
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A saga whose deadline is over. ``overdue_ms`` counts from the deadline of its phase."""

    run: str
    saga: str
    vm: str
    phase: str
    overdue_ms: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """What a look saw. ``complete`` is False when there were more sagas than one look takes in.

    ``unreadable`` is how many of them a newer version of the app saved, so that this one cannot read them.
    """

    late: tuple[Late, ...]
    looked_at: int
    complete: bool
    unreadable: int = 0

    @property
    def oldest(self) -> Late | None:
        """The saga that is overdue for the longest time."""
        return max(self.late, key=lambda one: one.overdue_ms, default=None)


async def look_for_late_sagas(runs: RunTable, sagas: ReloadableSagas, clock: Clock) -> Lateness:
    """Look through the runs that go on, page by page: never a scan of a table."""
    places = asyncio.Semaphore(_AT_ONCE)

    unreadable = 0

    async def look(run_id: str, entry: RunEntry) -> Late | None:
        nonlocal unreadable
        async with places:
            try:
                return await _look(sagas, run_id, entry, clock)
            except (UnknownSchema, UnreadableSaga):
                unreadable += 1
                return None

    entries: list[tuple[str, RunEntry]] = []
    complete = True
    async for found in _going_on(runs):
        if found is None or len(entries) == SAGAS_AT_MOST:
            complete = False
            break
        entries.append(found)
    seen = await asyncio.gather(*(look(run_id, entry) for run_id, entry in entries))
    return Lateness(tuple(one for one in seen if one is not None), len(entries), complete, unreadable)


async def _going_on(runs: RunTable) -> AsyncIterator[tuple[str, RunEntry] | None]:
    """Give the VMs whose sagas go on, with their run; None at the end if there are more runs."""
    count = 0
    async for run_id in runs.active():
        count += 1
        if count > RUNS_AT_MOST:
            yield None
            return
        async for entry in runs.entries(run_id):
            if not entry.outcome:
                yield run_id, entry


async def _look(sagas: ReloadableSagas, run_id: str, entry: RunEntry, clock: Clock) -> Late | None:
    try:
        state = (await sagas.reload(entry.saga_id)).state
    except SagaNotFound:
        if entry.place:  # its turn may not have come; the sweep sees to it
            return None
        phase, deadline = Phase.PENDING, (entry.started_at or 0) + UNSTARTED_MS
    else:
        if state.deadline is None:
            return None
        phase, deadline = state.phase, state.deadline
    overdue_ms = clock() - deadline
    if overdue_ms <= OVERDUE_MS:
        return None
    return Late(run=run_id, saga=entry.saga_id, vm=entry.vm_id, phase=phase.value, overdue_ms=overdue_ms)
