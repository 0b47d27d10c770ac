"""A database with a server of its own, as its administrator handles it: stopped, and started again."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from local.guests.bank import broken
from local.guests.command_line import ServeError
from local.guests.customers import clients_of
from local.guests.load import Gate, NothingWrittenError
from local.guests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.guests.bank import Teller
    from local.guests.command_line import Finding, Folders, ServeOptions
    from local.guests.load import Clients, Status
    from local.guests.serving import Life

_STOP_DEADLINE_S = 20.0


class Server(Protocol):
    """A database server."""

    @property
    def exists(self) -> bool:
        """Whether its data were made before."""

    def create(self) -> None:
        """Make its data. Raises ServeError."""

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


@dataclass(frozen=True)
class ServedBank[S: Server]:
    """A bank in a database with a server of its own: how it is made, run, and looked at in a restored copy.

    `server` makes the server for the folders of its roles and a runtime folder, or raises ServeError.
    `open_bank` makes the bank on a running one, the first time; `look` judges a restored one that has
    started; `cause` picks the line that says why out of a log; `missing` says what is not there.
    """

    server: Callable[[Folders, Path], S]
    open_bank: Callable[[S, Folders], None]
    look: Callable[[S, Folders], Finding]
    cause: Callable[[str], str]
    missing: str

    def serve(self, options: ServeOptions, life: Life) -> int:
        """Run the server under its clients' load until the life's end. Returns the exit code.

        Raises ServeError.
        """
        server = self.server(options.folders, options.socket.parent)
        new = not server.exists
        if new:
            server.create()
        server.start()
        try:
            if new:
                self.open_bank(server, options.folders)
            gate = Gate()
            clients = clients_of(
                options, server.teller, gate, held=lambda: not server.runs(), on_failure=life.fail
            )
            clients.start()
            exit_code = serve(Application(server, clients, gate), options.socket, life)
            server.stop(_STOP_DEADLINE_S)
        finally:
            server.kill()
        return exit_code

    def check(self, folders: Folders) -> Finding:
        """Start the server on a restored copy, and look. Raises ServeError where there is none to start."""
        # In the restored VM /run is empty, as after a boot.
        with tempfile.TemporaryDirectory(prefix="stillframe-", dir="/run") as runtime:
            Path(runtime).chmod(0o711)
            server = self.server(folders, Path(runtime))
            if not server.exists:
                return broken(self.missing)
            try:
                server.start()
            except ServeError as error:
                return broken(f"start failed: {self.cause(error.reason)}")
            try:
                return self.look(server, folders)
            finally:
                server.kill()


def run_all(teller: Teller, statements: Sequence[str]) -> None:
    """Run statements, each a transaction of its own, and end the connection. Raises BankClosedError."""
    for statement in statements:
        teller.run([statement])
    teller.close()
