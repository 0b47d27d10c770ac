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
from local.guests.customers import clients_of
from local.guests.gated import Gated
from local.guests.load import Gate
from local.guests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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


def _serve(options: ServeOptions, life: Life) -> int:
    # SQLite has no process of its own that writes on: every commit is on the disks when it is acknowledged.
    places = options.folders.by_role
    if not (places["first"] / _CHECKING_FILE).exists():
        _open_bank(places, options.choices["journal"])
    gate, turn = Gate(), threading.Lock()
    clients = clients_of(
        options, lambda: Connection(places, turn), gate, held=lambda: gate.closed, on_failure=life.fail
    )
    clients.start()
    return serve(Gated(gate, clients), options.socket, life)


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
