"""The agent's end of the dead-man: its process, its pipes, and what it says."""

import json
import os
import subprocess
import threading
from typing import Any, Callable, Mapping, Optional, Tuple

from agent import deadman, records
from agent.moves import DeadManLost, DeadManReady, Input
from agent.system import System
from agent.waiting import Flag

#: How long a dead-man may take from its start to its first word (s): a scanned or starved guest is slow.
_START_S = 30.0


class DeadManLink:
    """One dead-man's process. What it says, and at last a DeadManLost, goes to ``hear`` in another thread."""

    def __init__(
        self,
        system: System,
        command: Tuple[str, ...],
        environ: Mapping[str, str],
        hear: Callable[[Input], None],
    ) -> None:
        self._hear = hear
        self._quiet = threading.Event()
        self._ready = Flag()
        self.locked = False
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            **system.apart(),
        )
        threading.Thread(target=self._listen, name="dead-man", daemon=True).start()
        threading.Thread(target=self._await_first_word, name="patience", daemon=True).start()

    @property
    def pid(self) -> int:
        """The dead-man's process id."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Say whether it has said that it is ready."""
        return self._ready.is_set()

    def tell(self, order: Any) -> None:
        """Send it an order; one that is dead is reported by its end."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(deadman.line(order))
            self._process.stdin.flush()
        except (OSError, ValueError):  # dead, or closed by us
            return

    def kill(self) -> None:
        """End it for good, and hear nothing of it any more."""
        self._quiet.set()
        try:
            self._process.kill()
        except OSError:  # it has ended
            return

    def close(self, patience_s: float) -> None:
        """Let it end by itself; it holds nothing any more."""
        self._quiet.set()
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(patience_s)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            if self._quiet.is_set():
                break
            event = records.from_json(json.loads(text.decode("ascii")), deadman.EVENT_TYPES)
            if isinstance(event, DeadManReady):
                self.locked = event.locked
                self._ready.set()
            self._hear(event)
        code = self._process.wait()
        if not self._quiet.is_set():
            self._hear(DeadManLost("it ended with {}".format(code)))

    def _await_first_word(self) -> None:
        if not self._ready.wait(_START_S):
            self._process.kill()


def none_left(lock: Callable[[], Optional[int]]) -> bool:
    """Say whether no dead-man lives, by taking its lock for a moment."""
    handle = lock()
    if handle is None:
        return False
    os.close(handle)
    return True
