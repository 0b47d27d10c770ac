"""What every application of the guests has: clients that write, a gate that holds them, an administrator."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class HoldTimeoutError(Exception):
    """Writes in flight did not end within the time-out; the application was let go on."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"writes in flight did not end within {timeout_s:g} s")
        self.timeout_s = timeout_s


class ReleasedMeanwhileError(Exception):
    """Somebody released the application while it was about to be held."""

    def __init__(self) -> None:
        super().__init__("the application was released meanwhile")


class NothingWrittenError(Exception):
    """The application was released, but no transfer ended within the time-out."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"released, but no transfer ended within {timeout_s:g} s")
        self.timeout_s = timeout_s


@dataclass(frozen=True)
class Status:
    """What an administrator sees of the application; times in milliseconds."""

    transfers: int
    held: bool
    last_write_age_ms: float
    longest_stall_ms: float


class Gate:
    """Lets writers pass, or holds all of them outside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._inside = 0

    @property
    def closed(self) -> bool:
        """Whether writers are held."""
        return self._closed

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait until the gate is open, then be inside for the length of the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Hold everybody; nobody is inside when this returns.

        Raises HoldTimeoutError, with the gate as it was before, when someone stays inside, and
        ReleasedMeanwhileError when the gate was opened while this waited.
        """
        with self._changed:
            before, self._closed = self._closed, True
            ended = self._changed.wait_for(lambda: self._inside == 0 or not self._closed, timeout_s)
            if not self._closed:
                raise ReleasedMeanwhileError
            if not ended:
                self._closed = before
                self._changed.notify_all()
                raise HoldTimeoutError(timeout_s)

    def open(self) -> None:
        """Let everybody pass."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


class Clients:
    """Threads that transfer as fast as they can, and note how long each had to wait."""

    def __init__(
        self,
        transfers: Sequence[Callable[[], None]],
        *,
        count: Callable[[], int],
        held: Callable[[], bool],
        on_failure: Callable[[OSError], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make a client for each of `transfers`, which makes one and returns once it is acknowledged.

        `count` gives the transfers so far and `held` whether the application is held: both without waiting.
        `on_failure` hears of a disk that takes no more writes, once per client.
        """
        self._count = count
        self._held = held
        self._on_failure = on_failure
        self._clock_ns = clock_ns
        now = clock_ns()
        self._asked_at = [now] * len(transfers)  # when each client asked for the transfer it waits for
        self._longest_ns = [0] * len(transfers)
        self._last_write = now
        self._threads = [
            threading.Thread(target=self._work, args=(client, transfer), daemon=True)
            for client, transfer in enumerate(transfers)
        ]

    def start(self) -> None:
        """Let them work."""
        for thread in self._threads:
            thread.start()

    def status(self) -> Status:
        """Return the figures of this instant; never waits for a disk."""
        now = self._clock_ns()
        stalls = [*self._longest_ns, *(now - asked for asked in self._asked_at)]
        return Status(
            transfers=self._count(),
            held=self._held(),
            last_write_age_ms=round((now - self._last_write) / 1e6, 3),
            longest_stall_ms=round(max(stalls, default=0) / 1e6, 3),
        )

    def until_one_more(self, than: int, timeout_s: float) -> Status:
        """Wait for a transfer after `than` of them, and return the figures then.

        Raises NothingWrittenError after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while self._count() <= than:
            if time.monotonic() > deadline:
                raise NothingWrittenError(timeout_s)
            time.sleep(0.001)
        return self.status()

    def _work(self, client: int, transfer: Callable[[], None]) -> None:
        try:
            while True:
                self._asked_at[client] = self._clock_ns()
                transfer()
                ended = self._clock_ns()
                self._longest_ns[client] = max(self._longest_ns[client], ended - self._asked_at[client])
                self._last_write = ended
        except OSError as error:
            self._on_failure(error)


class Controlled(Protocol):
    """An application as its administrator handles it. Both orders may come twice; then nothing changes."""

    def hold(self, timeout_s: float) -> Status:
        """Stop all writes; when this returns none is in flight and everything is on the disks.

        Raises HoldTimeoutError, with things as they were before, and ReleasedMeanwhileError.
        """

    def release(self, timeout_s: float) -> Status:
        """Let writes go on; when this returns at least one has ended.

        Raises NothingWrittenError.
        """

    def let_go(self) -> None:
        """Let writes go on, without waiting to see one."""

    def pause(self, timeout_s: float) -> Status:
        """Let the clients rest: nobody asks for transfers, which says nothing of what the application writes.

        Raises HoldTimeoutError.
        """

    def go_on(self, timeout_s: float) -> Status:
        """Let the clients work again, and see a transfer.

        Raises NothingWrittenError.
        """

    def status(self) -> Status:
        """Return the figures of this instant."""
