"""Where a thread waits for whatever comes first: items, or the end of its patience."""

import collections
import os
import select
import sys
import threading
from typing import Any, Deque, List, Optional

if sys.platform == "win32":

    class Bell:
        """Rung from anywhere, heard by one: a lock that is closed while all is quiet."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._lock.acquire()

        def ring(self) -> None:
            """Wake the one who waits, or who will."""
            try:
                self._lock.release()
            except RuntimeError:  # it rings already
                return

        def wait(self, timeout_s: Optional[float]) -> None:
            """Wait for the bell, at most ``timeout_s`` (None: for ever)."""
            self._lock.acquire(timeout=-1 if timeout_s is None else timeout_s)

else:

    class Bell:
        """Rung from anywhere, heard by one: a pipe.

        Before Python 3.11 a lock's time-out runs on the wall clock, which may be set back by an hour while
        filesystems are frozen; that of select(2) does not.
        """

        def __init__(self) -> None:
            self._read, self._write = os.pipe()
            for handle in (self._read, self._write):
                os.set_blocking(handle, False)

        def ring(self) -> None:
            """Wake the one who waits, or who will."""
            try:
                os.write(self._write, b".")
            except BlockingIOError:  # full: it rings already
                return

        def wait(self, timeout_s: Optional[float]) -> None:
            """Wait for the bell, at most ``timeout_s`` (None: for ever)."""
            ready, _, _ = select.select([self._read], [], [], timeout_s)
            if ready:
                os.read(self._read, 4096)


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
