"""A run's VMs on one time axis: what the page shows of a run, without a request for each of its VMs.

The timeline of a saga is put into the run's index when the saga ends, so that a run that is over is one range
of rows. Of a VM that goes on the saga and its history are read, of so many at most in one answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.engine.group_views import groups_in_short
from shared.engine.ports import Clock
from shared.engine.timeline_views import timeline_view
from shared.engine.views import moment
from shared.saga.state import Phase, SagaState
from shared.saga.timeline import Timeline, timeline_of
from shared.storage.errors import SagaNotFound, UnknownSchema, UnreadableSaga
from shared.storage.groups import GroupTable
from shared.storage.ports import ReloadableSagas
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.runs import RunTable

#: VMs of one answer whose sagas are read; of more that go on it is only said that they are running.
READ_AT_MOST = 200
#: A saga is called overdue this long after its deadline (ms), as by the sweep.
OVERDUE_MS = 5_000
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of a VM's saga; ``state`` is None where it is not needed, or there is none yet."""

    phase: str
    timeline: Timeline
    state: SagaState | None = None


class Timelines:
    """Gives the timelines of a run's VMs, and of a saga that has ended."""

    def __init__(self, runs: RunTable, sagas: ReloadableSagas, clock: Clock, groups: GroupTable) -> None:
        self._groups = groups
        self._runs = runs
        self._sagas = sagas
        self._clock = clock

    async def saga_ended(self, saga_id: str) -> Timeline:
        """Give the timeline of a saga, for the run's index: one read of its history."""
        return timeline_of(await self._sagas.history(saga_id))

    async def page(
        self, run_id: str, *, after: str, limit: int, since: int | None
    ) -> tuple[dict[str, Any], str]:
        """Show the ``limit`` VMs after the saga ``after``, and where the next page begins ("": no more).

        VMs that ended before ``since`` (ms since the epoch) are left out: whoever asks knows them already.

        Raises:
            RunNotFound: there is no such run.
        """
        record, entries = await asyncio.gather(
            self._runs.get(run_id), self._runs.page(run_id, after or None, limit)
        )
        now = self._clock()
        wanted = [entry for entry in entries if since is None or not entry.outcome or _ended(entry) >= since]
        seen = await self._read(wanted)
        view = {
            "run": record.run_id,
            "policy": record.policy_name or None,
            "requested_by": record.requested_by,
            "created_at": moment(record.created_at),
            "cancel_requested": record.cancel_requested,
            "vm_count": record.vm_count,
            "now": moment(now),
            "groups": groups_in_short(record, await self._groups.of_record(record)),
            "items": [_item(record, entry, seen[entry.saga_id], now) for entry in wanted],
        }
        return view, entries[-1].saga_id if len(entries) == limit else ""

    async def _read(self, entries: Sequence[RunEntry]) -> Mapping[str, _Seen]:
        places = asyncio.Semaphore(_AT_ONCE)

        async def look(entry: RunEntry) -> tuple[str, _Seen]:
            async with places:
                return entry.saga_id, await self._look(entry)

        unknown = [entry for entry in entries if entry.timeline is None]
        read = dict(await asyncio.gather(*(look(entry) for entry in unknown[:READ_AT_MOST])))
        return {entry.saga_id: read.get(entry.saga_id) or _kept(entry) for entry in entries}

    async def _look(self, entry: RunEntry) -> _Seen:
        if entry.outcome:  # its timeline was not kept
            return _Seen(Phase.DONE, await self.saga_ended(entry.saga_id))
        try:
            state, history = await self._sagas.look(entry.saga_id)
        except SagaNotFound:
            return _Seen(Phase.PENDING, Timeline())
        except (UnknownSchema, UnreadableSaga):  # a newer version of the app saved it
            return _Seen("running", Timeline())
        return _Seen(state.phase, timeline_of(history), state)


def _kept(entry: RunEntry) -> _Seen:
    return _Seen(Phase.DONE if entry.outcome else "running", entry.timeline or Timeline())


def _ended(entry: RunEntry) -> int:
    return entry.ended_at if entry.ended_at is not None else 0


def _item(record: RunRecord, entry: RunEntry, seen: _Seen, now: int) -> dict[str, Any]:
    def since_start(at: int | None) -> int | None:
        return None if at is None else at - record.created_at

    deadline = seen.state.deadline if seen.state else None
    problem = {"sentence": entry.problem, "step": entry.step, "what_to_do": entry.what_to_do}
    return {
        "vm": entry.vm_id,
        "name": entry.vm_id.rpartition("/")[2],
        "saga": entry.saga_id,
        "phase": str(seen.phase),
        "outcome": entry.outcome or None,
        "retried": entry.retried,
        "grade": entry.grade or None,
        "freeze_window_ms": entry.freeze_window_ms,
        "warnings": entry.warnings,
        "why": entry.reason,
        "problem": problem if entry.problem else None,
        "overdue": deadline is not None and now > deadline + OVERDUE_MS,
        "deadline_ms": since_start(deadline),
        "ended_ms": since_start(entry.ended_at),
        **timeline_view(seen.timeline, record.created_at),
    }
