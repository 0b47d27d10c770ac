"""The selection of a run's VMs as it goes on: rows beside the run's, in the table ``runs``.

| partition | row | holds |
|---|---|---|
| the run's id | ``unread-<place>`` | a part of Azure that the selection could not read, and why |

The VMs that it brings are rows of the run's index, and how far it is stands in the run's own row.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import batched

from shared.storage import tables
from shared.storage.errors import RunNotFound
from shared.storage.rows import int64, key, pack, unpack
from shared.storage.run_records import RunEntry, RunRecord, RunSelection, Unread
from shared.storage.run_rows import REASON_CHARS, RUN, VM, entry_row
from shared.storage.tables import MAX_OPERATIONS, TableStore, WriteRefused
from shared.storage.upcasts import Form, members_of


class SelectionTable:
    """The selections of runs."""

    def __init__(self, storage: TableStore, *, table: str = "runs") -> None:
        self._storage = storage
        self._table = table

    async def add_entries(self, run_id: str, entries: Sequence[RunEntry]) -> None:
        """Add VMs to the index of a run whose selection goes on; doing it again changes nothing."""
        index = [tables.upsert(entry_row(key(run_id), entry, brief=True), mode="merge") for entry in entries]
        for batch in batched(index, MAX_OPERATIONS, strict=False):
            await self._write(list(batch))

    async def drop_entry(self, run_id: str, saga_id: str) -> None:
        """Take a VM out of the index of a run whose selection goes on; doing it again changes nothing."""
        try:
            await self._write([tables.delete(key(run_id), key(VM, saga_id))])
        except WriteRefused:
            return

    async def add_unread(self, run_id: str, place: str, unread: Unread) -> None:
        """Note what a selection could not read; ``place`` is the same for the same part."""
        data = {"scope": unread.scope, "code": unread.code, "detail": unread.detail[:REASON_CHARS]}
        await self._write([tables.upsert(pack(key(run_id), key("unread", place), data, Form.UNREAD))])

    async def note(self, run_id: str, selection: RunSelection, vm_count: int) -> None:
        """Say how far the selection of a run is. Raises ``RunNotFound``."""
        row = {
            "PartitionKey": key(run_id),
            "RowKey": RUN,
            "selected": selection.done,
            "select_at": int64(selection.looked_at),
            "select_excluded": selection.excluded,
            "select_count": vm_count,
        }
        try:
            await self._write([tables.merge(row)])
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def with_unread(self, record: RunRecord) -> RunRecord:
        """Give the record with what its selection could not read."""
        if record.selection is None:
            return record
        unread = [
            Unread(**members_of(Unread, unpack(row, Form.UNREAD)))
            async for row, _ in self._storage.rows(
                self._table, key(record.run_id), after="unread-", until="unread."
            )
        ]
        return replace(record, selection=replace(record.selection, unread=tuple(unread)))

    async def _write(self, operations: list[tables.Operation]) -> None:
        await self._storage.transact(self._table, operations)
