"""Runs in Table Storage.

| partition | row | holds |
|---|---|---|
| the run's id | ``run`` | the run; it exists from the moment that this row does |
| the run's id | ``vm-<saga id>`` | the index row of one VM |
| the run's id | ``unread-<place>`` | a part of Azure that the selection could not read, and why |
| the run's id | ``told-<what>`` | nothing; somebody was told of this already |
| ``active`` | ``run-<run id>`` | nothing; the sweep walks these |
| ``key-<SHA-256>`` | ``claim`` | which run the first request with this idempotency key became |
"""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any

from shared.saga.codec import decode, encode
from shared.saga.timeline import Timeline
from shared.storage import tables
from shared.storage.emptying import delete_row, delete_rows
from shared.storage.errors import IdempotencyMismatch, RunExists, RunNotFound
from shared.storage.rows import int64, key, pack, require_known, unpack, whole
from shared.storage.tables import MAX_OPERATIONS, TableStore, WriteRefused
from shared.storage.upcasts import Form, members_of

_RUN = "run"
_ACTIVE = "active"
_CLAIM = "claim"
_VM = "vm"
_TOLD = "told"
_REASON_CHARS = 8_000
#: A column holds 32,768 characters. A longer timeline is not kept: it follows from the saga's history.
_TIMELINE_CHARS = 30_000


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of Azure (``scope``, its path) that a selection could not read, and the error."""

    scope: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelection:
    """How far the selection of a run's VMs is. ``looked_at`` (ms since the epoch) is when it last went on.

    ``excluded`` is the number of VMs that were listed and left out by a rule.
    """

    done: bool
    looked_at: int
    excluded: int = 0
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a run was asked to do. ``created_at`` is ms since the epoch, ``settings`` JSON.

    ``selection`` is None where the VMs were named one by one; while it is not done, ``vm_count`` is that of
    the VMs known so far.
    """

    run_id: str
    created_at: int
    policy_name: str
    requested_by: str
    vm_count: int
    settings: dict[str, Any]
    cancel_requested: bool = False
    selection: RunSelection | None = None

    @property
    def selecting(self) -> bool:
        """Whether Azure is still being asked which VMs these are."""
        return self.selection is not None and not self.selection.done


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One VM of a run. ``outcome`` is empty while its saga goes on. Times in ms since the epoch.

    ``selected_by`` is the place in the policy's document by which it was selected, where one was. ``group``
    is the name of the group that it is to share an instant with. ``priority`` is what the VM's own tag said
    then, where it counts; 0 where it does not.

    ``problem`` is the sentence on what went wrong, ``step`` the phase that it went wrong in, ``what_to_do``
    the advice. ``timeline`` is None where it was not kept: the saga's history has it.

    ``place`` is the VM's in the order of a run that takes its VMs in turns, from 1; 0 in all others. A VM
    that is tried again has an entry for each try; those of earlier ones are ``retried``. For one that is yet
    to come ``started_at`` says when.
    """

    saga_id: str
    vm_id: str
    outcome: str = ""
    grade: str = ""
    freeze_window_ms: int | None = None
    reason: str = ""
    problem: str = ""
    step: str = ""
    what_to_do: str = ""
    warnings: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    timeline: Timeline | None = None
    place: int = 0
    try_number: int = 1
    retried: bool = False
    selected_by: str = ""
    group: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """That an idempotency key became a run. ``at`` is ms since the epoch; None where nobody wrote it down."""

    place: str
    run_id: str
    at: int | None
    etag: str


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
        await self._write([tables.upsert({"PartitionKey": _ACTIVE, "RowKey": key(_RUN, run_id)})])
        # Merged, so that a repeated creation cannot undo what an index row says by then.
        index = [tables.upsert(_entry_row(run_id, entry, brief=True), mode="merge") for entry in entries]
        if len(index) >= MAX_OPERATIONS:
            for batch in batched(index, MAX_OPERATIONS, strict=False):
                await self._write(list(batch))
            index = []
        try:
            await self._write([tables.create(_run_row(record)), *index])
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
        found = await self._storage.get(self._table, key(run_id), _RUN)
        if found is None:
            return None
        return _run(found[0])

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

    async def add_entries(self, run_id: str, entries: Sequence[RunEntry]) -> None:
        """Add VMs to the index of a run whose selection goes on; doing it again changes nothing."""
        index = [tables.upsert(_entry_row(key(run_id), entry, brief=True), mode="merge") for entry in entries]
        for batch in batched(index, MAX_OPERATIONS, strict=False):
            await self._write(list(batch))

    async def drop_entry(self, run_id: str, saga_id: str) -> None:
        """Take a VM out of the index of a run whose selection goes on; doing it again changes nothing."""
        try:
            await self._write([tables.delete(key(run_id), key(_VM, saga_id))])
        except WriteRefused:
            return

    async def add_unread(self, run_id: str, place: str, unread: Unread) -> None:
        """Note what a selection could not read; ``place`` is the same for the same part."""
        data = {"scope": unread.scope, "code": unread.code, "detail": unread.detail[:_REASON_CHARS]}
        await self._write([tables.upsert(pack(key(run_id), key("unread", place), data, Form.UNREAD))])

    async def note_selection(self, run_id: str, selection: RunSelection, vm_count: int) -> None:
        """Say how far the selection of a run is. Raises ``RunNotFound``."""
        row = {
            "PartitionKey": key(run_id),
            "RowKey": _RUN,
            "selected": selection.done,
            "select_at": int64(selection.looked_at),
            "select_excluded": selection.excluded,
            "select_count": vm_count,
        }
        try:
            await self._write([tables.merge(row)])
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def entries(self, run_id: str) -> AsyncIterator[RunEntry]:
        """All index rows of a run in the order of their saga ids, 1,000 per request."""
        async for row, _ in self._storage.rows(self._table, key(run_id), after="vm-", until="vm."):
            yield _entry(row)

    async def page(self, run_id: str, after: str | None = None, size: int = 100) -> list[RunEntry]:
        """The next ``size`` index rows after the saga id ``after``; fewer only at the end."""
        found: list[RunEntry] = []
        last = f"vm-{after or ''}"
        rows = self._storage.rows(self._table, key(run_id), after=last, until="vm.", page=size)
        async for row, _ in rows:
            found.append(_entry(row))
            if len(found) == size:
                break
        return found

    async def end_entry(self, run_id: str, entry: RunEntry) -> None:
        """Say how one VM of the run ended, without a read; doing it again changes nothing.

        Raises:
            RunNotFound: the run has no such VM.
        """
        try:
            await self._write([tables.merge(_entry_row(key(run_id), entry))])
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
                    tables.merge(_entry_row(run, replace(ended, retried=True))),
                    tables.upsert(_entry_row(run, following, brief=True), mode="merge"),
                ]
            )
        except WriteRefused as error:
            raise RunNotFound(run_id) from error

    async def request_cancel(self, run_id: str) -> None:
        """Mark the run as to be cancelled. Raises ``RunNotFound``."""
        try:
            await self._write(
                [tables.merge({"PartitionKey": key(run_id), "RowKey": _RUN, "cancel_requested": True})]
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
            await self._write([tables.delete(_ACTIVE, key(_RUN, run_id))])
        except WriteRefused:
            return

    async def is_active(self, run_id: str) -> bool:
        """Whether a run was not retired yet."""
        return await self._storage.get(self._table, _ACTIVE, key(_RUN, run_id)) is not None

    async def has_entry(self, run_id: str, saga_id: str) -> bool:
        """Whether the index of a run has a row of this saga."""
        return await self._storage.get(self._table, key(run_id), key(_VM, saga_id)) is not None

    async def forget_entries(self, run_id: str, first: str, last: str) -> None:
        """Remove the index rows of the sagas from ``first`` to ``last``; again changes nothing."""
        await delete_rows(
            self._storage, self._table, key(run_id), after=f"{_VM}-{first[:-1]}", until=key(_VM, last)
        )

    async def forget(self, run_id: str) -> None:
        """Remove all that is stored under a run's id, the run itself last; again changes nothing."""
        await delete_rows(self._storage, self._table, key(run_id), last=_RUN)

    async def claims(self, *, after: str, size: int) -> list[Claim]:
        """The next ``size`` claims of idempotency keys behind the place ``after``; fewer only at the end."""
        found: list[Claim] = []
        rows = self._storage.across(self._table, after=max(after, "key-"), until="key.", page=size)
        async for row, etag in rows:
            at = whole(row["at"]) if "at" in row else None
            found.append(Claim(row["PartitionKey"], str(unpack(row, Form.CLAIM)["run_id"]), at, etag))
            if len(found) == size:
                break
        return found

    async def date_claim(self, claim: Claim, at: int) -> None:
        """Say when a claim was seen that does not say when it was made."""
        row = {"PartitionKey": claim.place, "RowKey": _CLAIM, "at": int64(at)}
        try:
            await self._write([tables.merge(row)])
        except WriteRefused:
            return

    async def forget_claim(self, claim: Claim) -> bool:
        """Remove a claim, if it is still as it was read."""
        return await delete_row(self._storage, self._table, claim.place, _CLAIM, claim.etag)

    async def claimed(self, idempotency_key: str) -> str | None:
        """Give the run that the first request with this key became; None if there was no such request."""
        found = await self._storage.get(self._table, _claim_partition(idempotency_key), _CLAIM)
        return str(unpack(found[0], Form.CLAIM)["run_id"]) if found else None

    async def claim(
        self, idempotency_key: str, request_digest: str, run_id: str, *, at: int | None = None
    ) -> str:
        """Claim the key for ``run_id``; returns the run id of the first claim, which may be an earlier one.

        ``at`` is now, ms since the epoch: housekeeping goes by it.

        Raises:
            IdempotencyMismatch: the first claim was for another request.
        """
        partition = _claim_partition(idempotency_key)
        wanted = {"request_digest": request_digest, "run_id": run_id}
        try:
            made = {"at": int64(at)} if at is not None else {}
            await self._write([tables.create(pack(partition, _CLAIM, wanted, Form.CLAIM, **made))])
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

    async def _write(self, operations: list[tables.Operation]) -> None:
        await self._storage.transact(self._table, operations)


