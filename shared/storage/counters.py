"""Counts that outlive a process: one row per name and day, in the table ``counters``.

A row is read and written back with its ETag; whoever loses that race reads again. It is meant for counts that
are gathered in memory and written seldom.
"""

from collections import Counter
from collections.abc import Mapping

from shared.storage import tables
from shared.storage.emptying import delete_rows
from shared.storage.errors import CountsNotKept
from shared.storage.rows import int64, key, whole
from shared.storage.tables import TableStore, WriteRefused

_TRIES = 5
_KEYS = frozenset({"PartitionKey", "RowKey", "schema"})


class CounterTable:
    """Counts by name, day (``2026-01-31``) and kind."""

    def __init__(self, storage: TableStore, *, table: str = "counters") -> None:
        self._storage = storage
        self._table = table

    async def add(self, name: str, day: str, counts: Mapping[str, int]) -> None:
        """Add to the counts of a day. Kinds are letters, digits and ``_``.

        Raises:
            CountsNotKept: others wrote the same row at the same time, again and again; nothing was added.
        """
        for _ in range(_TRIES):
            found = await self._storage.get(self._table, key(name), key(day))
            after = Counter(_counts(found[0]) if found else {})
            after.update(counts)
            row = {
                "PartitionKey": name,
                "RowKey": day,
                **{kind: int64(number) for kind, number in after.items()},
            }
            write = tables.replace(row, found[1]) if found else tables.create(row)
            try:
                await self._storage.transact(self._table, [write])
            except WriteRefused:
                continue
            return
        raise CountsNotKept(name, day)

    async def read(self, name: str, day: str) -> dict[str, int]:
        """Give the counts of a day; empty when nothing was counted."""
        found = await self._storage.get(self._table, key(name), key(day))
        return _counts(found[0]) if found else {}

    async def forget_until(self, name: str, day: str) -> int:
        """Remove the counts of a day and of all days before it; say of how many."""
        return await delete_rows(self._storage, self._table, key(name), until=key(day))


def _counts(row: Mapping[str, object]) -> dict[str, int]:
    return {kind: whole(value) for kind, value in row.items() if kind not in _KEYS}
