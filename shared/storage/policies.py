"""Stored policies, and when each is due next.

Partition ``policies`` has two rows per policy: ``policy-<name>`` with the document, and ``due-<name>`` with
the next due time. They are apart so that a scheduled start does not change the ETag that users see.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ServiceResponseError

from shared.storage import tables
from shared.storage.errors import PolicyChanged, PolicyNotFound
from shared.storage.rows import int64, key, pack, unpack, whole
from shared.storage.tables import TableStore, WriteRefused

_PARTITION = "policies"

#: The ETags of Table Storage. It refuses others with 400 (InvalidInput), whatever row is meant.
_ETAG = re.compile(r"\*|W/\"datetime'[^'\"]*'\"")


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as it is stored; ``document`` is its JSON."""

    name: str
    document: dict[str, Any]
    etag: str


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
        self, name: str, document: dict[str, Any], etag: str | None = None, *, next_due: int | None = None
    ) -> StoredPolicy:
        """Store a policy and when it is due next (ms since the epoch; None: never), in one transaction.

        Without ``etag`` whatever is there is replaced.

        Raises:
            PolicyChanged: an ``etag`` was given, and it is not that of the stored policy.
        """
        _check(name, etag)
        token = self._token()
        row = pack(_PARTITION, key("policy", name), document, name=name, write=token)
        first = tables.upsert(row) if etag is None else tables.replace(row, etag)
        try:
            etags = await self._storage.transact(
                self._table, [first, tables.upsert(_due_row(name, next_due, token))]
            )
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
        return StoredPolicy(name, unpack(found[0]), found[1])

    async def list(self) -> AsyncIterator[StoredPolicy]:
        """All policies in the order of their names."""
        async for row, etag in self._storage.rows(self._table, _PARTITION, after="policy-", until="policy."):
            yield StoredPolicy(row["name"], unpack(row), etag)

    async def delete(self, name: str, etag: str | None = None) -> None:
        """Delete a policy and its due time.

        Raises:
            PolicyNotFound: there is no such policy.
            PolicyChanged: an ``etag`` was given, and it is not that of the stored policy.
        """
        _check(name, etag)
        operations = [
            tables.delete(_PARTITION, key("policy", name), etag),
            tables.delete(_PARTITION, key("due", name)),
        ]
        try:
            await self._storage.transact(self._table, operations)
        except WriteRefused as error:
            if error.status == 404:
                raise PolicyNotFound(name) from error
            raise PolicyChanged(name) from error

    async def due(self, now: int) -> AsyncIterator[tuple[str, int]]:
        """The policies that are due at ``now`` (ms since the epoch), each with the time it was due at."""
        async for row, _ in self._storage.rows(self._table, _PARTITION, after="due-", until="due."):
            due = whole(row["next_due"])
            if row["scheduled"] and due <= now:
                yield row["name"], due

    async def next_due(self, name: str) -> int | None:
        """When a policy is due next (ms since the epoch); None when never, or there is no such policy."""
        found = await self._storage.get(self._table, _PARTITION, key("due", name))
        return whole(found[0]["next_due"]) if found and found[0]["scheduled"] else None

    async def claim_due(self, name: str, due: int, next_due: int | None) -> bool:
        """Move the due time on from ``due`` to ``next_due``; whoever gets True is the only one who did."""
        found = await self._storage.get(self._table, _PARTITION, key("due", name))
        if not found or not found[0]["scheduled"] or whole(found[0]["next_due"]) != due:
            return False
        token = self._token()
        try:
            await self._storage.transact(
                self._table, [tables.replace(_due_row(name, next_due, token), found[1])]
            )
        except (WriteRefused, ServiceResponseError) as error:
            after = await self._storage.get(self._table, _PARTITION, key("due", name))
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


def _due_row(name: str, next_due: int | None, token: str) -> dict[str, Any]:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": key("due", name),
        "name": name,
        "scheduled": next_due is not None,
        "next_due": int64(next_due or 0),
        "write": token,
    }
