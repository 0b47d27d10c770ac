"""`python -m local.guests.postgresql`: see local/guests/command_line.py; roles data, wal, tablespace."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psycopg

from local.guests import bank
from local.guests.command_line import CommandLine, Finding, Folders, ServeError
from local.guests.daemon import flush, own_folder
from local.guests.postgresql.server import ROLES, USER, PostgreSQL, binaries
from local.guests.served import ServedBank, run_all

if TYPE_CHECKING:
    from pathlib import Path

_SOCKETS = "postgresql"  # beside the control socket, on a tmpfs, as /var/run/postgresql is

# `teller` must see every page of its tables: amcheck is for superusers.
_NEW_BANK = "CREATE ROLE teller SUPERUSER LOGIN; CREATE DATABASE bank OWNER teller;"

_TABLES = ("checking", "savings", "ledger")


def _server(folders: Folders, runtime: Path) -> PostgreSQL:
    programs = binaries()
    if programs is None:
        raise ServeError("no PostgreSQL server is installed: apt-get install postgresql (make system-deps)")
    sockets = own_folder(runtime / _SOCKETS, USER, 0o755)
    return PostgreSQL(programs, folders.by_role, sockets, runtime / "postgresql.log")


def _open_bank(server: PostgreSQL, folders: Folders) -> None:
    server.administer("postgres", _NEW_BANK)
    place = folders.by_role["tablespace"] / "third"
    server.administer("bank", f"CREATE EXTENSION amcheck; CREATE TABLESPACE third LOCATION '{place}';")
    run_all(server.teller(), [*bank.create_tables(savings_place="TABLESPACE third"), *bank.open_accounts()])
    flush(*folders.by_role.values())


def _look(server: PostgreSQL, folders: Folders) -> Finding:
    try:
        teller = server.teller()
        for table in _TABLES:
            if teller.rows(f"SELECT blkno FROM verify_heapam('{table}') LIMIT 1"):
                return bank.broken(f"heap corrupt: {table}")
            teller.run([f"SELECT bt_index_check('{table}_pkey', heapallindexed => true)"])
        found = bank.judge(teller.rows, folders.receipts)
        run_all(teller, [*bank.REWRITE, "VACUUM", "CHECKPOINT"])
    except (psycopg.Error, bank.BankClosedError) as error:
        return bank.broken(f"it starts, but: {_cause(str(error))}")
    return found


def _cause(said: str) -> str:
    """Pick the line that says why out of a log; its last line if there is none."""
    lines = said.splitlines() or [""]
    # While it recovers the server refuses connections in words that look grave.
    grave = [line for line in lines if "FATAL" in line and "is starting up" not in line]
    line = next((line for line in lines if "PANIC" in line), (grave or lines[-1:])[0])
    return line.partition("] ")[2] or line


_BANK = ServedBank(_server, _open_bank, _look, _cause, missing="the cluster is missing")
POSTGRESQL = CommandLine("postgresql", ROLES, _BANK.serve, _BANK.check)


if __name__ == "__main__":
    sys.exit(POSTGRESQL.main(sys.argv[1:]))
