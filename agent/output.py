"""What a script writes: read always, so that no script blocks on a full pipe; head and tail are kept."""

import os
import threading
from typing import IO, List, Optional

from agent.waiting import Flag

#: Bytes of the output that are kept of its head, and as many of its tail.
KEPT = 4096

#: Bytes of what came from stderr that are kept for a warning.
KEPT_COMPLAINT = 400


class Output:
    """Keeps head and tail of what is read from a script's pipes, each read in a thread of its own.

    With a pipe of its own for stderr, what came from there is told apart; in the whole it stands where it was
    read.
    """

    def __init__(self, stdout: IO[bytes], stderr: Optional[IO[bytes]]) -> None:
        self._head = b""
        self._tail = b""
        self._dropped = 0
        self._complaint = b""
        self._lock = threading.Lock()
        self._ends: List[Flag] = []
        for pipe in (stdout, stderr):
            if pipe is not None:
                end = Flag()
                self._ends.append(end)
                words = (pipe, pipe is stderr, end)
                threading.Thread(target=self._drain, args=words, name="output", daemon=True).start()

    def wait(self, patience_s: float) -> None:
        """Wait up to ``patience_s`` for the end of each pipe: a daemon may keep one open for ever."""
        for end in self._ends:
            end.wait(patience_s)

    def text(self) -> str:
        """Give what came so far."""
        with self._lock:
            parts = [self._head]
            if self._dropped:
                parts.append("\n... {} bytes left out ...\n".format(self._dropped).encode("ascii"))
            parts.append(self._tail)
        return b"".join(parts).decode("utf-8", "replace")

    def complaint(self) -> str:
        """Give the head of what came from stderr so far; "" where it has no pipe of its own."""
        with self._lock:
            return self._complaint.decode("utf-8", "replace")

    def _drain(self, pipe: IO[bytes], complains: bool, end: Flag) -> None:  # noqa: FBT001 - a thread's arguments
        while True:
            try:
                chunk = os.read(pipe.fileno(), 65536)
            except OSError:
                chunk = b""
            if not chunk:
                pipe.close()
                end.set()
                return
            with self._lock:
                self._keep(chunk)
                if complains:
                    self._complaint = (self._complaint + chunk)[:KEPT_COMPLAINT]

    def _keep(self, chunk: bytes) -> None:
        room = KEPT - len(self._head)
        self._head += chunk[:room]
        tail = self._tail + chunk[room:]
        self._dropped += max(0, len(tail) - KEPT)
        self._tail = tail[-KEPT:]
