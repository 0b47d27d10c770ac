"""Runs in Table Storage.

| partition | row | holds |
|---|---|---|
| the run's id | ``run`` | the run; it exists from the moment that this row does |
| the run's id | ``vm-<saga id>`` | the index row of one VM |
| the run's id | ``told-<what>`` | nothing; somebody was told of this already |
| ``active`` | ``run-<run id>`` | nothing; the sweep walks these |

Of the same table are ``selections.py``, ``claims.py``, ``turns.py``, ``groups.py`` and ``run_list.py``.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import batched

from shared.storage import tables
from shared.storage.emptying import delete_rows
from shared.storage.errors import RunExists, RunNotFound
from shared.storage.rows import key
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.run_rows import RUN, VM, entry_of, entry_row, run_of, run_row
from shared.storage.tables import MAX_OPERATIONS, TableStore, WriteRefused

_ACTIVE = "active"
_TOLD = "told"


class RunTable:
    """The runs, in the table ``runs``."""

    def __init__(self, storage: TableStore, *, table: str = "runs") -> None:
        self._storage = storage
        self._table = table

    async def create(self, record: RunRecord, entries: Sequence[RunEntry]) -> None:
        """Write a run and its index; the same record again changes nothing.

        The active row comes first, so that no run can be forgotten. Up to 99 VMs the rest is one transaction;
        with more the index comes next, in batches, and the run row last.

        Raises:
            RunExists: a different run of this id is there.
            WriteRefused: it was refused although there is none.
        """
        run_id = key(record.run_id)
        await self._write([tables.upsert({"PartitionKey": _ACTIVE, "RowKey": key(RUN, run_id)})])
        # Merged, so that a repeated creation cannot undo what an index row says by then.
        index = [tables.upsert(entry_row(run_id, entry, brief=True), mode="merge") for entry in entries]
        if len(index) >= MAX_OPERATIONS:
            for batch in batched(index, MAX_OPERATIONS, strict=False):
                await self._write(list(batch))
            index = []
        try:
            await self._write([tables.create(run_row(record)), *index])
        except WriteRefused as error:
            found = await self._record(run_id)
            if found is None:  # refused for another reason: nobody must take it for made
                raise
            if found != record:
                raise RunExists(run_id) from error

    async def get(self, run_id: str) -> RunRecord:
        """Read a run. Raises ``RunNotFound``."""
        record = await self._record(run_id)
        if record is None:
            raise RunNotFound(run_id)
        return record

    async def _record(self, run_id: str) -> RunRecord | None:
        found = await self._storage.get(self._table, key(run_id), RUN)
        if found is None:
            return None
        return run_of(found[0])

    async def entries(self, run_id: str) -> AsyncIterator[RunEntry]:
        """All index rows of a run in the order of their saga ids, 1,000 per request."""
        async for row, _ in self._storage.rows(self._table, key(run_id), after="vm-", until="vm."):
            yield entry_of(row)

    async def page(self, run_id: str, after: str | None = None, size: int = 100) -> list[RunEntry]:
        """The next ``size`` index rows after the saga id ``after``; fewer only at the end."""
        found: list[RunEntry] = []
        last = f"vm-{after or ''}"
        rows = self._storage.rows(self._table, key(run_id), after=last, until="vm.", page=size)
        async for row, _ in rows:
            found.append(entry_of(row))
            if len(found) == size:
                break
        return found

    async def end_entry(self, run_id: str, entry: RunEntry) -> None:
        """Say how one VM of the run ended, without a read; doing it again changes nothing.

        Raises:
            RunNotFound: the run has no such VM.
        """
        try:
            await self._write([tables.merge(entry_row(key(run_id), entry))])
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def try_again(self, run_id: str, ended: RunEntry, following: RunEntry) -> None:
        """Say how a try of a VM ended, and add its next one, all or nothing; doing it again changes nothing.

        Raises:
            RunNotFound: the run has no such VM.
        """
        run = key(run_id)
        try:
            await self._write(
                [
                    tables.merge(entry_row(run, replace(ended, retried=True))),
                    tables.upsert(entry_row(run, following, brief=True), mode="merge"),
                ]
            )
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def request_cancel(self, run_id: str) -> None:
        """Mark the run as to be cancelled. Raises ``RunNotFound``."""
        try:
            await self._write(
                [tables.merge({"PartitionKey": key(run_id), "RowKey": RUN, "cancel_requested": True})]
            )
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def was_told(self, run_id: str, what: str) -> bool:
        """Whether ``note_told`` was called with the same arguments."""
        return await self._storage.get(self._table, key(run_id), key(_TOLD, what)) is not None

    async def note_told(self, run_id: str, what: str) -> None:
        """Note that somebody was told of something about a run; doing it again changes nothing."""
        await self._write([tables.upsert({"PartitionKey": key(run_id), "RowKey": key(_TOLD, what)})])

    async def active(self) -> AsyncIterator[str]:
        """The ids of all runs that were not retired, in the order of their ids.

        One of them may have no run row: its creation is going on, or was broken off.
        """
        async for row, _ in self._storage.rows(self._table, _ACTIVE, after="run-", until="run."):
            yield row["RowKey"].removeprefix("run-")

    async def retire(self, run_id: str) -> None:
        """Take the run off the sweep's list; doing it again changes nothing."""
        try:
            await self._write([tables.delete(_ACTIVE, key(RUN, run_id))])
        except WriteRefused:
            return

    async def is_active(self, run_id: str) -> bool:
        """Whether a run was not retired yet."""
        return await self._storage.get(self._table, _ACTIVE, key(RUN, run_id)) is not None

    async def has_entry(self, run_id: str, saga_id: str) -> bool:
        """Whether the index of a run has a row of this saga."""
        return await self._storage.get(self._table, key(run_id), key(VM, saga_id)) is not None

    async def forget_entries(self, run_id: str, first: str, last: str) -> None:
        """Remove the index rows of the sagas from ``first`` to ``last``; again changes nothing."""
        await delete_rows(
            self._storage, self._table, key(run_id), after=f"{VM}-{first[:-1]}", until=key(VM, last)
        )

    async def forget(self, run_id: str) -> None:
        """Remove all that is stored under a run's id, the run itself last; again changes nothing."""
        await delete_rows(self._storage, self._table, key(run_id), last=RUN)

    async def _write(self, operations: list[tables.Operation]) -> None:
        await self._storage.transact(self._table, operations)
