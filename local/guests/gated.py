"""An application that writes for its clients alone: held are a gate that stops them, and flushed files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.guests.load import ReleasedMeanwhileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.guests.load import Clients, Gate, Status


class Gated:
    """Such an application as its administrator handles it."""

    def __init__(self, gate: Gate, clients: Clients, flush: Callable[[], None] = lambda: None) -> None:
        """Handle the application of these clients; `flush` brings to the disks what is not there yet."""
        self._gate = gate
        self._clients = clients
        self._flush = flush

    def hold(self, timeout_s: float) -> Status:
        """Stop all writes; when this returns none is in flight and everything is on the disks.

        Holding what is held changes nothing. Raises HoldTimeoutError, with things as they were before, and
        ReleasedMeanwhileError.
        """
        self._gate.close(timeout_s)
        self._flush()
        status = self._clients.status()
        if not status.held:
            raise ReleasedMeanwhileError
        return status

    def release(self, timeout_s: float) -> Status:
        """Let writes go on; when this returns at least one has ended.

        Releasing what is not held changes nothing. Raises NothingWrittenError.
        """
        before = self._clients.status().transfers
        self._gate.open()
        return self._clients.until_one_more(before, timeout_s)

    def pause(self, timeout_s: float) -> Status:
        """Let the clients rest. Raises HoldTimeoutError and ReleasedMeanwhileError."""
        return self.hold(timeout_s)

    def go_on(self, timeout_s: float) -> Status:
        """Let the clients work again. Raises NothingWrittenError."""
        return self.release(timeout_s)

    def let_go(self) -> None:
        """Let writes go on, without waiting to see one."""
        self._gate.open()

    def status(self) -> Status:
        """Return the figures of this instant."""
        return self._clients.status()
