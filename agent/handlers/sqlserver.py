"""SQL Server 2022 and later, on Linux and Windows, by `sqlcmd`: databases suspended for a snapshot backup.

SUSPEND_FOR_SNAPSHOT_BACKUP holds the writes of user databases, in groups of at most 64; master, model and
msdb cannot be suspended. By default MODE = COPY_ONLY, so that the base of differential backups stays as it
is. A suspended database stays so until somebody says otherwise: so it is noted before, and undone by whoever
is alive. With ``backup_folder`` each group is let go by BACKUP GROUP ... WITH METADATA_ONLY, whose file
(.bkm) is what a restore with RESTORE ... WITH METADATA_ONLY needs beside the disks.

(Microsoft's documentation: "Create a Transact-SQL snapshot backup", sys.dm_server_suspend_status.)
"""

import os
import sys
import time
from typing import Callable, Dict, List, Mapping, Tuple

from agent.handlers import FROZEN, Handler, HandlerFailed, Held, Proof, Undo
from agent.handlers.clients import run
from agent.handlers.sites import Site, deadline_in, left_ms

GUEST = frozenset(
    ["client", "user", "server", "login", "password_file", "databases", "trust_certificate", "backup_folder"]
)
SETTINGS = frozenset(["databases", "copy_only"])

#: The most databases of one command (error 925).
GROUP = 64
_OLDEST = 16
_SOON_MS = 5_000
#: How long proving and letting go may take (ms): six commands, each of which starts a client and logs in.
RESUME_MS = 15_000
#: By how much the server's clock of a suspension may lag behind ours (ms).
_SLACK_MS = 1_000
PLACES: Tuple[str, ...] = ("/opt/mssql-tools18/bin", "/opt/mssql-tools/bin")
#: Arguments of sqlcmd that only Windows wants: elsewhere it prints UTF-8 by itself.
_OUTPUT: Tuple[str, ...] = ()

if sys.platform == "win32":
    import winreg

    #: Where sqlcmd (Go) and those of the ODBC drivers 18 and 17 are installed ("sqlcmd utility", Microsoft).
    PLACES = (
        "C:\\Program Files\\SqlCmd",
        "C:\\Program Files\\Microsoft SQL Server\\Client SDK\\ODBC\\180\\Tools\\Binn",
        "C:\\Program Files\\Microsoft SQL Server\\Client SDK\\ODBC\\170\\Tools\\Binn",
    )
    _OUTPUT = ("-f", "65001")

    def _installed() -> bool:
        """Say whether an instance is installed: a client alone says nothing of a server."""
        path = "SOFTWARE\\Microsoft\\Microsoft SQL Server\\Instance Names\\SQL"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                return winreg.QueryInfoKey(key)[1] > 0
        except OSError:
            return False

else:

    def _installed() -> bool:
        """Say whether the server's own program is there."""
        return os.path.exists("/opt/mssql/bin/sqlservr")


_STATUS = "SELECT db_name, is_write_io_frozen, suspend_time_ms FROM sys.dm_server_suspend_status"
_USER_DATABASES = (
    "SELECT name FROM sys.databases WHERE database_id > 4 AND state_desc = 'ONLINE' AND is_read_only = 0 "
    "AND source_database_id IS NULL AND name <> 'tempdb' ORDER BY name"
)


