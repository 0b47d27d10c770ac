"""PostgreSQL 15 and later, by `psql`.

``frozen``: a checkpoint, so that little is left to be written; the filesystems are frozen on top, and they
hold. ``drained``: every table of every database is locked against writing, then a checkpoint writes what is
left; it holds by itself (docs/proof.md: 0 of 20 restored copies broken).

The locks are those of sessions: they end with this process, however it ends.
"""

import os
import time
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from agent.handlers import DRAINED, FROZEN, Handler, HandlerFailed, Held, Proof, Undo
from agent.handlers.clients import Client
from agent.handlers.sites import Site, deadline_in, left_ms

GUEST = frozenset(["client", "user", "host", "port", "role", "database", "passfile", "service"])
SETTINGS: FrozenSet[str] = frozenset()

#: Where Debian and the PostgreSQL project's own packages keep `psql`, should it not be on PATH.
PLACES = ("/usr/pgsql-17/bin", "/usr/pgsql-16/bin", "/usr/pgsql-15/bin", "/usr/local/pgsql/bin")

_OLDEST = 150000
#: How long one try to lock all tables may take (ms). Less than PostgreSQL's default deadlock_timeout of 1 s:
#: where an application waits for us and we for it, we give way before it is told that it lost.
_TRY_MS = 700
_PAUSE_S = 0.2
#: A running-transactions record, which the background writer adds within 15 s of a checkpoint, takes no more
#: (bytes; src/backend/storage/ipc/standby.c, 4 bytes a transaction); it changes no page of any table.
_STANDBY_RECORD = 1024
#: How long closing remarks may take: proof, rollback, probe (ms).
_SOON_MS = 2_500

#: Every table that holds data, and what else can be written without one: large objects, roles, databases.
_LOCK = """DO $stillframe$ DECLARE t record; BEGIN
LOCK TABLE pg_catalog.pg_class, pg_catalog.pg_largeobject, pg_catalog.pg_authid, pg_catalog.pg_database \
IN SHARE MODE;
FOR t IN SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%'
AND n.nspname <> 'information_schema' ORDER BY 1, 2
LOOP EXECUTE format('LOCK TABLE %I.%I IN EXCLUSIVE MODE', t.nspname, t.relname); END LOOP;
END $stillframe$;"""

_WHERE = (
    "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, "
    "pg_snapshot_xmax(pg_current_snapshot()), pg_postmaster_start_time()"
)


class Session:
    """One connection to one database, whose questions are answered by rows of texts."""

    def __init__(self, site: Site, database: str) -> None:
        self.database = database
        self._count = 0
        tool = site.client(["psql"], PLACES)
        # No ~/.psqlrc, no prompt for a password, bare rows with tabs between the columns.
        command = [tool, "-X", "-w", "-q", "-A", "-t", "-F", "\t", "-d", _conninfo(site, database)]
        environ = dict(site.environ, PGAPPNAME="stillframe", PGCONNECT_TIMEOUT="5")
        if site.guest_text("passfile"):
            environ["PGPASSFILE"] = site.guest_text("passfile")
        self._client = Client(command, environ, site.guest_text("user", _default_user()))

    def ask(self, statement: str, timeout_ms: int) -> List[List[str]]:
        """Run one statement; gives its rows.

        Raises:
            HandlerFailed: the server refused it, or the session is lost.
        """
        self._count += 1
        mark = "stillframe-{} ".format(self._count)
        question = "{}\n\\echo {}:ERROR :SQLSTATE\n".format(statement, mark)
        *lines, last = self._client.ask(question, lambda text: text.startswith(mark), timeout_ms)
        _, failed, state = last.split(" ")
        if failed != "false":
            raise HandlerFailed(_REASONS.get(state, "refused"), "{}: {}".format(state, " ".join(lines)[:500]))
        return [text.split("\t") for text in lines if text]

    def kill(self) -> None:
        """End the client at once."""
        self._client.kill()

    def close(self) -> None:
        """End the client, and with it the session and its locks."""
        self._client.close()


_REASONS = {"55P03": "busy", "57014": "timed_out", "40P01": "busy", "42501": "denied", "57P01": "lost"}


