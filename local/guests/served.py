"""A database with a server of its own, as its administrator handles it: stopped, and started again."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from local.guests.command_line import ServeError, ServeOptions
from local.guests.customers import Customer, clients_of
from local.guests.load import Gate, NothingWrittenError
from local.guests.receipts import ReceiptsFile
from local.guests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.guests.bank import Teller
    from local.guests.load import Clients, Status
    from local.guests.serving import Life

_STOP_DEADLINE_S = 20.0


class Server(Protocol):
    """A database server."""

    def runs(self) -> bool:
        """Say whether its process is there."""

    def start(self) -> None:
        """Start it and wait until it answers. Raises ServeError."""

    def stop(self, timeout_s: float) -> None:
        """End it in good order. Raises HoldTimeoutError."""

    def kill(self) -> None:
        """End it at once."""

    def teller(self) -> Teller:
        """Open a connection to the bank. Raises BankClosedError."""


class Application:
    """A server and its clients: held is the server that does not run; its clients come back meanwhile."""

    def __init__(self, server: Server, clients: Clients, gate: Gate) -> None:
        self._server = server
        self._clients = clients
        self._gate = gate

    def hold(self, timeout_s: float) -> Status:
        """Stop the server: its data files are closed when this returns. Raises HoldTimeoutError."""
        self._server.stop(timeout_s)
        return self._clients.status()

    def release(self, timeout_s: float) -> Status:
        """Start the server, and see a transfer. Raises NothingWrittenError."""
        before, ends_at = self._clients.status().transfers, time.monotonic() + timeout_s
        try:
            self._server.start()
        except ServeError as error:
            raise NothingWrittenError(timeout_s) from error
        return self._clients.until_one_more(before, max(0.0, ends_at - time.monotonic()))

    def let_go(self) -> None:
        """Start the server again."""
        with contextlib.suppress(ServeError):
            self._server.start()

    def pause(self, timeout_s: float) -> Status:
        """Let the clients rest; the server goes on with what it does by itself. Raises HoldTimeoutError."""
        self._gate.close(timeout_s)
        return self._clients.status()

    def go_on(self, timeout_s: float) -> Status:
        """Let the clients work again. Raises NothingWrittenError."""
        before = self._clients.status().transfers
        self._gate.open()
        return self._clients.until_one_more(before, timeout_s)

    def status(self) -> Status:
        """Return the figures of this instant."""
        return self._clients.status()


def serve_bank(
    server: Server, options: ServeOptions, life: Life, open_bank: Callable[[], None] | None
) -> int:
    """Run a server under its clients' load until the life's end. Returns the exit code.

    `open_bank` makes the bank on a running server the first time. Raises ServeError.
    """
    server.start()
    try:
        if open_bank:
            open_bank()
        folder = options.folders.receipts
        receipts = ReceiptsFile(folder, options.clients, at_once=True) if folder else None
        gate = Gate()
        customers = [
            Customer(number, server.teller, gate, receipts, seed=options.seed)
            for number in range(options.clients)
        ]
        clients = clients_of(customers, held=lambda: not server.runs(), on_failure=life.fail)
        clients.start()
        exit_code = serve(Application(server, clients, gate), options.socket, life)
        server.stop(_STOP_DEADLINE_S)
    finally:
        server.kill()
    return exit_code


def run_all(teller: Teller, statements: Sequence[str]) -> None:
    """Run statements, each a transaction of its own, and end the connection. Raises BankClosedError."""
    for statement in statements:
        teller.run([statement])
    teller.close()