class SQLServer(Handler):
    """One instance."""

    def __init__(self, site: Site) -> None:
        site.check(SETTINGS, GUEST)
        self._site = site
        self._mode = site.chosen_mode((FROZEN,))
        self._copy_only = site.settings.get("copy_only", "yes")
        if self._copy_only not in ("yes", "no"):
            raise HandlerFailed("bad_setting", "settings.copy_only: expected yes or no")
        self._server = site.guest_text("server", "localhost")
        self._databases: List[str] = []
        self._suspended: List[List[str]] = []
        self._started = ""
        self._since = 0.0
        self._version = ""
        self._cancelled = False

    def detect(self) -> bool:
        """Look for the server, and for the client."""
        try:
            self._site.client(["sqlcmd"], PLACES)
        except HandlerFailed:
            return False
        return _installed()

    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Connect, and find the databases; nobody else may have suspended one."""
        rows = self._ask(
            "SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS int), "
            "CAST(SERVERPROPERTY('ProductVersion') AS varchar(40)), "
            "CONVERT(varchar(40), sqlserver_start_time, 126) FROM sys.dm_os_sys_info",
            deadline_ms,
        )
        major, self._version, self._started = _row(rows, 3)
        if int(major) < _OLDEST:
            raise HandlerFailed("too_old", "SQL Server {}; 2022 (16) is needed.".format(self._version))
        found = [row[0] for row in self._ask(_USER_DATABASES, deadline_ms)]
        asked = (self._site.settings.get("databases") or self._site.guest_text("databases")).split(",")
        named = [name.strip() for name in asked if name.strip()]
        missing = [name for name in named if name not in found]
        if missing:
            detail = "databases: {} cannot be suspended: not there, not online or read-only"
            raise HandlerFailed("bad_setting", detail.format(", ".join(missing)))
        self._databases = named or found
        if not self._databases:
            raise HandlerFailed("absent", "There is no user database to hold.")
        others = sorted(set(self._status(deadline_ms)) & set(self._databases))
        if others:
            raise HandlerFailed("held_already", "Suspended by somebody else: {}.".format(", ".join(others)))
        return ()

    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Suspend, group by group; then look that every write is held."""
        deadline = deadline_in(deadline_ms)
        mode = ", MODE = COPY_ONLY" if self._copy_only == "yes" else ""
        for start in range(0, len(self._databases), GROUP):
            group = self._databases[start : start + GROUP]
            if self._cancelled:
                raise HandlerFailed("called_off", "It was called off.")
            self._suspended.append(group)
            note({"suspended": "\n".join(name for one in self._suspended for name in one)})
            statement = "ALTER SERVER CONFIGURATION SET SUSPEND_FOR_SNAPSHOT_BACKUP = ON (GROUP = ({}){})"
            self._ask(statement.format(_list(group), mode), left_ms(deadline))
        self._since = time.monotonic()
        status = self._status(left_ms(deadline))
        loose = [name for name in self._databases if status.get(name, ("0", "0"))[0] != "1"]
        if loose:
            raise HandlerFailed("refused", "The writes of {} are not held.".format(", ".join(loose)))
        detail = "SQL Server {}, {} databases suspended{}: {}".format(
            self._version, len(self._databases), mode, ", ".join(self._databases)[:500]
        )
        return Held("sqlserver:" + self._server, self._mode, detail)

    def resume(self) -> Proof:
        """See that every database was suspended all the time; then let it go, by a backup where wanted."""
        wrong = self._wrong()
        folder = self._site.guest_text("backup_folder")
        if folder and not wrong:
            try:
                kept = self._back_up(folder)
            except HandlerFailed as failure:
                self._resume_all(self._databases)
                return Proof(whole=False, detail="No metadata backup: {}".format(failure.detail))
            return Proof(whole=True, detail="metadata backup: {}".format(", ".join(kept)))
        self._resume_all(self._databases)
        return Proof(not wrong, wrong)

    def verify(self) -> str:
        """Read, and see that none of ours is suspended."""
        try:
            left = sorted(set(self._status(_SOON_MS)) & set(self._databases))
        except HandlerFailed as failure:
            return "sqlserver:{} does not answer: {}".format(self._server, failure)
        return "Still suspended: {}.".format(", ".join(left)) if left else ""

    def undo(self, undo: Mapping[str, str]) -> None:
        """Let go the databases that were ours."""
        self._resume_all([name for name in undo.get("suspended", "").split("\n") if name])

    def cancel(self) -> None:
        """Suspend no further; a command under way ends by its own time-out."""
        self._cancelled = True

    def close(self) -> None:
        """Do nothing: there is no session."""

    def _resume_all(self, databases: List[str]) -> None:
        """Let go at the level of the suspension: of the server as a whole, or of each database."""
        if not databases:
            return
        whole = _row(self._ask("SELECT SERVERPROPERTY('IsServerSuspendedForSnapshotBackup')", _SOON_MS), 1)[0]
        if whole == "1":
            self._ask("ALTER SERVER CONFIGURATION SET SUSPEND_FOR_SNAPSHOT_BACKUP = OFF", _SOON_MS)
        status = self._status(_SOON_MS)
        text = "ALTER DATABASE {} SET SUSPEND_FOR_SNAPSHOT_BACKUP = OFF"
        orders = [text.format(_quoted(name)) for name in databases if name in status]
        if orders:  # in one command: each costs a start and a login, and the databases wait
            self._ask("; ".join(orders), 2 * _SOON_MS)

    def _back_up(self, folder: str) -> List[str]:
        kept = []
        for number, group in enumerate(self._suspended):
            name = "stillframe-{}-{}.bkm".format(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), number)
            path = os.path.join(folder, name)
            text = "BACKUP GROUP {} TO DISK = N'{}' WITH METADATA_ONLY, FORMAT"
            self._ask(text.format(_list(group), path.replace("'", "''")), 2 * _SOON_MS)
            kept.append(path)
        return kept

    def _status(self, timeout_ms: int) -> Dict[str, Tuple[str, str]]:
        """Give of every suspended database: are its writes held (1), and for how long (ms)."""
        rows = (_row([row], 3) for row in self._ask(_STATUS, timeout_ms))
        return {name: (frozen, since) for name, frozen, since in rows}

    def _wrong(self) -> str:
        held_ms = int((time.monotonic() - self._since) * 1000)
        try:
            status = self._status(_SOON_MS)
            text = "SELECT CONVERT(varchar(40), sqlserver_start_time, 126) FROM sys.dm_os_sys_info"
            started = _row(self._ask(text, _SOON_MS), 1)[0]
        except HandlerFailed as failure:
            return str(failure)
        if started != self._started:
            return "The server was started again at {}.".format(started)
        for name in self._databases:
            frozen, since = status.get(name, ("0", "0"))
            if frozen != "1" or int(since) < held_ms - _SLACK_MS:
                return "The database {} was not suspended all the time.".format(name)
        return ""

    def _ask(self, statement: str, timeout_ms: int) -> List[List[str]]:
        """Run one statement; gives its rows."""
        site = self._site
        seconds = str(max(1, timeout_ms // 1000))
        command = [site.client(["sqlcmd"], PLACES), "-S", self._server, "-b", "-h", "-1", "-W", "-s", "\t"]
        command += ["-w", "65535", "-l", "5", "-t", seconds, *_OUTPUT]
        environ = dict(site.environ)
        if site.guest_text("login"):
            command += ["-U", site.guest_text("login")]
            environ["SQLCMDPASSWORD"] = _secret(site.guest_text("password_file"))
        else:
            command.append("-E")
        if site.guest_text("trust_certificate") == "yes":
            command.append("-C")
        command += ["-Q", "SET NOCOUNT ON; {};".format(statement)]
        text = run(command, environ, timeout_ms + 1_000, site.guest_text("user"))
        return [line.split("\t") for line in text.splitlines() if line.strip()]


def _row(rows: List[List[str]], columns: int) -> List[str]:
    if not rows or len(rows[0]) != columns:
        raise HandlerFailed("refused", "sqlcmd answered in a way that is not understood: {}".format(rows[:1]))
    return rows[0]


def _secret(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().strip()
    except OSError as error:
        wrong = error.strerror
    except UnicodeDecodeError:
        wrong = "not UTF-8"
    detail = "the guest's section.password_file: {}: {}".format(path or "not set", wrong)
    raise HandlerFailed("bad_setting", detail)


def _quoted(name: str) -> str:
    return "[{}]".format(name.replace("]", "]]"))


def _list(names: List[str]) -> str:
    return ", ".join(map(_quoted, names))
