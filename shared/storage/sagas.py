"""Sagas in Table Storage: a partition each, with the state, the history and the effects still to be done.

| row | holds |
|---|---|
| ``state`` | the state, the cause of the last save, a random token that marks whose write it was |
| ``outbox-000003-01`` | effect 1 of save 3, until a later save takes it away |
| ``history-000007`` | the seventh transition |
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from azure.core.exceptions import ServiceResponseError

from shared.saga import codec
from shared.saga.effects import Effect
from shared.saga.errors import UnreadableRecordError
from shared.saga.history import HistoryEntry
from shared.saga.state import SagaState
from shared.storage import tables
from shared.storage.emptying import delete_rows
from shared.storage.errors import SagaChanged, SagaExists, SagaNotFound, TornRead, UnreadableSaga
from shared.storage.rows import key, pack, unpack
from shared.storage.tables import Operation, TableStore, WriteRefused
from shared.storage.upcasts import Form, members_of

_STATE = "state"
_READS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSaga:
    """A saga as it is stored. ``outbox`` holds the effects of ``cause`` that are not yet known to be done.

    ``cached`` says that it was not read just now. ``saves`` and ``entries`` count the saves and the history;
    they name the next rows.
    """

    state: SagaState
    etag: str
    cause: str
    outbox: tuple[Effect, ...]
    cached: bool = False
    saves: int = 1
    entries: int = 0


class SagaTable:
    """The sagas, in the table ``sagas``."""

    def __init__(
        self,
        storage: TableStore,
        *,
        table: str = "sagas",
        token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._storage = storage
        self._table = table
        self._token = token

    async def create(
        self, state: SagaState, *, cause: str, outbox: Sequence[Effect], history: Sequence[HistoryEntry]
    ) -> StoredSaga:
        """Write a new saga in one transaction.

        Raises:
            SagaExists: another write created it before.
        """
        saga_id = state.spec.saga_id
        wanted = StoredSaga(
            state=state, etag="", cause=cause, outbox=tuple(outbox), saves=1, entries=len(history)
        )
        token = self._token()
        operations = [tables.create(_state_row(wanted, token)), *_new_rows(wanted, history)]
        try:
            return await self._commit(wanted, token, operations)
        except WriteRefused as error:
            raise SagaExists(saga_id) from error

    async def load(self, saga_id: str) -> StoredSaga:
        """Read state and outbox in one request.

        Raises:
            SagaNotFound: there is no such saga.
            UnknownSchema, UnreadableSaga: it was written by a version that this one does not know.
            TornRead: it was being saved during each of five reads.
        """
        for _ in range(_READS):
            stored = await self._read(saga_id)
            if stored is not None:
                return stored
        raise TornRead(saga_id)

    async def save(
        self,
        stored: StoredSaga,
        state: SagaState,
        *,
        cause: str,
        outbox: Sequence[Effect],
        history: Sequence[HistoryEntry],
    ) -> StoredSaga:
        """Replace state and outbox and add to the history, all or nothing, in one request.

        Raises:
            SagaChanged: ``stored`` is no longer what is stored; nothing was written.
            SagaNotFound: the saga is gone.
        """
        wanted = StoredSaga(
            state=state,
            etag="",
            cause=cause,
            outbox=tuple(outbox),
            saves=stored.saves + 1,
            entries=stored.entries + len(history),
        )
        token, saga_id = self._token(), state.spec.saga_id
        operations = [
            tables.replace(_state_row(wanted, token), stored.etag),
            *(tables.delete(saga_id, row) for row in _outbox_keys(stored)),
            *_new_rows(wanted, history),
        ]
        try:
            return await self._commit(wanted, token, operations)
        except WriteRefused as error:
            if error.status == 404:
                raise SagaNotFound(saga_id) from error
            raise SagaChanged(saga_id) from error

    async def history(self, saga_id: str) -> list[HistoryEntry]:
        """All transitions, oldest first; empty for a saga that does not exist."""
        rows = self._storage.rows(self._table, key(saga_id), after="history-", until="history.")
        return [_history_entry(row) async for row, _ in rows]

    async def look(self, saga_id: str) -> tuple[SagaState, list[HistoryEntry]]:
        """Read state and history in one request, for somebody who looks and changes nothing.

        Raises:
            SagaNotFound: there is no such saga.
        """
        found = self._storage.rows(self._table, key(saga_id), after="history-", until=_STATE)
        rows = [row async for row, _ in found]
        if not rows:
            raise SagaNotFound(saga_id)
        history = [_history_entry(row) for row in rows if row["RowKey"].startswith("history-")]
        return _state(saga_id, rows[-1]), history

    async def forget(self, saga_id: str) -> None:
        """Remove all of a saga that has ended; again changes nothing.

        The state goes last: until then whoever comes late finds that it has ended, and begins nothing.
        """
        await delete_rows(self._storage, self._table, key(saga_id), last=_STATE)

    async def _commit(self, wanted: StoredSaga, token: str, operations: Sequence[Operation]) -> StoredSaga:
        """Write; when the answer is a conflict or lost, look whether the write is our own all the same."""
        saga_id = wanted.state.spec.saga_id
        try:
            etag = (await self._storage.transact(self._table, operations))[0]
        except (WriteRefused, ServiceResponseError):
            found = await self._storage.get(self._table, saga_id, _STATE)
            if found is None or found[0].get("write") != token:
                raise
            etag = found[1]
        return replace(wanted, etag=etag)

    async def _read(self, saga_id: str) -> StoredSaga | None:
        """One read; None when it came in several pages and a save went between them."""
        found = self._storage.rows(self._table, key(saga_id), after="outbox-", until=_STATE)
        rows = [row async for row in found]
        if not rows:
            raise SagaNotFound(saga_id)
        (head, etag), outbox = rows[-1], [row for row, _ in rows[:-1]]
        if head["RowKey"] != _STATE:
            return None
        stored = StoredSaga(
            state=_state(saga_id, head),
            etag=etag,
            cause=head["cause"],
            outbox=tuple(_effect(saga_id, row) for row in outbox),
            saves=head["saves"],
            entries=head["entries"],
        )
        whole = [row["RowKey"] for row in outbox] == _outbox_keys(stored) and len(outbox) == head["outbox"]
        return stored if whole else None


def _state_row(saga: StoredSaga, token: str) -> dict[str, Any]:
    return pack(
        key(saga.state.spec.saga_id),
        _STATE,
        codec.encode(saga.state),
        Form.SAGA,
        cause=saga.cause,
        phase=str(saga.state.phase),
        saves=saga.saves,
        entries=saga.entries,
        outbox=len(saga.outbox),
        write=token,
    )


def _new_rows(saga: StoredSaga, history: Sequence[HistoryEntry]) -> list[Operation]:
    partition = saga.state.spec.saga_id
    first = saga.entries - len(history) + 1
    entries = [
        pack(partition, f"history-{number:06}", asdict(entry), Form.HISTORY)
        for number, entry in enumerate(history, first)
    ]
    effects = [
        pack(partition, row, codec.encode(effect), Form.EFFECT)
        for row, effect in zip(_outbox_keys(saga), saga.outbox, strict=True)
    ]
    return [tables.create(entity) for entity in (*entries, *effects)]


def _outbox_keys(saga: StoredSaga) -> list[str]:
    return [f"outbox-{saga.saves:06}-{number:02}" for number in range(1, len(saga.outbox) + 1)]


def _state(saga_id: str, row: Mapping[str, Any]) -> SagaState:
    try:
        return codec.decode(SagaState, unpack(row, Form.SAGA))
    except UnreadableRecordError as error:
        raise UnreadableSaga(saga_id, error.path, error.expected) from error


def _effect(saga_id: str, row: Mapping[str, Any]) -> Effect:
    try:
        effect: Effect = codec.decode_any(Effect, unpack(row, Form.EFFECT))
    except UnreadableRecordError as error:
        raise UnreadableSaga(saga_id, f"{row['RowKey']}.{error.path}", error.expected) from error
    return effect


def _history_entry(row: Mapping[str, Any]) -> HistoryEntry:
    data = members_of(HistoryEntry, unpack(row, Form.HISTORY))
    return HistoryEntry(**{**data, "effects": tuple(data["effects"])})
