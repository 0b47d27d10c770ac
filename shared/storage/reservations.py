"""Rows that many write at the same time: what was reserved, in the table ``reservations``.

A row is changed by reading it and writing it back with its ETag. Who changes the same row in this process at
the same time goes together, in one write (fifty sagas that ask at once are a handful of writes); only
processes contend, and they stand back for a random moment before they try again.
"""

import asyncio
import random
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from shared.saga.codec import decode, encode
from shared.storage import tables
from shared.storage.emptying import delete_row
from shared.storage.errors import ReservationsBusy
from shared.storage.rows import key, pack, unpack
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_ROW = "now"

#: Writes of one change before it is given up, and the longest pause before the second (s); pauses double.
TRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S = 12, 0.02, 2.0

#: Rows that a process keeps with their ETags.
ROWS_KEPT = 512


class Row[S]:
    """The row at ``place`` (partition, row) and those who wait to change it.

    A kept copy that is stale costs one refused write; without ``keep`` the row is read for every change.
    """

    def __init__(
        self,
        storage: TableStore,
        table: str,
        place: tuple[str, str],
        empty: S,
        *,
        pause: Callable[[float], Awaitable[None]],
        keep: bool = True,
        form: Form = Form.RESERVATION,
    ) -> None:
        self._storage = storage
        self._table = table
        self._place = place
        self._keep = keep
        self._form = form
        self._empty = empty
        self._pause = pause
        self._lock = asyncio.Lock()
        self._changes: list[_Change[S]] = []
        self._known: tuple[S, str] | None = None

    async def change[R](self, how: Callable[[S], tuple[S, R]]) -> R:
        """Change the row; gives what ``how`` says beside the new row. It may be called more than once.

        Raises:
            ReservationsBusy: others changed it at the same time, again and again; nothing was changed.
        """
        mine: _Change[S] = _Change(how)
        self._changes.append(mine)
        async with self._lock:
            if not mine.done:
                await self._change_all()
        if mine.error is not None:
            raise mine.error
        answer: R = mine.answer
        return answer

    async def _change_all(self) -> None:
        """Make the changes of all who wait, in the order of their coming, by one write.

        What keeps it from being made is the error of all; if it was cancelled, the others hear of a busy row.
        """
        batch, self._changes = self._changes, []
        try:
            await self._write(batch)
        finally:
            met = sys.exception()
            problem = met if isinstance(met, Exception) else ReservationsBusy(self._place[0])
            for each in batch:
                if not each.done:
                    each.done, each.error = True, problem

    async def _write(self, batch: "list[_Change[S]]") -> None:
        for number in range(TRIES):
            if number:
                await self._pause(_pause_s(number))
            before, etag = self._known or await self._read()
            after, answers = before, []
            for each in batch:
                after, answer = each.how(after)
                answers.append(answer)
            if after != before:
                entity = pack(*self._place, encode(after), self._form)
                write = tables.replace(entity, etag) if etag else tables.create(entity)
                self._known = None
                try:
                    [etag] = await self._storage.transact(self._table, [write])
                except WriteRefused:
                    continue
            self._known = (after, etag) if self._keep else None
            for each, answer in zip(batch, answers, strict=True):
                each.done, each.answer = True, answer
            return
        raise ReservationsBusy(self._place[0])

    async def _read(self) -> tuple[S, str]:
        found = await self._storage.get(self._table, *self._place)
        if found is None:
            return self._empty, ""
        kind: type[S] = type(self._empty)
        return decode(kind, unpack(found[0], self._form)), found[1]


@dataclass(slots=True)
class _Change[S]:
    how: Callable[[S], tuple[S, Any]]
    done: bool = False
    answer: Any = None
    error: Exception | None = field(default=None)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it was read; ``data`` is its record's JSON."""

    name: str
    data: Any
    etag: str


class ReservationTable:
    """The rows of the table ``reservations``, by kind and name. ``pause`` is for tests."""

    def __init__(
        self,
        storage: TableStore,
        *,
        table: str = "reservations",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._storage = storage
        self._table = table
        self._pause = pause
        self._rows: OrderedDict[str, Row[Any]] = OrderedDict()

    async def all(self, *, after: str, size: int) -> list[StoredRow]:
        """The next ``size`` rows behind the name ``after``; fewer only at the end."""
        found: list[StoredRow] = []
        async for row, etag in self._storage.across(self._table, after=after, until="~", page=size):
            found.append(StoredRow(row["PartitionKey"], unpack(row, Form.RESERVATION), etag))
            if len(found) == size:
                break
        return found

    async def forget(self, row: StoredRow) -> bool:
        """Remove a row, if it is still as it was read. Who has it in mind finds it gone, and begins anew."""
        return await delete_row(self._storage, self._table, row.name, _ROW, row.etag)

    def row[S](self, name: str, empty: S) -> Row[S]:
        """Give the row of a name, whose record is of the type of ``empty``, and that while there is none."""
        partition = key(name)
        row: Row[S] | None = self._rows.get(partition)
        if row is None:
            row = Row(self._storage, self._table, (partition, _ROW), empty, pause=self._pause)
            self._rows[partition] = row
        self._rows.move_to_end(partition)
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return row


def _pause_s(number: int) -> float:
    """Give a random pause; what is drawn is no secret."""
    return random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number))  # noqa: S311