def _run_row(record: RunRecord) -> dict[str, Any]:
    data = {
        "run_id": record.run_id,
        "created_at": record.created_at,
        "policy_name": record.policy_name,
        "requested_by": record.requested_by,
        "vm_count": record.vm_count,
        "settings": record.settings,
    }
    if record.selection is None:
        return pack(record.run_id, _RUN, data, Form.RUN, cancel_requested=record.cancel_requested)
    return pack(
        record.run_id,
        _RUN,
        data,
        Form.RUN,
        cancel_requested=record.cancel_requested,
        selected=record.selection.done,
        select_at=int64(record.selection.looked_at),
        select_excluded=record.selection.excluded,
        select_count=record.vm_count,
    )


def _run(row: dict[str, Any]) -> RunRecord:
    record = RunRecord(
        **members_of(RunRecord, unpack(row, Form.RUN)), cancel_requested=row["cancel_requested"]
    )
    if "selected" not in row:
        return record
    selection = RunSelection(
        done=row["selected"],
        looked_at=whole(row["select_at"]),
        excluded=whole(row["select_excluded"]),
    )
    return replace(record, selection=selection, vm_count=whole(row["select_count"]))


def _claim_partition(idempotency_key: str) -> str:
    return key("key", hashlib.sha256(idempotency_key.encode()).hexdigest())


