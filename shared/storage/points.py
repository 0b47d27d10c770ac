"""The catalogue of recovery points, in the table ``points``. Nothing reads more than ranges of a partition.

| partition | row | holds |
|---|---|---|
| ``vm-<hash of the VM's id>`` | ``at-<time>-<point>`` | the recovery point; the only row of it that changes |
| ``all`` | ``at-<time>-<point>`` | whose it is; the order of all |
| ``all`` | ``policy,<name>,at-<time>-<point>`` | whose it is; the order of a policy, or of none |
| ``all`` | ``policy,<name>,vm-<hash>`` | a VM that the policy has points of |
| ``all`` | ``name,<VM's name>,<hash>`` | which VMs have this name |
| ``all`` | ``point,<point>`` | where the point is, and its evidence |
| ``scopes`` | ``<subscription>,<resource group>`` | where snapshots were made; reconciliation looks there |

The time in a key is counted down to the year 2286, so that the newest comes first. A point takes two writes:
its own row, and all others in one transaction. Their partition takes 2,000 rows a second: 400 points.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ServiceResponseError

from shared.saga.codec import decode, encode
from shared.storage import tables
from shared.storage.errors import PointChanged, PointNotFound
from shared.storage.merging import merged
from shared.storage.point_records import PointRecord
from shared.storage.rows import key, pack, unpack
from shared.storage.tables import Operation, TableStore, WriteRefused
from shared.storage.upcasts import Form

_ALL, _SCOPES = "all", "scopes"
_AT, _VM, _NAME, _POINT = "at-", "vm-", "name,", "point,"
#: ms of 2286-11-20, the last time of thirteen digits.
LAST_MS = 9_999_999_999_999
_PLACE = re.compile("[0-9]{13}-[A-Za-z0-9_-]{1,100}")
#: Rows that are read at once where the order and the point are in different partitions.
_AT_ONCE = 32
#: Scopes that a process remembers to have written.
_SCOPES_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A recovery point as it is stored. ``place`` orders it among all: newer ones have smaller places."""

    record: PointRecord
    etag: str
    place: str


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource group in which Stillframe made snapshots."""

    subscription_id: str
    resource_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the order: created from ``since`` on and before ``until`` (ms), behind ``after``."""

    since: int | None = None
    until: int | None = None
    after: str = ""

    def between(self) -> tuple[str, str]:
        """Give the row keys between which they lie: behind the first one, and up to the second one."""
        first = _AT if self.until is None else f"{_AT}{_countdown(self.until - 1)}"
        last = "at." if self.since is None else f"{_AT}{_countdown(self.since)}."
        return max(first, f"{_AT}{self.after}"), last


