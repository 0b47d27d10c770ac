"""A MariaDB server of Debian's packages, run as its own user on a guest's disks."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pymysql
from pymysql.constants import CLIENT

from local.guests.bank import BankClosedError
from local.guests.daemon import Daemon, flush, own_folder, run_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

USER = "mysql"
ROLES = ("datadir", "redo", "table")
PORT = 3306

#: A busy server in small: what a large one does in minutes (pages leaving the cache, the redo log going
#: round) this one does in seconds.
_BUSY = ("--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-io-capacity=2000")

# Runs at every start, a statement a line; a password would protect nothing inside the guest.
_NEW_BANK = (
    "CREATE DATABASE IF NOT EXISTS bank;\n"
    "CREATE USER IF NOT EXISTS teller@localhost;\n"
    "GRANT ALL ON bank.* TO teller@localhost;\n"
)


@dataclass(frozen=True)
class Programs:
    """The server and the program that makes its system tables."""

    server: str
    install: str


def programs() -> Programs | None:
    """Find them where Debian puts them."""
    path = "/usr/sbin:/usr/bin:/usr/local/bin"
    server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    return Programs(server, install) if server and install else None


class Teller:
    """A connection to the bank."""

    def __init__(self, socket: Path) -> None:
        """Connect. Raises BankClosedError."""
        try:
            self._connection = pymysql.connect(
                unix_socket=str(socket),
                user="teller",
                database="bank",
                autocommit=True,
                client_flag=CLIENT.MULTI_STATEMENTS,
                connect_timeout=10,
            )
        except (pymysql.err.OperationalError, OSError) as error:
            raise BankClosedError(str(error)) from error

    def run(self, statements: Sequence[str]) -> None:
        """Run statements as one transaction, in one round trip. Raises BankClosedError."""
        text = ";".join(statements)
        self.rows(text if len(statements) == 1 else f"BEGIN;{text};COMMIT")

    def rows(self, query: str) -> Sequence[Sequence[int]]:
        """Give a query's rows. Raises BankClosedError."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query)
                found = cursor.fetchall()
                while cursor.nextset():  # the error of a later statement comes with its own result
                    pass
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            raise BankClosedError(str(error)) from error
        return found

    def close(self) -> None:
        """End the connection."""
        try:
            self._connection.close()
        except (pymysql.err.Error, OSError) as error:
            raise BankClosedError(str(error)) from error


class MariaDB:
    """The server on the folders of its three roles; socket, pid file and error log lie in `runtime`."""

    def __init__(self, found: Programs, folders: Mapping[str, Path], runtime: Path) -> None:
        self._programs = found
        self._folders = folders
        self._runtime = runtime
        self._data = folders["datadir"] / "data"
        self.socket = runtime / "mysqld.sock"
        self.log = runtime / "error.err"  # the server appends .err to a name without
        places = [f"--datadir={self._data}", f"--innodb-log-group-home-dir={folders['redo'] / 'redo'}"]
        self._options = ["--no-defaults", *places, f"--tmpdir={runtime}", *_BUSY]
        self._daemon = Daemon(
            [found.server, *self._options, *self._listening()],
            USER,
            self.log,
            stop_by=signal.SIGTERM,
            kill_by=signal.SIGKILL,
        )

    def runs(self) -> bool:
        """Say whether its process is there."""
        return self._daemon.runs()

    @property
    def exists(self) -> bool:
        """Whether there is a data directory to start on."""
        return self._data.exists()

    def create(self) -> None:
        """Make the system tables, with the redo log on a disk of its own. Raises ServeError."""
        own_folder(self._data, USER)
        own_folder(self._folders["redo"] / "redo", USER)
        own_folder(self._folders["table"] / "space", USER)
        rules = ("--auth-root-authentication-method=socket", "--skip-test-db")
        run_as(USER, self._programs.install, *self._options, *rules)
        flush(*self._folders.values())

    def start(self) -> None:
        """Start it and wait until it answers. Raises ServeError."""
        self._daemon.start(self._accepts)

    def stop(self, timeout_s: float) -> None:
        """End it in good order. Raises HoldTimeoutError."""
        self._daemon.stop(timeout_s)

    def kill(self) -> None:
        """End it at once."""
        self._daemon.kill()

    def teller(self) -> Teller:
        """Open a connection to the bank. Raises BankClosedError."""
        return Teller(self.socket)

    def _accepts(self) -> bool:
        try:
            self.teller().close()
        except BankClosedError:
            return False
        return True

    def _listening(self) -> list[str]:
        start = self._runtime / "start.sql"
        start.write_text(_NEW_BANK)
        start.chmod(0o644)
        return [
            f"--socket={self.socket}",
            f"--pid-file={self._runtime / 'mysqld.pid'}",
            f"--init-file={start}",
            "--skip-networking",
        ]
