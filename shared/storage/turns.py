"""Whose turn it is in a run that works on so many VMs at once: rows beside the run's, in the table ``runs``.

| partition | row | holds |
|---|---|---|
| the run's id | ``order-<place>`` | the saga and the VM of a place |
| the run's id | ``progress`` | the first place whose turn has not come |
| the run's id | ``turn-<saga id>`` | which place the end of this saga let begin |

A saga that ends makes its own turn row and moves the progress on, in one transaction: so each end lets one VM
begin, however often it is told, and no two ends the same one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import batched

from shared.storage import tables
from shared.storage.errors import TurnsBusy
from shared.storage.rows import int64, key, require_known, whole
from shared.storage.run_records import RunEntry
from shared.storage.tables import MAX_OPERATIONS, TableStore, WriteRefused
from shared.storage.upcasts import Form

_PROGRESS = "progress"
_TRIES, _LONGEST_PAUSE_S = 12, 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A VM whose turn it is."""

    saga_id: str
    vm_id: str
    place: int


class TurnTable:
    """The turns of runs. ``pause`` is for tests."""

    def __init__(
        self,
        storage: TableStore,
        *,
        table: str = "runs",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._storage = storage
        self._table = table
        self._pause = pause

    async def create(self, run_id: str, entries: Sequence[RunEntry], at_once: int) -> None:
        """Write the order of a run down, before the run itself; doing it again changes nothing.

        The turns of the first ``at_once`` have come from the beginning.
        """
        partition = key(run_id)
        for batch in batched(entries, MAX_OPERATIONS, strict=False):
            rows = [
                {
                    "PartitionKey": partition,
                    "RowKey": _order(entry.place),
                    "saga_id": entry.saga_id,
                    "vm_id": entry.vm_id,
                }
                for entry in batch
            ]
            await self._storage.transact(self._table, [tables.upsert(row) for row in rows])
        progress = {
            "PartitionKey": partition,
            "RowKey": _PROGRESS,
            "next": int64(min(at_once, len(entries)) + 1),
            "total": int64(len(entries)),
        }
        try:
            await self._storage.transact(self._table, [tables.create(progress)])
        except WriteRefused:  # the same request, sent twice at once
            return

    async def next_place(self, run_id: str) -> int:
        """Give the first place whose turn has not come; 0 where there are no turns."""
        found = await self._storage.get(self._table, key(run_id), _PROGRESS)
        return whole(found[0]["next"]) if found else 0

    async def pass_on(self, run_id: str, saga_id: str) -> Turn | None:
        """Let one more VM begin because this saga ended; None when all have. It is the same one each time.

        Raises:
            TurnsBusy: others ended at the same time, again and again; nothing was changed.
        """
        partition, mine = key(run_id), key("turn", saga_id)
        for number in range(_TRIES):
            if number:  # a random pause; what is drawn is no secret
                await self._pause(random.uniform(0, min(_LONGEST_PAUSE_S, 0.02 * 2**number)))  # noqa: S311
            passed = await self._storage.get(self._table, partition, mine)
            if passed is not None:
                return await self._turn(run_id, whole(passed[0]["place"]))
            found = await self._storage.get(self._table, partition, _PROGRESS)
            if found is None:
                return None
            progress, etag = found
            require_known(progress, Form.TURN)
            place, total = whole(progress["next"]), whole(progress["total"])
            if place > total:
                return None
            turn = {"PartitionKey": partition, "RowKey": mine, "place": int64(place)}
            after = {**progress, "next": int64(place + 1), "total": int64(total)}
            try:
                await self._storage.transact(self._table, [tables.create(turn), tables.replace(after, etag)])
            except WriteRefused:
                continue
            return await self._turn(run_id, place)
        raise TurnsBusy(run_id)

    async def passed_on(self, run_id: str, first: str, last: str) -> set[str]:
        """Give the sagas from ``first`` (or a little before) to ``last`` whose end let another VM begin."""
        after, until = f"turn-{first[:-1]}", key("turn", last)
        rows = self._storage.rows(self._table, key(run_id), after=after, until=until)
        return {row["RowKey"].removeprefix("turn-") async for row, _ in rows}

    async def _turn(self, run_id: str, place: int) -> Turn | None:
        found = await self._storage.get(self._table, key(run_id), _order(place))
        return None if found is None else Turn(found[0]["saga_id"], found[0]["vm_id"], place)


def _order(place: int) -> str:
    return f"order-{place:06}"
