"""The applications that a local guest can run: what disks they want, how they are started and checked."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Sections of the agent's own file in the guest (agent.guest_config): section -> option -> value.
type Sections = Mapping[str, Mapping[str, str]]

#: In a guest's runtime folder: the pid of the application, and what stands for systemctl there.
PID_FILE = "application.pid"
SYSTEMCTL = "systemctl"
UNIT = "application.service"


class UnknownApplicationError(Exception):
    """No application has this name; `known` are those there are."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no application {name!r}: choose one of {', '.join(known)}")
        self.name = name
        self.known = known


@dataclass(frozen=True)
class Application:
    """An application whose data lie on several disks.

    `module` is run as `python -m MODULE serve|check` (local.guests.command_line), with an option for the
    folder of each role; the roles get the VM's data disks in the order of their LUNs. `obstacle` says in a
    line why it cannot run on this machine, "" if it can. `handler` is the agent's handler that knows it.
    `settings` gives what the guest's administrator tells that handler, by the guest's runtime folder, and
    `pid_file` the file that names the process which writes, by that and the folders of the roles.
    """

    name: str
    module: str
    roles: tuple[str, ...]
    disk_mib: int
    serve_options: tuple[str, ...] = ()
    needs_real_disks: bool = True
    obstacle: Callable[[], str] = lambda: ""
    handler: str = ""
    settings: Callable[[Path], Mapping[str, str]] = lambda _runtime: {}
    pid_file: Callable[[Path, Mapping[str, Path]], Path] = lambda runtime, _folders: runtime / PID_FILE

    def sections(self, runtime: Path, folders: Mapping[str, Path]) -> Sections:
        """Give the sections of the agent's own file: where the application is, and what may be stopped."""
        services = {
            "units": UNIT,
            "client": str(runtime / SYSTEMCTL),
            "pid_files": str(self.pid_file(runtime, folders)),
        }
        known = {self.handler: dict(self.settings(runtime))} if self.handler else {}
        return {"services": services, **known}


def _no_postgresql() -> str:
    if any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return ""
    return "no PostgreSQL server is installed: apt-get install postgresql (make system-deps)"


def _no_mariadb() -> str:
    if shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin"):
        return ""
    return "no MariaDB server is installed: apt-get install mariadb-server (make system-deps)"


_ALL = (
    Application("ledger", "local.guests.ledger", ("journal", "accounts"), 64, needs_real_disks=False),
    Application("sqlite", "local.guests.sqlite", ("first", "second"), 128),
    Application("sqlite-wal", "local.guests.sqlite", ("first", "second"), 128, ("--journal", "wal")),
    Application(
        "postgresql",
        "local.guests.postgresql",
        ("data", "wal", "tablespace"),
        512,
        obstacle=_no_postgresql,
        handler="postgresql",
        settings=lambda runtime: {"host": str(runtime / "postgresql"), "port": "5432"},
        pid_file=lambda _runtime, folders: folders["data"] / "cluster" / "postmaster.pid",
    ),
    Application(
        "mariadb",
        "local.guests.mariadb",
        ("datadir", "redo", "table"),
        512,
        obstacle=_no_mariadb,
        handler="mariadb",
        settings=lambda runtime: {"socket": str(runtime / "mysqld" / "mysqld.sock")},
        pid_file=lambda runtime, _folders: runtime / "mysqld" / "mysqld.pid",
    ),
)

APPLICATIONS: Mapping[str, Application] = {application.name: application for application in _ALL}


def application_of(name: str) -> Application:
    """Find an application.

    Raises UnknownApplicationError.
    """
    if name not in APPLICATIONS:
        raise UnknownApplicationError(name, tuple(APPLICATIONS))
    return APPLICATIONS[name]
