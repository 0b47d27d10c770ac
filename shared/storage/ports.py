"""What the engine asks of storage where more than one class offers it."""

from collections.abc import Sequence
from typing import Protocol

from shared.saga.effects import Effect
from shared.saga.history import HistoryEntry
from shared.saga.state import SagaState
from shared.storage.sagas import StoredSaga


class Sagas(Protocol):
    """See ``sagas.SagaTable``."""

    async def create(
        self, state: SagaState, *, cause: str, outbox: Sequence[Effect], history: Sequence[HistoryEntry]
    ) -> StoredSaga: ...

    async def load(self, saga_id: str) -> StoredSaga: ...

    async def save(
        self,
        stored: StoredSaga,
        state: SagaState,
        *,
        cause: str,
        outbox: Sequence[Effect],
        history: Sequence[HistoryEntry],
    ) -> StoredSaga: ...

    async def history(self, saga_id: str) -> list[HistoryEntry]: ...

    async def look(self, saga_id: str) -> tuple[SagaState, list[HistoryEntry]]: ...


class ReloadableSagas(Sagas, Protocol):
    """See ``cache.CachedSagas``."""

    async def reload(self, saga_id: str) -> StoredSaga: ...


class MessageQueues(Protocol):
    """See ``queues.Queues`` and ``memory.MemoryQueues``."""

    async def ensure(self, *queues: str) -> None: ...

    async def send(self, queue: str, text: str, *, delay_ms: int = 0) -> str: ...

    async def cancel(self, queue: str, receipt: str) -> None: ...


class WatchedQueues(MessageQueues, Protocol):
    """See ``queues.Queues`` and ``memory.MemoryQueues``."""

    async def waiting_since(self, queue: str) -> int | None: ...


class CountedQueues(Protocol):
    """See ``queues.Queues`` and ``memory.MemoryQueues``."""

    async def count(self, queue: str) -> int: ...
