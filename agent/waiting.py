"""Waiting for another thread with a time-out, on the monotonic clock.

Before Python 3.11 the time-outs of ``threading`` and ``queue`` run on the wall clock (sem_timedwait(3)): set
back by an hour while something is held, it makes an hour of a wait of a second. That of select(2) cannot be
moved. So whoever waits with a time-out in the agent waits by what is in here, or by ``mailbox.py``.
"""

import os
import select
import sys
import threading
import time
from typing import Any, Callable, List, Optional

if sys.platform == "win32":

    class Bell:
        """Rung from anywhere, heard by one: a lock that is closed while all is quiet.

        The time-out of a lock of Windows is no point in time, so that no clock can move it.
        """

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

        def close(self) -> None:
            """Do nothing: a lock needs no end."""

else:

    class Bell:
        """Rung from anywhere, heard by one: a pipe. After ``close`` nobody may ring it."""

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

        def close(self) -> None:
            """Close the pipe."""
            os.close(self._read)
            os.close(self._write)


class Condition:
    """What threads change and wait for; a lock while it is entered, as ``threading.Condition`` is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: List[Bell] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def notify_all(self) -> None:
        """Have everybody who waits look again; the caller has the lock."""
        for bell in self._bells:
            bell.ring()

    def wait_for(self, seen: Callable[[], Any], timeout_s: Optional[float] = None) -> bool:
        """Wait until ``seen`` says yes, which it is asked with the lock; False if ``timeout_s`` is over.

        The caller has the lock; it is free while this waits.
        """
        if seen():
            return True
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        bell = Bell()
        self._bells.append(bell)
        try:
            while not seen():
                left_s = None if ends is None else ends - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._lock.release()
                try:
                    bell.wait(left_s)
                finally:
                    self._lock.acquire()
        finally:
            self._bells.remove(bell)
            bell.close()
        return True


class Flag:
    """Something that has happened, or not yet, as ``threading.Event`` is."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._set = False

    def set(self) -> None:
        """Say that it has happened."""
        with self._changed:
            self._set = True
            self._changed.notify_all()

    def is_set(self) -> bool:
        """Say whether it has happened."""
        return self._set

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait until it has happened; False if it has not in ``timeout_s`` (None: for ever)."""
        with self._changed:
            return self._changed.wait_for(self.is_set, timeout_s)
