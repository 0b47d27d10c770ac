"""`python -m local.guests.mariadb`: see local/guests/command_line.py; roles `datadir`, `redo`, `table`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pymysql

from local.guests import bank
from local.guests.command_line import CommandLine, Finding, Folders, ServeError
from local.guests.daemon import flush, own_folder
from local.guests.mariadb.server import ROLES, USER, MariaDB, programs
from local.guests.served import ServedBank, run_all

if TYPE_CHECKING:
    from pathlib import Path

_RUNTIME = "mysqld"  # beside the control socket, on a tmpfs, as /run/mysqld is
_TABLES = ("checking", "savings", "ledger")


def _server(folders: Folders, runtime: Path) -> MariaDB:
    found = programs()
    if found is None:
        raise ServeError("no MariaDB server is installed: apt-get install mariadb-server (make system-deps)")
    return MariaDB(found, folders.by_role, own_folder(runtime / _RUNTIME, USER, 0o755))


def _open_bank(server: MariaDB, folders: Folders) -> None:
    place = folders.by_role["table"] / "space"
    tables = bank.create_tables(savings_place=f"DATA DIRECTORY='{place}'")
    run_all(server.teller(), [*tables, *bank.open_accounts()])
    flush(*folders.by_role.values())


def _look(server: MariaDB, folders: Folders) -> Finding:
    try:
        teller = server.teller()
        checked = [row for table in _TABLES for row in teller.rows(f"CHECK TABLE {table} EXTENDED")]
        if wrong := [row for row in checked if str(row[3]) != "OK"]:
            return bank.broken(f"CHECK TABLE: {wrong[0][0]}: {wrong[0][3]}")
        found = bank.judge(teller.rows, folders.receipts)
        run_all(teller, bank.REWRITE)
    except (pymysql.err.Error, bank.BankClosedError) as error:
        return bank.broken(f"it starts, but: {error}")
    said = _errors(server.log.read_text(errors="replace"))
    return bank.broken(f"it starts, but: {said}") if found.whole and "[ERROR]" in said else found


def _errors(log: str) -> str:
    """Pick the first line that says why out of a log; its last line if there is none."""
    lines = log.splitlines() or [""]
    line = next((line for line in lines if "[ERROR]" in line or "Assertion" in line), lines[-1])
    return line[line.find("[ERROR]") :] if "[ERROR]" in line else line


_BANK = ServedBank(_server, _open_bank, _look, _errors, missing="the data directory is missing")
MARIADB = CommandLine("mariadb", ROLES, _BANK.serve, _BANK.check)


if __name__ == "__main__":
    sys.exit(MARIADB.main(sys.argv[1:]))
