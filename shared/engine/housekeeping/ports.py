"""What rooms are, and what they need of storage."""

from typing import Protocol

from shared.engine.housekeeping.rooms import Done
from shared.storage.guest_scripts import StoredScript
from shared.storage.queues import TakenMessage


class Room(Protocol):
    """One kind of things that grow. ``name`` is stored with the pass, and must stay what it is."""

    @property
    def name(self) -> str: ...

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Clean the page behind ``after``: remove what was last needed before ``cutoff`` (ms)."""
        ...


class DeletableQueues(Protocol):
    """See ``queues.Queues`` and ``memory.MemoryQueues``."""

    async def listed(self, prefix: str, marker: str = "") -> tuple[list[str], str]: ...

    async def delete(self, queue: str) -> None: ...


class Scripts(Protocol):
    """See ``guest_scripts.GuestScripts`` and ``memory.MemoryScripts``."""

    async def listed(self, marker: str = "") -> tuple[list[StoredScript], str]: ...

    async def delete(self, script: StoredScript) -> bool: ...


class Letters(Protocol):
    """See ``queues.Queues`` and ``memory.MemoryQueues``."""

    async def oldest(self, queue: str, limit: int, hidden_s: int) -> list[TakenMessage]: ...

    async def cancel(self, queue: str, receipt: str) -> None: ...
