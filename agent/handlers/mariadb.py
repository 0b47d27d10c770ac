"""MariaDB and MySQL, by their own command line client.

Both modes hold a global read lock (FLUSH TABLES WITH READ LOCK) in one session that stays open: it ends with
this process, however it ends. ``frozen``: the filesystems are frozen on top, and they hold. ``drained``:
under the lock every dirty page is written, until nothing is left to be written; it holds by itself
(docs/proof.md, with MariaDB: 0 of 20 restored copies broken). The lock alone does not: pages are written on.

To drain, the limits of dirty pages are lowered for that time. The old ones are noted before, as the server
would keep the new ones.
"""

import abc
import os
import time
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from agent.handlers import DRAINED, FROZEN, Handler, HandlerFailed, Held, Proof, Undo
from agent.handlers.clients import Client
from agent.handlers.sites import Site, deadline_in, left_ms

GUEST = frozenset(["client", "user", "socket", "host", "port", "role", "defaults_file", "login_path"])
SETTINGS: FrozenSet[str] = frozenset()

#: What has the server write its dirty pages, and the value for that.
_LIMITS = ("innodb_max_dirty_pages_pct", "innodb_max_dirty_pages_pct_lwm")
#: Statistics are written ten seconds after the rows that they are of, lock or no lock.
_STATISTICS = "innodb_stats_auto_recalc"
#: What must not move while it is held: dirty pages, bytes written to tables and to the redo log.
_COUNTERS = ("Innodb_buffer_pool_pages_dirty", "Innodb_data_written", "Innodb_os_log_written")
#: How much of the redo log (bytes) no checkpoint covers yet; MySQL has no such counter.
_CHECKPOINT_AGE = "Innodb_checkpoint_age"
#: What the record of the last checkpoint itself needs: 16 bytes with MariaDB 10.11, 8 more when encrypted.
_CHECKPOINTED = 64
_PAUSE_S = 0.05
#: For how long the counters must stand still before everything is taken for written (s). A checkpoint is
#: written up to a second after the last page, so without one it takes longer to believe.
_STILL_S, _STILL_WITHOUT_CHECKPOINT_S = 0.3, 2.5
_SOON_MS = 2_500

#: Error numbers that say more than that the server refused (MariaDB's and MySQL's are the same).
_REASONS = {
    "1205": "busy",
    "1045": "denied",
    "1227": "denied",
    "1698": "denied",
    "2006": "lost",
    "2013": "lost",
}
_UNREACHABLE = ("2002", "2003", "2005")


class Session:
    """One connection, whose questions are answered by rows of texts."""

    def __init__(self, site: Site, tools: Tuple[str, ...]) -> None:
        self._count = 0
        # Options that name files come first (the client wants it so). It must not connect again by itself:
        # another session would not hold the lock.
        command = [site.client(tools)]
        if site.guest_text("defaults_file"):
            command.append("--defaults-file=" + site.guest_text("defaults_file"))
        if site.guest_text("login_path"):
            command.append("--login-path=" + site.guest_text("login_path"))
        command += ["--batch", "--skip-column-names", "--raw", "--unbuffered", "--force", "--skip-reconnect"]
        for option, switch in (("socket", "socket"), ("host", "host"), ("port", "port"), ("role", "user")):
            if site.guest_text(option):
                command.append("--{}={}".format(switch, site.guest_text(option)))
        self._client = Client(command, site.environ, site.guest_text("user"))

    def ask(self, statement: str, timeout_ms: int) -> List[List[str]]:
        """Run one statement; gives its rows.

        Raises:
            HandlerFailed: the server refused it, or the session is lost.
        """
        self._count += 1
        mark = "stillframe-{}".format(self._count)
        question = "{};\nSELECT '{}';\n".format(statement, mark)
        try:
            lines = self._client.ask(question, lambda text: text == mark, timeout_ms)[:-1]
        except HandlerFailed as failure:
            raise _named(failure) from None
        wrong = [text for text in lines if text.startswith("ERROR ")]
        if wrong:
            raise HandlerFailed(_REASONS.get(_number(wrong[0]), "refused"), wrong[0][:500])
        return [text.split("\t") for text in lines]

    def kill(self) -> None:
        """End the client at once."""
        self._client.kill()

    def close(self) -> None:
        """End the client, and with it the session and its lock."""
        self._client.close()


