"""Idempotency keys, in the table ``runs``: which run the first request with a key became.

| partition | row | holds |
|---|---|---|
| ``key-<SHA-256>`` | ``claim`` | which run the first request with this idempotency key became |
"""

import hashlib
from dataclasses import dataclass

from shared.storage import tables
from shared.storage.emptying import delete_row
from shared.storage.errors import IdempotencyMismatch
from shared.storage.rows import int64, key, pack, unpack, whole
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Claim:
    """That an idempotency key became a run. ``at`` is ms since the epoch; None where nobody wrote it down."""

    place: str
    run_id: str
    at: int | None
    etag: str


class ClaimTable:
    """The claims of idempotency keys."""

    def __init__(self, storage: TableStore, *, table: str = "runs") -> None:
        self._storage = storage
        self._table = table

    async def claim(
        self, idempotency_key: str, request_digest: str, run_id: str, *, at: int | None = None
    ) -> str:
        """Claim the key for ``run_id``; returns the run id of the first claim, which may be an earlier one.

        ``at`` is now, ms since the epoch: housekeeping goes by it.

        Raises:
            IdempotencyMismatch: the first claim was for another request.
        """
        partition = _partition(idempotency_key)
        wanted = {"request_digest": request_digest, "run_id": run_id}
        try:
            made = {"at": int64(at)} if at is not None else {}
            await self._storage.transact(
                self._table, [tables.create(pack(partition, _CLAIM, wanted, Form.CLAIM, **made))]
            )
        except WriteRefused:
            found = await self._storage.get(self._table, partition, _CLAIM)
            if found is None:
                raise
        else:
            return run_id
        first = unpack(found[0], Form.CLAIM)
        if first["request_digest"] != request_digest:
            raise IdempotencyMismatch(idempotency_key, first["run_id"])
        return str(first["run_id"])

    async def claimed(self, idempotency_key: str) -> str | None:
        """Give the run that the first request with this key became; None if there was no such request."""
        found = await self._storage.get(self._table, _partition(idempotency_key), _CLAIM)
        return str(unpack(found[0], Form.CLAIM)["run_id"]) if found else None

    async def page(self, *, after: str, size: int) -> list[Claim]:
        """The next ``size`` claims of idempotency keys behind the place ``after``; fewer only at the end."""
        found: list[Claim] = []
        rows = self._storage.across(self._table, after=max(after, "key-"), until="key.", page=size)
        async for row, etag in rows:
            at = whole(row["at"]) if "at" in row else None
            found.append(Claim(row["PartitionKey"], str(unpack(row, Form.CLAIM)["run_id"]), at, etag))
            if len(found) == size:
                break
        return found

    async def date(self, claim: Claim, at: int) -> None:
        """Say when a claim was seen that does not say when it was made."""
        row = {"PartitionKey": claim.place, "RowKey": _CLAIM, "at": int64(at)}
        try:
            await self._storage.transact(self._table, [tables.merge(row)])
        except WriteRefused:
            return

    async def forget(self, claim: Claim) -> bool:
        """Remove a claim, if it is still as it was read."""
        return await delete_row(self._storage, self._table, claim.place, _CLAIM, claim.etag)


def _partition(idempotency_key: str) -> str:
    return key("key", hashlib.sha256(idempotency_key.encode()).hexdigest())
