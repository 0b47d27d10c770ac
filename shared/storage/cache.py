"""Sagas kept in this process, so that a step need not read what the step before it wrote.

A stale copy is harmless: its ETag makes the save fail with ``SagaChanged``. Only a decision to do nothing is
not checked by a save; for that a copy says ``cached``, and there is ``reload``.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from shared.saga.effects import Effect
from shared.saga.history import HistoryEntry
from shared.saga.state import SagaState
from shared.storage.ports import Sagas
from shared.storage.sagas import StoredSaga


class CachedSagas:
    """The sagas of ``inner``; the ``size`` that were used last are kept."""

    def __init__(self, inner: Sagas, size: int = 256) -> None:
        self._inner = inner
        self._size = size
        self._kept: OrderedDict[str, StoredSaga] = OrderedDict()

    async def create(
        self, state: SagaState, *, cause: str, outbox: Sequence[Effect], history: Sequence[HistoryEntry]
    ) -> StoredSaga:
        """Write a new saga. Raises ``SagaExists``."""
        return self._keep(await self._inner.create(state, cause=cause, outbox=outbox, history=history))

    async def load(self, saga_id: str) -> StoredSaga:
        """Take the kept copy, marked ``cached``; else read. Raises ``SagaNotFound``."""
        kept = self._kept.get(saga_id)
        if kept is None:
            return await self.reload(saga_id)
        self._kept.move_to_end(saga_id)
        return replace(kept, cached=True)

    async def reload(self, saga_id: str) -> StoredSaga:
        """Read, whatever is kept. Raises ``SagaNotFound``."""
        self._kept.pop(saga_id, None)
        return self._keep(await self._inner.load(saga_id))

    async def save(
        self,
        stored: StoredSaga,
        state: SagaState,
        *,
        cause: str,
        outbox: Sequence[Effect],
        history: Sequence[HistoryEntry],
    ) -> StoredSaga:
        """Write; a copy that turned out stale, or whose save may have failed, is forgotten.

        Raises ``SagaChanged`` and ``SagaNotFound``.
        """
        self._kept.pop(state.spec.saga_id, None)
        return self._keep(await self._inner.save(stored, state, cause=cause, outbox=outbox, history=history))

    async def history(self, saga_id: str) -> list[HistoryEntry]:
        """Read all transitions, oldest first."""
        return await self._inner.history(saga_id)

    async def look(self, saga_id: str) -> tuple[SagaState, list[HistoryEntry]]:
        """Read state and history, past what is kept. Raises ``SagaNotFound``."""
        return await self._inner.look(saga_id)

    def _keep(self, stored: StoredSaga) -> StoredSaga:
        saga_id = stored.state.spec.saga_id
        kept = self._kept.get(saga_id)
        if kept is None or kept.saves <= stored.saves:  # a slow read may end after a later save
            self._kept[saga_id] = stored
        self._kept.move_to_end(saga_id)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return stored
