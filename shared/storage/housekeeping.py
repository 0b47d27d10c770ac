"""How far housekeeping is, and what it came to last time, in the table ``housekeeping``.

| partition | row | holds |
|---|---|---|
| ``pass`` | ``now`` | the pass that goes on: the room, the place in it, what was removed so far |
| ``pass`` | ``last`` | the pass that ended last |
"""

from dataclasses import dataclass, field

from shared.saga.codec import decode, encode
from shared.storage import tables
from shared.storage.emptying import delete_row
from shared.storage.rows import pack, unpack
from shared.storage.tables import TableStore
from shared.storage.upcasts import Form

_PASS, _NOW, _LAST = "pass", "now", "last"


@dataclass(frozen=True, slots=True)
class Removed:
    """That so many things of a kind were removed."""

    what: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A pass through all rooms. Times in ms since the epoch; ``ended_at`` is None while it goes on.

    ``room`` is the one that it is in, and ``after`` the place there behind which it goes on. ``failed`` has
    the rooms that could not be finished, and the class of the error.
    """

    began_at: int
    room: str = ""
    after: str = ""
    removed: tuple[Removed, ...] = ()
    failed: tuple[str, ...] = ()
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Passes:
    """The pass that goes on, and the last that ended; None where there is none."""

    now: Pass | None = None
    last: Pass | None = field(default=None)


class HousekeepingTable:
    """The passes, in the table ``housekeeping``."""

    def __init__(self, storage: TableStore, *, table: str = "housekeeping") -> None:
        self._storage = storage
        self._table = table

    async def passes(self) -> Passes:
        """Read both."""
        rows = self._storage.rows(self._table, _PASS, after="", until="~")
        found = {row["RowKey"]: decode(Pass, unpack(row, Form.HOUSEKEEPING)) async for row, _ in rows}
        return Passes(found.get(_NOW), found.get(_LAST))

    async def go_on(self, going_on: Pass) -> None:
        """Write down how far the pass is."""
        await self._storage.transact(
            self._table, [tables.upsert(pack(_PASS, _NOW, encode(going_on), Form.HOUSEKEEPING))]
        )

    async def end(self, ended: Pass) -> None:
        """Write down what a pass came to; the next one begins anew."""
        await self._storage.transact(
            self._table, [tables.upsert(pack(_PASS, _LAST, encode(ended), Form.HOUSEKEEPING))]
        )
        await delete_row(self._storage, self._table, _PASS, _NOW)