def _number(text: str) -> str:
    """Take the number out of `ERROR 1205 (HY000) at line 1: ...`."""
    return text.split(" ")[1] if text.startswith("ERROR ") else ""


def _named(failure: HandlerFailed) -> HandlerFailed:
    """Tell a client that could not connect from one that was lost, by what it said last."""
    number = _number(failure.detail[max(0, failure.detail.find("ERROR ")) :])
    if number in _UNREACHABLE:
        return HandlerFailed("unreachable", failure.detail)
    return HandlerFailed(_REASONS.get(number, failure.reason), failure.detail)


class Family(Handler):
    """One server of the family."""

    #: The handler's name, its client tools, the sockets by which it is detected, what its version tells.
    name = ""
    tools: Tuple[str, ...] = ()
    sockets: Tuple[str, ...] = ()

    def __init__(self, site: Site) -> None:
        site.check(SETTINGS, GUEST)
        self._site = site
        self._mode = site.chosen_mode((FROZEN, DRAINED))
        self._session: Optional[Session] = None
        self._connection = ""
        self._was_up = ""
        self._version = ""
        self._label = self.name
        self._limits: Dict[str, str] = {}
        self._counted: Tuple[str, ...] = ()

    @abc.abstractmethod
    def is_this(self, version: str) -> bool:
        """Say whether a server of this version is the one that the handler is for."""

    def detect(self) -> bool:
        """Look for the server's socket, and for a client."""
        named = self._site.guest_text("socket")
        if not any(os.path.exists(path) for path in ([named] if named else self.sockets)):
            return False
        try:
            self._site.client(self.tools)
        except HandlerFailed:
            return False
        return True

    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Connect."""
        session = self._session = Session(self._site, self.tools)
        rows = session.ask("SELECT VERSION(), @@port, CONNECTION_ID()", deadline_ms)
        self._version, port, self._connection = rows[0]
        where = port if port != "0" else self._site.guest_text("socket", "socket")
        self._label = "{}:{}".format(self.name, where)
        if not self.is_this(self._version):
            detail = "This server is {}; there is another handler for it.".format(self._version)
            raise HandlerFailed("absent", detail)
        return ()

    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Take the lock; in ``drained`` wait until everything is written."""
        deadline = deadline_in(deadline_ms)
        session = self._asked()
        if self._mode == DRAINED:
            rows = session.ask(_show("VARIABLES", (*_LIMITS, _STATISTICS)), left_ms(deadline))
            self._limits = {name.lower(): value for name, value in rows}
            note(dict(self._limits))
            lowered = {name: "OFF" if name == _STATISTICS else "0" for name in self._limits}
            self._set_limits(session, lowered, left_ms(deadline))
        # Behind a long statement the lock would wait for ever, and everybody else behind the lock.
        session.ask("SET SESSION lock_wait_timeout = {}".format(max(1, left_ms(deadline) // 1000)), _SOON_MS)
        session.ask("FLUSH TABLES WITH READ LOCK", left_ms(deadline))
        self._was_up = self._uptime(session)
        detail = "{} {}, global read lock in connection {}".format(self.name, self._version, self._connection)
        if self._mode == DRAINED:
            self._drain(session, deadline)
            detail += ", no dirty page left"
        return Held(self._label, self._mode, detail)

    def resume(self) -> Proof:
        """See that the session is the same, and in ``drained`` that nothing was written; then unlock."""
        session = self._asked()
        wrong = self._wrong(session)
        try:
            session.ask("UNLOCK TABLES", _SOON_MS)
            self._set_limits(session, self._limits, _SOON_MS)
        except HandlerFailed as failure:  # the session is lost, and its lock with it
            session.close()
            self.undo(self._limits)
            return Proof(whole=False, detail=wrong or str(failure))
        return Proof(not wrong, wrong)

    def verify(self) -> str:
        """Read, in a session that may have to be a new one."""
        try:
            self._asked().ask("SELECT COUNT(*) FROM information_schema.schemata", _SOON_MS)
        except HandlerFailed as failure:
            return "{} does not answer: {}".format(self._label, failure)
        return ""

    def undo(self, undo: Mapping[str, str]) -> None:
        """Give the limits their old values; the lock ends with its session."""
        limits = {name: undo[name] for name in (*_LIMITS, _STATISTICS) if name in undo}
        if not limits:
            return
        session = Session(self._site, self.tools)
        try:
            self._set_limits(session, limits, 2 * _SOON_MS)
        except HandlerFailed as failure:
            if failure.reason != "unreachable":  # a server that does not run has forgotten them
                raise
        finally:
            session.close()

    def cancel(self) -> None:
        """Kill the client."""
        if self._session is not None:
            self._session.kill()

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()

    def _asked(self) -> Session:
        if self._session is None:
            raise HandlerFailed("lost", "There is no session.")
        return self._session

    def _set_limits(self, session: Session, limits: Mapping[str, str], timeout_ms: int) -> None:
        # The low water mark may not lie above the limit: lowered it goes first, raised it goes last.
        names = sorted(limits, reverse=float(limits.get(_LIMITS[0], "0")) == 0)
        for name in names:
            value = limits[name] if name == _STATISTICS else float(limits[name])
            session.ask("SET GLOBAL {} = {}".format(name, value), timeout_ms)

    def _drain(self, session: Session, deadline: float) -> None:
        """Wait until no page is dirty, the log has its checkpoint, and nothing is written any more."""
        still_since, (last, needed_s) = time.monotonic(), self._count(session, left_ms(deadline))
        while last[0] != "0" or time.monotonic() - still_since < needed_s:
            if time.monotonic() >= deadline:
                raise HandlerFailed("timed_out", "{} dirty pages were still to be written.".format(last[0]))
            time.sleep(_PAUSE_S)
            now, needed_s = self._count(session, left_ms(deadline))
            if now != last:
                still_since, last = time.monotonic(), now
        self._counted = last

    def _count(self, session: Session, timeout_ms: int) -> Tuple[Tuple[str, ...], float]:
        """Give the counters, and for how long they must stand still (s)."""
        found = session.ask(_show("GLOBAL STATUS", (*_COUNTERS, _CHECKPOINT_AGE)), timeout_ms)
        rows = {row[0]: row[1] for row in found}
        age = rows.get(_CHECKPOINT_AGE, "")
        covered = age.isdigit() and int(age) <= _CHECKPOINTED
        needed_s = _STILL_S if covered else _STILL_WITHOUT_CHECKPOINT_S
        return tuple(rows.get(name, "") for name in _COUNTERS), needed_s

    def _uptime(self, session: Session) -> str:
        """Give for how long the server runs (s): less than before means that it was started again."""
        rows = session.ask("SHOW GLOBAL STATUS LIKE 'Uptime'", _SOON_MS)
        return rows[0][1]

    def _wrong(self, session: Session) -> str:
        """Say what shows that the hold was broken."""
        try:
            connection = session.ask("SELECT CONNECTION_ID()", _SOON_MS)[0][0]
            uptime = self._uptime(session)
            counted = self._count(session, _SOON_MS)[0] if self._mode == DRAINED else self._counted
        except HandlerFailed as failure:
            return "The session is lost: {}".format(failure)
        if connection != self._connection or int(uptime) < int(self._was_up):
            return "The server or the session is another one."
        if counted != self._counted:
            before, after = ", ".join(self._counted), ", ".join(counted)
            return "{} went from {} to {}.".format(", ".join(_COUNTERS), before, after)
        return ""


class MariaDB(Family):
    """MariaDB."""

    name = "mariadb"
    tools = ("mariadb", "mysql")
    sockets = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")

    def is_this(self, version: str) -> bool:
        """Tell it by its version, which says so."""
        return "mariadb" in version.lower()


class MySQL(Family):
    """MySQL."""

    name = "mysql"
    tools = ("mysql",)
    sockets = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")

    def is_this(self, version: str) -> bool:
        """Tell it by its version, which is not MariaDB's."""
        return "mariadb" not in version.lower()


def _show(what: str, names: Tuple[str, ...]) -> str:
    return "SHOW {} WHERE Variable_name IN ({})".format(what, ", ".join("'{}'".format(n) for n in names))
