"""Stored policies, and when each is due next.

Partition ``policies`` has a row ``policy-<name>`` with the document, and one per schedule with its next due
time and what became of the last: ``due-<name>`` for the schedule ``default``, which every policy has a row
of, and ``due-<name>.<schedule>`` for others. They are apart so that a scheduled start does not change the
ETag that users see, and that no schedule waits for another.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ServiceResponseError

from shared.policy.schedules import DEFAULT_SCHEDULE
from shared.storage import tables
from shared.storage.errors import PolicyChanged, PolicyNotFound
from shared.storage.rows import int64, key, pack, require_known, unpack, whole
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_PARTITION = "policies"

#: The ETags of Table Storage. It refuses others with 400 (InvalidInput), whatever row is meant.
_ETAG = re.compile(r"\*|W/\"datetime'[^'\"]*'\"")


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as it is stored; ``document`` is its JSON."""

    name: str
    document: dict[str, Any]
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSchedule:
    """A schedule of a policy: when it is due, and what became of the times before. Times in ms.

    ``next_due`` is None when it never is. ``last_run`` is the id of the last run that it started, at
    ``last_run_at``; ``missed_at`` the last time at which none was, ``missed_why`` a sentence.
    """

    policy: str
    schedule: str = DEFAULT_SCHEDULE
    next_due: int | None = None
    last_run: str = ""
    last_run_at: int | None = None
    missed_at: int | None = None
    missed_why: str = ""