class PostgreSQL(Handler):
    """One server, with a session to each of its databases."""

    def __init__(self, site: Site) -> None:
        site.check(SETTINGS, GUEST)
        self._site = site
        self._mode = site.chosen_mode((FROZEN, DRAINED))
        self._sessions: List[Session] = []
        self._main: Optional[Session] = None
        self._name = "postgresql"
        self._before: Tuple[str, ...] = ()
        self._backends: Dict[str, str] = {}
        self._standby = False
        self._cancelled = False

    def detect(self) -> bool:
        """Look for the server's socket."""
        host = self._site.guest_text("host", "/var/run/postgresql")
        port = self._site.guest_text("port", "5432")
        return host.startswith("/") and os.path.exists(os.path.join(host, ".s.PGSQL." + port))

    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Connect, and have most of what is to be written written now, while nothing is held."""
        deadline = deadline_in(deadline_ms)
        main = self._main = self._connect(self._site.guest_text("database", "postgres"))
        rows = main.ask(
            "SELECT current_setting('server_version_num'), current_setting('server_version'), "
            "current_setting('port'), pg_is_in_recovery(), pg_backend_pid();",
            left_ms(deadline),
        )
        number, self._version, port, standby, self._backends[main.database] = rows[0]
        self._name = "postgresql:" + port
        self._standby = standby == "t"
        if int(number) < _OLDEST:
            raise HandlerFailed("too_old", "PostgreSQL {}; 15 or later is needed.".format(self._version))
        if self._mode == DRAINED:
            if self._standby:
                raise HandlerFailed("refused", "A standby takes no locks; use the mode frozen.")
            for (name,) in main.ask("SELECT datname FROM pg_database WHERE datallowconn;", left_ms(deadline)):
                if name != main.database:
                    session = self._connect(name)
                    rows = session.ask("SELECT pg_backend_pid();", left_ms(deadline))
                    self._backends[name] = rows[0][0]
        main.ask("CHECKPOINT;", left_ms(deadline))
        return ()

    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Lock if asked to, then write out what is left."""
        del note  # nothing outlives the sessions
        deadline = deadline_in(deadline_ms)
        main = self._session()
        if self._mode == DRAINED:
            self._lock(deadline)
        main.ask("CHECKPOINT;", left_ms(deadline))
        self._before = self._where(left_ms(deadline))
        databases = ", ".join(sorted(self._backends))
        detail = "PostgreSQL {}, {}".format(self._version, "standby" if self._standby else "primary")
        if self._mode == DRAINED:
            detail += "; every table locked in {}, checkpoint done, WAL at byte {}".format(
                databases, self._before[0]
            )
        return Held(self._name, self._mode, detail)

    def resume(self) -> Proof:
        """See that the server and the sessions are the same, and in ``drained`` that nothing was written."""
        wrong = self._wrong()
        for session in self._sessions[1:]:
            session.close()
        if self._mode == DRAINED:
            self._session().ask("ROLLBACK;", _SOON_MS)
        return Proof(not wrong, wrong)

    def verify(self) -> str:
        """Read, and on a primary write: an id for a transaction that does nothing."""
        probe = "SELECT count(*) FROM pg_database;" if self._standby else "SELECT pg_current_xact_id();"
        try:
            self._session().ask("SET statement_timeout = {};".format(_SOON_MS), _SOON_MS)
            self._session().ask(probe, _SOON_MS)
        except HandlerFailed as failure:
            return "{} does not answer: {}".format(self._name, failure)
        return ""

    def undo(self, undo: Mapping[str, str]) -> None:
        """Do nothing: the locks end with their sessions."""

    def cancel(self) -> None:
        """Kill the clients."""
        self._cancelled = True
        for session in list(self._sessions):
            session.kill()

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions:
            session.close()

    def _connect(self, database: str) -> Session:
        if self._cancelled:
            raise HandlerFailed("called_off", "It was called off.")
        session = Session(self._site, database)
        self._sessions.append(session)
        return session

    def _session(self) -> Session:
        if self._main is None:
            raise HandlerFailed("lost", "There is no session.")
        return self._main

    def _lock(self, deadline: float) -> None:
        """Lock every table of every database; who is in the way is waited for, never for long."""
        while True:
            busy = self._try_to_lock(deadline)
            if busy is None:
                return
            for session in self._sessions:
                session.ask("ROLLBACK;", left_ms(deadline))
            if left_ms(deadline) <= _TRY_MS or self._cancelled:
                raise busy
            time.sleep(_PAUSE_S)

    def _try_to_lock(self, deadline: float) -> Optional[HandlerFailed]:
        for session in self._sessions:
            session.ask("BEGIN;", left_ms(deadline))
            session.ask("SET LOCAL statement_timeout = {};".format(_TRY_MS), left_ms(deadline))
            session.ask("SET LOCAL lock_timeout = {};".format(_TRY_MS), left_ms(deadline))
            try:
                session.ask(_LOCK, left_ms(deadline))
            except HandlerFailed as failure:
                if failure.reason not in ("busy", "timed_out"):
                    raise
                return HandlerFailed("busy", "{}: {}".format(session.database, failure.detail))
            session.ask("SET LOCAL statement_timeout = 0;", left_ms(deadline))
            # As long as the hold lasts the session is idle in its transaction: that is what holds.
            session.ask("SET LOCAL idle_in_transaction_session_timeout = 0;", left_ms(deadline))
        return None

    def _where(self, timeout_ms: int) -> Tuple[str, ...]:
        if self._standby:
            rows = self._session().ask("SELECT 0, 0, pg_postmaster_start_time();", timeout_ms)
        else:
            rows = self._session().ask(_WHERE + ";", timeout_ms)
        return tuple(rows[0])

    def _wrong(self) -> str:
        """Say what shows that the hold was broken."""
        try:
            for session in self._sessions:
                backend = session.ask("SELECT pg_backend_pid();", _SOON_MS)[0][0]
                if backend != self._backends[session.database]:
                    return "The session with {} is another one.".format(session.database)
            position, next_id, started = self._where(_SOON_MS)
        except HandlerFailed as failure:
            return "The session is lost: {}".format(failure)
        if started != self._before[2]:
            return "The server was started again at {}.".format(started)
        if self._mode == DRAINED:
            moved = int(position) - int(self._before[0])
            if next_id != self._before[1] or not 0 <= moved <= _STANDBY_RECORD:
                return "{} bytes of WAL were written while it was held.".format(moved)
        return ""


def _default_user() -> str:
    """Give the user as which peer authentication lets everything in: the server's own."""
    return "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""


def _conninfo(site: Site, database: str) -> str:
    """Write a connection string; what is not said is libpq's default."""
    parts = {"dbname": database}
    for option, name in (("host", "host"), ("port", "port"), ("role", "user"), ("service", "service")):
        if site.guest_text(option):
            parts[name] = site.guest_text(option)
    return " ".join(
        "{}='{}'".format(k, v.replace("\\", "\\\\").replace("'", "\\'")) for k, v in parts.items()
    )
