"""The app's death at a chosen operation: before it took effect, or after it did and before anybody knew."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum

from shared.engine.ports import Clock
from shared.storage.memory import MemoryQueues, MemoryTables
from shared.storage.tables import Operation


class When(StrEnum):
    """On which side of the operation the app dies."""

    BEFORE = "before"
    AFTER = "after"


class AppDied(Exception):
    """Stands for the end of the process: nothing of the app catches it."""


class Interruptions:
    """Counts the app's operations on the world outside, and ends the app at one of them, once.

    A dead app does nothing more, whatever else it was at, until ``revive``.
    """

    def __init__(self, at: int = 0, when: When = When.BEFORE) -> None:
        self.at = at
        self.when = when
        self.seen: list[str] = []
        self.dead = False

    def revive(self) -> None:
        self.dead = False

    @asynccontextmanager
    async def around(self, what: str) -> AsyncIterator[None]:
        if self.dead:
            raise AppDied(what)
        self.seen.append(what)
        mine = len(self.seen) == self.at
        await asyncio.sleep(0)  # another invocation may come between
        if mine and self.when is When.BEFORE:
            self._die(what)
        yield
        if mine:
            self._die(what)

    def _die(self, what: str) -> None:
        self.dead = True
        raise AppDied(what)


class InterruptedTables(MemoryTables):
    """Tables whose writes can be the app's last."""

    def __init__(self, interruptions: Interruptions) -> None:
        super().__init__()
        self._interruptions = interruptions

    async def transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        async with self._interruptions.around(f"write {table}"):
            return await super().transact(table, operations)


class InterruptedQueues(MemoryQueues):
    """Queues whose sends and deletions can be the app's last."""

    def __init__(self, clock: Clock, interruptions: Interruptions) -> None:
        super().__init__(clock)
        self._interruptions = interruptions
        self._taken_at: dict[str, datetime] = {}

    async def put(self, queue: str, text: str, *, delay_s: int, expires_in_s: int) -> str:
        async with self._interruptions.around(f"put {queue}"):
            return await super().put(queue, text, delay_s=delay_s, expires_in_s=expires_in_s)

    def _next(self, kind: str) -> str:
        name = super()._next(kind)
        if kind == "message":
            self._taken_at[name] = datetime.fromtimestamp(self._clock() / 1000, UTC)
        return name

    def taken_at(self, message_id: str) -> datetime:
        """Give when the queue took a message, as the trigger says it."""
        return self._taken_at[message_id]

    async def cancel(self, queue: str, receipt: str) -> None:
        async with self._interruptions.around(f"take back {queue}"):
            return await super().cancel(queue, receipt)
