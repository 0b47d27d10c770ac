"""What a comparison of the catalogue with Azure has found, in the table ``findings``.

| partition | row | holds |
|---|---|---|
| ``open`` | ``<id>`` | a finding; the id follows from its kind and what it is about |
| ``passes`` | ``last`` | when the last comparison was begun, and the one before |
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.saga.codec import decode, encode
from shared.storage import tables
from shared.storage.errors import FindingNotFound
from shared.storage.rows import int64, key, pack, unpack, whole
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_OPEN, _PASSES, _LAST = "open", "passes", "last"


class FindingKind(StrEnum):
    """What does not agree."""

    ORPHAN = "orphan"
    """Something with Stillframe's tags that no record names."""

    MISSING = "missing"
    """A record names what is not there."""

    MISMATCH = "mismatch"
    """The tags are not those of the record that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not agree. ``point_id`` is that of its tags or record; times in ms."""

    kind: FindingKind
    resource_id: str
    point_id: str
    policy: str
    detail: str
    first_seen: int
    last_seen: int

    @property
    def finding_id(self) -> str:
        """The id, the same whenever it is found: 20 hex digits."""
        return hashlib.sha256(f"{self.kind}\n{self.resource_id.lower()}".encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Passes:
    """When the last two comparisons were begun (ms since the epoch), None before there was one."""

    last: int | None = None
    before: int | None = None


class FindingTable:
    """The findings, in the table ``findings``."""

    def __init__(self, storage: TableStore, *, table: str = "findings") -> None:
        self._storage = storage
        self._table = table

    async def note(self, finding: Finding) -> bool:
        """Write a finding down; one that was known keeps the time of its first sight. Say if it is new."""
        found = await self._storage.get(self._table, _OPEN, key(finding.finding_id))
        if found is not None:
            finding = replace(finding, first_seen=decode(Finding, unpack(found[0], Form.FINDING)).first_seen)
        row = pack(_OPEN, key(finding.finding_id), encode(finding), Form.FINDING)
        await self._storage.transact(self._table, [tables.upsert(row)])
        return found is None

    async def get(self, finding_id: str) -> Finding:
        """Read a finding. Raises ``FindingNotFound``."""
        found = await self._storage.get(self._table, _OPEN, key(finding_id))
        if found is None:
            raise FindingNotFound(finding_id)
        return decode(Finding, unpack(found[0], Form.FINDING))

    async def all(self, after: str = "") -> AsyncIterator[Finding]:
        """All findings behind the id ``after``, in the order of their ids."""
        async for row, _ in self._storage.rows(self._table, _OPEN, after=after, until="~"):
            yield decode(Finding, unpack(row, Form.FINDING))

    async def close(self, finding_id: str) -> None:
        """Remove a finding; one that is not there is fine."""
        try:
            await self._storage.transact(self._table, [tables.delete(_OPEN, key(finding_id))])
        except WriteRefused as error:
            if error.status != 404:
                raise

    async def passes(self) -> Passes:
        """Say when the last comparisons were begun."""
        found = await self._storage.get(self._table, _PASSES, _LAST)
        if found is None:
            return Passes()
        before = found[0].get("before")
        return Passes(whole(found[0]["last"]), whole(before) if before is not None else None)

    async def begin_pass(self, now: int) -> Passes:
        """Write down that a comparison begins; give when this and the one before were begun."""
        passes = Passes(now, (await self.passes()).last)
        row = {"PartitionKey": _PASSES, "RowKey": _LAST, "last": int64(now)}
        if passes.before is not None:
            row["before"] = int64(passes.before)
        await self._storage.transact(self._table, [tables.upsert(row)])
        return passes