def _entry_row(run_id: str, entry: RunEntry, *, brief: bool = False) -> dict[str, Any]:
    """An index row in columns. ``brief`` leaves out what says nothing yet, lest a merge erase it."""
    numbers = {
        "freeze_window_ms": entry.freeze_window_ms,
        "warnings": entry.warnings or None,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "place": entry.place or None,
        "priority": entry.priority or None,
        "try": entry.try_number if entry.try_number > 1 else None,
    }
    texts = {
        "outcome": entry.outcome,
        "grade": entry.grade,
        "reason": entry.reason[:_REASON_CHARS],
        "problem": entry.problem[:_REASON_CHARS],
        "step": entry.step,
        "what_to_do": entry.what_to_do[:_REASON_CHARS],
    }
    kept = {"selected_by": entry.selected_by, "group": entry.group}  # never erased by an end
    selected = {name: text for name, text in kept.items() if text}
    return {
        "PartitionKey": run_id,
        "RowKey": key(_VM, entry.saga_id),
        "vm_id": entry.vm_id,
        **selected,
        **{name: int64(number) for name, number in numbers.items() if number is not None},
        **{name: text for name, text in texts.items() if text or not brief},
        **_timeline_column(entry.timeline),
        **({"retried": True} if entry.retried else {}),
    }


def _timeline_column(timeline: Timeline | None) -> dict[str, str]:
    text = json.dumps(encode(timeline), separators=(",", ":")) if timeline else ""
    return {"timeline": text} if 0 < len(text) <= _TIMELINE_CHARS else {}


def _entry(row: dict[str, Any]) -> RunEntry:
    require_known(row, Form.RUN_ENTRY)
    numbers = ("freeze_window_ms", "started_at", "ended_at")
    return RunEntry(
        saga_id=row["RowKey"].removeprefix(f"{_VM}-"),
        vm_id=row["vm_id"],
        outcome=row.get("outcome", ""),
        grade=row.get("grade", ""),
        reason=row.get("reason", ""),
        problem=row.get("problem", ""),
        step=row.get("step", ""),
        what_to_do=row.get("what_to_do", ""),
        warnings=whole(row.get("warnings", 0)),
        timeline=decode(Timeline, json.loads(row["timeline"])) if "timeline" in row else None,
        place=whole(row.get("place", 0)),
        priority=whole(row.get("priority", 0)),
        try_number=whole(row.get("try", 1)),
        retried=row.get("retried", False),
        selected_by=row.get("selected_by", ""),
        group=row.get("group", ""),
        **{name: whole(row[name]) if name in row else None for name in numbers},
    )