class PointTable:
    """The recovery points, in the table ``points``."""

    def __init__(self, storage: TableStore, *, table: str = "points") -> None:
        self._storage = storage
        self._table = table
        self._scopes: set[Scope] = set()

    async def record(self, record: PointRecord, evidence: Any) -> None:
        """Write a point and its evidence (JSON) down; again changes nothing, whatever became of it."""
        place, vm = place_of(record), _vm_hash(record.vm_id)
        policy, name = _of_policy(record.policy), _name(record.vm_id)
        where = {"vm": record.vm_id, "place": place, "evidence": evidence}
        found_by = (f"{_AT}{place}", f"{policy}{_AT}{place}", f"{policy}{_VM}{vm}", f"{_NAME}{name},{vm}")
        await _together(
            self._create(pack(_of_vm(record.vm_id), key(_AT + place), encode(record), Form.POINT)),
            self._upsert(
                *({"PartitionKey": _ALL, "RowKey": key(row), "vm": record.vm_id} for row in found_by),
                pack(_ALL, key(f"{_POINT}{record.point_id}"), where, Form.EVIDENCE),
            ),
        )

    async def get(self, point_id: str) -> StoredPoint:
        """Read a recovery point. Raises ``PointNotFound``."""
        where = await self._where(point_id)
        found = await self._read(where["vm"], where["place"]) if where else None
        if found is None:
            raise PointNotFound(point_id)
        return found

    async def evidence(self, point_id: str) -> Any:
        """Read the evidence of a recovery point (JSON); None when there is no such point."""
        where = await self._where(point_id)
        return where["evidence"] if where else None

    async def of_vms(self, vm_ids: Sequence[str], span: Span = Span()) -> AsyncIterator[StoredPoint]:
        """The recovery points of VMs, newest first."""
        sources = [self._of_vm(vm_id, span) for vm_id in vm_ids]
        async for point in merged(sources, by=lambda point: point.place):
            yield point

    async def of_policy(self, policy: str, span: Span = Span()) -> AsyncIterator[StoredPoint]:
        """The recovery points of a policy, newest first; without a name those of runs without a policy."""
        async for point in self._in_order(_of_policy(policy), span):
            yield point

    async def of_all(self, span: Span = Span()) -> AsyncIterator[StoredPoint]:
        """All recovery points, newest first."""
        async for point in self._in_order("", span):
            yield point

    async def named(self, vm_name: str) -> list[str]:
        """The ids of the VMs of this name that have recovery points; the case does not matter."""
        begin = f"{_NAME}{vm_name.lower()}"
        rows = self._storage.rows(self._table, _ALL, after=f"{begin},", until=f"{begin}-")
        return [row["vm"] async for row, _ in rows]

    async def vms_of(self, policy: str, *, after: str = "", size: int = 100) -> list[tuple[str, str]]:
        """The next VMs that a policy has recovery points of: the place to go on behind, and the VM's id."""
        found: list[tuple[str, str]] = []
        begin = f"{_of_policy(policy)}{_VM}"
        rows = self._storage.rows(
            self._table, _ALL, after=f"{begin}{after}", until=f"{begin[:-1]}.", page=size
        )
        async for row, _ in rows:
            found.append((row["RowKey"].removeprefix(begin), row["vm"]))
            if len(found) == size:
                break
        return found

    async def change(self, stored: StoredPoint, record: PointRecord) -> StoredPoint:
        """Replace what is stored of a point, if it is still as it was read.

        Raises:
            PointChanged: it is not; read it again and decide again.
        """
        row = pack(_of_vm(record.vm_id), key(_AT + stored.place), encode(record), Form.POINT)
        try:
            [etag] = await self._storage.transact(self._table, [tables.replace(row, stored.etag)])
        except (WriteRefused, ServiceResponseError) as error:
            found = await self._read(record.vm_id, stored.place)
            if found is not None and found.record == record:  # our own write, whose answer was lost
                return found
            if isinstance(error, WriteRefused):
                raise PointChanged(record.point_id) from error
            raise
        return StoredPoint(record, etag, stored.place)

    async def forget(self, stored: StoredPoint) -> None:
        """Remove all rows of a point; the one that it is found by goes last."""
        record, row = stored.record, f"{_AT}{stored.place}"
        found_by = (row, f"{_of_policy(record.policy)}{row}", f"{_POINT}{record.point_id}")
        await self._delete(_ALL, *(key(each) for each in found_by))
        await self._delete(_of_vm(record.vm_id), key(row))

    async def note_scopes(self, scopes: Iterable[Scope], *, again: bool = False) -> None:
        """Remember where snapshots were made; known ones are written ``again`` only where asked."""
        new = set(scopes) if again else set(scopes) - self._scopes
        for scope in new:
            group = scope.resource_group.lower()
            row = {"subscription": scope.subscription_id, "group": scope.resource_group}
            name = key(f"{scope.subscription_id.lower()},{group}")
            await self._upsert({"PartitionKey": _SCOPES, "RowKey": name, **row})
        if len(self._scopes) < _SCOPES_KEPT:
            self._scopes |= new

    async def scopes(self) -> list[Scope]:
        """All resource groups in which snapshots were made."""
        rows = self._storage.rows(self._table, _SCOPES, after="", until="~")
        return [Scope(row["subscription"], row["group"]) async for row, _ in rows]

    async def _where(self, point_id: str) -> Any:
        found = await self._storage.get(self._table, _ALL, key(f"{_POINT}{point_id}"))
        return unpack(found[0], Form.EVIDENCE) if found else None

    async def _read(self, vm_id: str, place: str) -> StoredPoint | None:
        found = await self._storage.get(self._table, _of_vm(vm_id), key(_AT + place))
        return _stored(*found) if found else None

    async def _of_vm(self, vm_id: str, span: Span) -> AsyncIterator[StoredPoint]:
        after, until = span.between()
        async for row, etag in self._storage.rows(self._table, _of_vm(vm_id), after=after, until=until):
            yield _stored(row, etag)

    async def _in_order(self, order: str, span: Span) -> AsyncIterator[StoredPoint]:
        """Read the points that an order names, some at once; one that is just being forgotten is left out."""
        after, until = (f"{order}{each}" for each in span.between())
        places: list[tuple[str, str]] = []
        rows = self._storage.rows(self._table, _ALL, after=after, until=until)
        async for row, _ in rows:
            places.append((row["vm"], row["RowKey"].removeprefix(f"{order}{_AT}")))
            if len(places) == _AT_ONCE:
                for point in await self._read_all(places):
                    yield point
                places = []
        for point in await self._read_all(places):
            yield point

    async def _read_all(self, places: Sequence[tuple[str, str]]) -> list[StoredPoint]:
        found = await asyncio.gather(*(self._read(vm_id, place) for vm_id, place in places))
        return [point for point in found if point is not None]

    async def _create(self, row: dict[str, Any]) -> None:
        try:
            await self._storage.transact(self._table, [tables.create(row)])
        except WriteRefused as error:
            if error.status != 409:
                raise

    async def _upsert(self, *rows: dict[str, Any]) -> None:
        operations: list[Operation] = [tables.upsert(row) for row in rows]
        await self._storage.transact(self._table, operations)

    async def _delete(self, partition: str, *rows: str) -> None:
        """Delete rows that are there together, or not at all."""
        try:
            await self._storage.transact(self._table, [tables.delete(partition, row) for row in rows])
        except WriteRefused as error:
            if error.status != 404:
                raise


def place_of(record: PointRecord) -> str:
    """Give the place of a recovery point in the order, newest first; points of one instant by their ids."""
    return f"{_countdown(record.created)}-{record.point_id}"


def is_place(text: str) -> bool:
    """Whether a text can be the place of a recovery point."""
    return _PLACE.fullmatch(text) is not None


async def _together(*writes: Awaitable[None]) -> None:
    """Do all; raise the first error once all have ended, so that none goes on behind the caller's back."""
    for ended in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


def _countdown(at: int) -> str:
    return f"{LAST_MS - min(max(at, 0), LAST_MS):013d}"


def _stored(row: dict[str, Any], etag: str) -> StoredPoint:
    return StoredPoint(decode(PointRecord, unpack(row, Form.POINT)), etag, row["RowKey"].removeprefix(_AT))


def _vm_hash(vm_id: str) -> str:
    """ARM ids vary in case, and have characters that keys forbid."""
    return hashlib.sha256(vm_id.lower().encode()).hexdigest()[:40]


def _name(vm_id: str) -> str:
    return vm_id.rpartition("/")[2].lower()


def _of_vm(vm_id: str) -> str:
    return f"vm-{_vm_hash(vm_id)}"


def _of_policy(policy: str) -> str:
    return f"policy,{policy},"
