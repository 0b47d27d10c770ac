"""A PostgreSQL server of Debian's packages, run as its own user on a guest's disks."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from local.guests.bank import BankClosedError
from local.guests.daemon import Daemon, flush, own_folder, run_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PORT = 5432
USER = "postgres"
ROLES = ("data", "wal", "tablespace")

#: A busy server in small: what a large one does in minutes (pages leaving the cache, checkpoints, segments
#: recycled) this one does in seconds. With the defaults unheld copies break as well, only seldom.
_SETTINGS = """
listen_addresses = ''
max_connections = 40
shared_buffers = 1MB
max_wal_size = 4MB
min_wal_size = 2MB
checkpoint_timeout = 30s
bgwriter_delay = 10ms
"""

# Debian's rule for the server's own user, and clients that need no password inside the guest.
_ACCESS = """local bank teller trust
local all all peer
"""


def binaries() -> Path | None:
    """Find the programs of the newest installed server."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


class Teller:
    """A connection to the bank."""

    def __init__(self, sockets: Path) -> None:
        """Connect. Raises BankClosedError."""
        try:
            self._connection = psycopg.connect(
                host=str(sockets),
                port=PORT,
                user="teller",
                dbname="bank",
                autocommit=True,
                connect_timeout=10,
            )
        except psycopg.OperationalError as error:
            raise BankClosedError(str(error)) from error

    def run(self, statements: Sequence[str]) -> None:
        """Run statements as one transaction, in one round trip. Raises BankClosedError."""
        text = ";".join(statements)
        self._execute(text if len(statements) == 1 else f"BEGIN;{text};COMMIT")

    def rows(self, query: str) -> Sequence[Sequence[int]]:
        """Give a query's rows. Raises BankClosedError."""
        return self._execute(query).fetchall()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _execute(self, text: str) -> psycopg.Cursor[tuple[int, ...]]:
        try:
            return self._connection.execute(text.encode())
        except psycopg.OperationalError as error:
            raise BankClosedError(str(error)) from error


class PostgreSQL:
    """The server on the folders of its three roles; its socket lies in `sockets`."""

    def __init__(self, programs: Path, folders: Mapping[str, Path], sockets: Path, log: Path) -> None:
        self._programs = programs
        self._folders = folders
        self._sockets = sockets
        self._cluster = folders["data"] / "cluster"
        command = [str(programs / "postgres"), "-D", str(self._cluster), "-p", str(PORT), "-k", str(sockets)]
        # SIGINT is a fast shutdown, SIGQUIT an immediate one (PostgreSQL, "Shutting Down the Server").
        self._daemon = Daemon(command, USER, log, stop_by=signal.SIGINT, kill_by=signal.SIGQUIT)

    def runs(self) -> bool:
        """Say whether its process is there."""
        return self._daemon.runs()

    @property
    def exists(self) -> bool:
        """Whether there is a cluster to start."""
        return self._cluster.exists()

    def create(self) -> None:
        """Make the cluster, with its log on a disk of its own. Raises ServeError."""
        own_folder(self._cluster, USER)
        wal = own_folder(self._folders["wal"] / "wal", USER)
        own_folder(self._folders["tablespace"] / "third", USER)
        options = ("--no-instructions", "--no-sync", "--wal-segsize=1", "--auth=peer", f"--username={USER}")
        run_as(USER, str(self._programs / "initdb"), f"--pgdata={self._cluster}", f"--waldir={wal}", *options)
        with (self._cluster / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        (self._cluster / "pg_hba.conf").write_text(_ACCESS)
        flush(*self._folders.values())

    def start(self) -> None:
        """Start it and wait until it answers its own user. Raises ServeError."""
        self._daemon.start(self._accepts)

    def stop(self, timeout_s: float) -> None:
        """End it in good order. Raises HoldTimeoutError."""
        self._daemon.stop(timeout_s)

    def kill(self) -> None:
        """End it at once."""
        self._daemon.kill()

    def teller(self) -> Teller:
        """Open a connection to the bank. Raises BankClosedError."""
        return Teller(self._sockets)

    def administer(self, database: str, statements: str) -> None:
        """Run statements as the server's own user. Raises ServeError."""
        psql = (str(self._programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1")
        run_as(USER, *psql, "-h", str(self._sockets), "-p", str(PORT), "-d", database, given=statements)

    def _accepts(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._sockets), "-p", str(PORT)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
