"""The runs by time, newest first, in the table ``runs``: what a list of runs is read from, a range at a time.

| partition | row | holds |
|---|---|---|
| ``list`` | ``<time, counted backwards>-<run id>`` | a run, and its figures once all its VMs have ended |
| ``list-<policy>`` | the same | the runs of one policy |
"""

import re
from dataclasses import dataclass
from typing import Any

from shared.storage import tables
from shared.storage.emptying import delete_row
from shared.storage.rows import int64, key, require_known, whole
from shared.storage.tables import TableStore
from shared.storage.upcasts import Form

#: Times are counted back from here (ms since the epoch; the year 5138), so that the newest row comes first.
_END_OF_TIME = 10**14 - 1
_PLACE = re.compile(r"[0-9]{14}-[0-9A-Za-z-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run came to: VMs that ended, those of them that failed, and warnings."""

    ended: int
    failed: int
    warnings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """A run in the list. ``created_at`` is ms since the epoch; ``figures`` is None while it goes on."""

    run_id: str
    created_at: int
    policy_name: str
    requested_by: str
    vm_count: int
    figures: Figures | None = None

    @property
    def place(self) -> str:
        """Where it stands in the list."""
        return f"{_END_OF_TIME - self.created_at:014d}-{self.run_id}"


class RunList:
    """The list of runs."""

    def __init__(self, storage: TableStore, *, table: str = "runs") -> None:
        self._storage = storage
        self._table = table

    async def put(self, run: ListedRun) -> None:
        """Put a run into the list, or its figures; doing it again changes nothing."""
        for partition in _partitions(run.policy_name):
            row = _row(partition, run)
            await self._storage.transact(self._table, [tables.upsert(row, mode="merge")])

    async def forget(self, run: ListedRun) -> None:
        """Take a run out of the list; out of that of all runs last, which it is found by."""
        for partition in reversed(_partitions(run.policy_name)):
            await delete_row(self._storage, self._table, partition, key(run.place))

    async def page(
        self, *, policy: str, since: int | None, until: int | None, after: str, limit: int
    ) -> list[ListedRun]:
        """The next ``limit`` runs after the place ``after``, newest first; fewer only at the end.

        Those that began at ``since`` or later, and before ``until`` (ms since the epoch).
        """
        begin = max(after, f"{_END_OF_TIME - until:014d}-~" if until is not None else "")
        end = f"{_END_OF_TIME - since:014d}-~" if since is not None else "~"
        if begin >= end:
            return []
        found: list[ListedRun] = []
        partition = key("list", policy) if policy else "list"
        rows = self._storage.rows(self._table, partition, after=begin, until=end, page=limit)
        async for row, _ in rows:
            found.append(_listed(row))
            if len(found) == limit:
                break
        return found


def is_place(text: str) -> bool:
    """Whether a text may be a place in the list."""
    return _PLACE.fullmatch(text) is not None


def _partitions(policy: str) -> tuple[str, ...]:
    return ("list", key("list", policy)) if policy else ("list",)


def _row(partition: str, run: ListedRun) -> dict[str, Any]:
    figures = run.figures
    counts = (
        {"ended": figures.ended, "failed": figures.failed, "warnings": figures.warnings} if figures else {}
    )
    return {
        "PartitionKey": partition,
        "RowKey": key(run.place),
        "created_at": int64(run.created_at),
        "policy": run.policy_name,
        "requested_by": run.requested_by,
        "vm_count": int64(run.vm_count),
        **{name: int64(count) for name, count in counts.items()},
    }


def _listed(row: dict[str, Any]) -> ListedRun:
    require_known(row, Form.LISTED_RUN)
    figures = None
    if "ended" in row:
        counts = {name: whole(row[name]) for name in ("ended", "failed", "warnings")}
        figures = Figures(**counts)
    return ListedRun(
        run_id=row["RowKey"].partition("-")[2],
        created_at=whole(row["created_at"]),
        policy_name=row["policy"],
        requested_by=row["requested_by"],
        vm_count=whole(row["vm_count"]),
        figures=figures,
    )
