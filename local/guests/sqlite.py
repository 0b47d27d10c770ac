"""SQLite with two database files on two disks, ATTACHed to each other: a transfer changes both.

python -m local.guests.sqlite: see local/guests/command_line.py; its roles are `first` and `second`.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from typing import TYPE_CHECKING

from local.guests import bank
from local.guests.command_line import CommandLine, Finding, Folders, ServeOptions
from local.guests.customers import Customer, clients_of
from local.guests.load import Gate, ReleasedMeanwhileError
from local.guests.receipts import ReceiptsFile
from local.guests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.guests.load import Clients, Status
    from local.guests.serving import Life

_BUSY_TIMEOUT_S = 60.0
_CHECKING_FILE = "checking.db"  # with the ledger
_SAVINGS_FILE = "savings.db"


class Connection:
    """A connection to both files. Used by one thread alone."""

    def __init__(self, folders: Mapping[str, Path], turn: threading.Lock) -> None:
        """Open both files; they are made if they are missing. `turn` lets one write at a time."""
        self._turn = turn
        self._connection = sqlite3.connect(
            folders["first"] / _CHECKING_FILE, timeout=_BUSY_TIMEOUT_S, isolation_level=None
        )
        self._connection.execute("ATTACH DATABASE ? AS second", (str(folders["second"] / _SAVINGS_FILE),))
        for schema in ("main", "second"):
            self._connection.execute(f"PRAGMA {schema}.synchronous = FULL")  # acknowledged is on the disk

    def journal_mode(self, mode: str) -> None:
        """Set how both files are journalled, for good."""
        for schema in ("main", "second"):
            self._connection.execute(f"PRAGMA {schema}.journal_mode = {mode}")

    def run(self, statements: Sequence[str]) -> None:
        """Run statements as one transaction. Raises BankClosedError."""
        try:
            with self._turn:
                self._connection.execute("BEGIN IMMEDIATE")
                for statement in statements:
                    self._connection.execute(statement)
                self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise bank.BankClosedError(str(error)) from error

    def rows(self, query: str) -> Sequence[Sequence[int]]:
        """Give a query's rows. Raises BankClosedError."""
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            raise bank.BankClosedError(str(error)) from error

    def damage(self) -> str:
        """Say what SQLite itself finds wrong in the files; "" if nothing."""
        for schema in ("main", "second"):
            [(said, *_), *_] = self._connection.execute(f"PRAGMA {schema}.integrity_check").fetchall()
            if said != "ok":
                return f"{schema}: {said}"
        return ""

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Application:
    """SQLite's users as their administrator handles them: no write is begun while they are held.

    SQLite has no process of its own that writes on; every commit is on the disks when it is acknowledged.
    """

    def __init__(self, gate: Gate, clients: Clients) -> None:
        self._gate = gate
        self._clients = clients

    def hold(self, timeout_s: float) -> Status:
        """Stop all writes. Raises HoldTimeoutError and ReleasedMeanwhileError."""
        self._gate.close(timeout_s)
        status = self._clients.status()
        if not status.held:
            raise ReleasedMeanwhileError
        return status

    def release(self, timeout_s: float) -> Status:
        """Let writes go on, and see one. Raises NothingWrittenError."""
        before = self._clients.status().transfers
        self._gate.open()
        return self._clients.until_one_more(before, timeout_s)

    def pause(self, timeout_s: float) -> Status:
        """Let the clients rest. Raises HoldTimeoutError and ReleasedMeanwhileError."""
        return self.hold(timeout_s)  # it writes for its clients alone

    def go_on(self, timeout_s: float) -> Status:
        """Let the clients work again. Raises NothingWrittenError."""
        return self.release(timeout_s)

    def let_go(self) -> None:
        """Let writes go on, without waiting to see one."""
        self._gate.open()

    def status(self) -> Status:
        """Return the figures of this instant."""
        return self._clients.status()


def _serve(options: ServeOptions, life: Life) -> int:
    places = options.folders.by_role
    if not (places["first"] / _CHECKING_FILE).exists():
        _open_bank(places, options.choices["journal"])
    gate, turn = Gate(), threading.Lock()
    receipts = options.folders.receipts and ReceiptsFile(
        options.folders.receipts, options.clients, at_once=True
    )
    customers = [
        Customer(number, lambda: Connection(places, turn), gate, receipts or None, seed=options.seed)
        for number in range(options.clients)
    ]
    clients = clients_of(customers, held=lambda: gate.closed, on_failure=life.fail)
    clients.start()
    return serve(Application(gate, clients), options.socket, life)


def _open_bank(places: Mapping[str, Path], journal: str) -> None:
    connection = Connection(places, threading.Lock())
    connection.journal_mode(journal)
    tables = bank.create_tables()
    tables[1] = tables[1].replace("TABLE savings", "TABLE second.savings")
    connection.run([*tables, *bank.open_accounts()])
    connection.close()


def _check(folders: Folders) -> Finding:
    for role, name in (("first", _CHECKING_FILE), ("second", _SAVINGS_FILE)):
        if not (folders.by_role[role] / name).exists():
            return bank.broken(f"{name} is missing")
    try:
        connection = Connection(
            folders.by_role, threading.Lock()
        )  # a hot journal is rolled back by whoever reads first
        if damage := connection.damage():
            return bank.broken(f"damaged: {damage}")
        found = bank.judge(connection.rows, folders.receipts)
        connection.run(bank.REWRITE)
        connection.close()
    except (sqlite3.DatabaseError, bank.BankClosedError) as error:
        return bank.broken(f"cannot be read: {error}")
    return found


SQLITE = CommandLine("sqlite", ("first", "second"), _serve, _check, {"journal": ("delete", "wal")})


if __name__ == "__main__":
    sys.exit(SQLITE.main(sys.argv[1:]))