class PolicyTable:
    """The policies, in the table ``policies``."""

    def __init__(
        self,
        storage: TableStore,
        *,
        table: str = "policies",
        token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._storage = storage
        self._table = table
        self._token = token

    async def put(
        self,
        name: str,
        document: dict[str, Any],
        etag: str | None = None,
        *,
        dues: Mapping[str, int | None] | None = None,
    ) -> StoredPolicy:
        """Store a policy and when its schedules are due next (ms since the epoch), in one transaction.

        Schedules that are not among ``dues`` are never due again. Without ``etag`` whatever is there is
        replaced. What became of earlier times is kept.

        Raises:
            PolicyChanged: an ``etag`` was given, and it is not that of the stored policy.
        """
        _check(name, etag)
        token = self._token()
        row = pack(_PARTITION, key("policy", name), document, Form.POLICY, name=name, write=token)
        first = tables.upsert(row) if etag is None else tables.replace(row, etag)
        gone = {due.schedule: None async for due in self.schedules(name)}
        wanted: dict[str, int | None] = {DEFAULT_SCHEDULE: None, **gone, **(dues or {})}
        moved = (DueSchedule(policy=name, schedule=each, next_due=due) for each, due in wanted.items())
        rows = [tables.upsert(_due_row(each, token), mode="merge") for each in moved]
        try:
            etags = await self._storage.transact(self._table, [first, *rows])
        except (WriteRefused, ServiceResponseError) as error:
            found = await self._storage.get(self._table, _PARTITION, row["RowKey"])
            if found is not None and found[0].get("write") == token:
                return StoredPolicy(name, document, found[1])
            if isinstance(error, WriteRefused):
                raise PolicyChanged(name) from error
            raise
        return StoredPolicy(name, document, etags[0])

    async def get(self, name: str) -> StoredPolicy:
        """Read a policy. Raises ``PolicyNotFound``."""
        found = await self._storage.get(self._table, _PARTITION, key("policy", name))
        if found is None:
            raise PolicyNotFound(name)
        return StoredPolicy(name, unpack(found[0], Form.POLICY), found[1])

    async def list(self) -> AsyncIterator[StoredPolicy]:
        """All policies in the order of their names."""
        async for row, etag in self._storage.rows(self._table, _PARTITION, after="policy-", until="policy."):
            yield StoredPolicy(row["name"], unpack(row, Form.POLICY), etag)

    async def page(self, after: str, size: int) -> Sequence[StoredPolicy]:
        """The next ``size`` policies behind the name ``after``; fewer only at the end."""
        found: list[StoredPolicy] = []
        behind = f"policy-{after}"
        rows = self._storage.rows(self._table, _PARTITION, after=behind, until="policy.", page=size)
        async for row, etag in rows:
            found.append(StoredPolicy(row["name"], unpack(row, Form.POLICY), etag))
            if len(found) == size:
                break
        return found

    async def delete(self, name: str, etag: str | None = None) -> None:
        """Delete a policy and its due time.

        Raises:
            PolicyNotFound: there is no such policy.
            PolicyChanged: an ``etag`` was given, and it is not that of the stored policy.
        """
        _check(name, etag)
        others = [due.schedule async for due in self.schedules(name) if due.schedule != DEFAULT_SCHEDULE]
        operations = [
            tables.delete(_PARTITION, key("policy", name), etag),
            *(tables.delete(_PARTITION, _due_key(name, each)) for each in (DEFAULT_SCHEDULE, *others)),
        ]
        try:
            await self._storage.transact(self._table, operations)
        except WriteRefused as error:
            if error.status == 404:
                raise PolicyNotFound(name) from error
            raise PolicyChanged(name) from error

    async def schedules(self, name: str) -> AsyncIterator[DueSchedule]:
        """All schedules that a policy has, or once had; empty when there is no such policy."""
        found = await self._storage.get(self._table, _PARTITION, _due_key(name, DEFAULT_SCHEDULE))
        if found is not None:
            yield _due(found[0])
        before, behind = _due_key(name, DEFAULT_SCHEDULE) + ".", _due_key(name, DEFAULT_SCHEDULE) + ".~"
        async for row, _ in self._storage.rows(self._table, _PARTITION, after=before, until=behind):
            yield _due(row)

    async def all_schedules(self) -> AsyncIterator[DueSchedule]:
        """The schedules of all policies."""
        async for row, _ in self._storage.rows(self._table, _PARTITION, after="due-", until="due."):
            yield _due(row)

    async def due(self, now: int) -> AsyncIterator[DueSchedule]:
        """The schedules that are due at ``now`` (ms since the epoch)."""
        async for each in self.all_schedules():
            if each.next_due is not None and each.next_due <= now:
                yield each

    async def next_due(self, name: str, schedule: str = DEFAULT_SCHEDULE) -> int | None:
        """When a schedule is due next (ms since the epoch); None when never, or there is no such policy."""
        found = await self._storage.get(self._table, _PARTITION, _due_key(name, schedule))
        return _due(found[0]).next_due if found else None

    async def claim_due(self, due: DueSchedule, then: DueSchedule) -> bool:
        """Move a schedule on from ``due`` to ``then``; whoever gets True is the only one who did."""
        row = _due_key(due.policy, due.schedule)
        found = await self._storage.get(self._table, _PARTITION, row)
        if not found or due.next_due is None or _due(found[0]).next_due != due.next_due:
            return False
        token = self._token()
        try:
            await self._storage.transact(self._table, [tables.replace(_due_row(then, token), found[1])])
        except (WriteRefused, ServiceResponseError) as error:
            after = await self._storage.get(self._table, _PARTITION, row)
            if after is not None and after[0].get("write") == token:
                return True
            if isinstance(error, WriteRefused):
                return False
            raise
        return True


def _check(name: str, etag: str | None) -> None:
    """Tell an ETag that no stored policy can have; ``*`` is that of any."""
    if etag is not None and not _ETAG.fullmatch(etag):
        raise PolicyChanged(name)


def _due_key(name: str, schedule: str) -> str:
    """Name a schedule's row. No name has a dot in it, so no policy's rows lie among another's."""
    return key("due", name if schedule == DEFAULT_SCHEDULE else f"{name}.{schedule}")


def _due_row(due: DueSchedule, token: str) -> dict[str, Any]:
    numbers = {"last_run_at": due.last_run_at, "missed_at": due.missed_at}
    texts = {"last_run": due.last_run, "missed_why": due.missed_why}
    return {
        "PartitionKey": _PARTITION,
        "RowKey": _due_key(due.policy, due.schedule),
        "name": due.policy,
        "schedule": due.schedule,
        "scheduled": due.next_due is not None,
        "next_due": int64(due.next_due or 0),
        "write": token,
        **{name: int64(number) for name, number in numbers.items() if number is not None},
        **{name: text for name, text in texts.items() if text},
    }


def _due(row: Mapping[str, Any]) -> DueSchedule:
    """Read a schedule's row; those of before there were several lack the name and what became of it."""
    require_known(row, Form.DUE)
    return DueSchedule(
        policy=row["name"],
        schedule=row.get("schedule", DEFAULT_SCHEDULE),
        next_due=whole(row["next_due"]) if row["scheduled"] else None,
        last_run=row.get("last_run", ""),
        last_run_at=whole(row["last_run_at"]) if "last_run_at" in row else None,
        missed_at=whole(row["missed_at"]) if "missed_at" in row else None,
        missed_why=row.get("missed_why", ""),
    )
