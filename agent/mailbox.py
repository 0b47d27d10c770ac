"""Where a thread waits for whatever comes first: items, or the end of its patience."""

import collections
from typing import Any, Deque, List, Optional

from agent.waiting import Bell


class Mailbox:
    """Items for one reader, from any thread and from signal handlers.

    A handler runs in the middle of the reader's own code: so nothing in here takes a lock that the reader may
    hold at that moment (``queue.Queue`` does).
    """

    def __init__(self) -> None:
        self._items: Deque[Any] = collections.deque()
        self._bell = Bell()

    def put(self, item: Any) -> None:
        """Leave an item and wake the reader."""
        self._items.append(item)
        self._bell.ring()

    def take(self, timeout_s: Optional[float]) -> List[Any]:
        """Give what came, in its order; [] if nothing comes within ``timeout_s`` (None: for ever)."""
        self._bell.wait(timeout_s)
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items
