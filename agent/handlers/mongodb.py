"""MongoDB, by `mongosh`: writes are flushed and locked (fsync with lock), and the filesystems frozen on top.

The server counts its locks and does not tie them to a session: so ours is noted before it is taken, and
undone by whoever is alive. A server that is locked already is refused: nobody could tell whose lock is whose.

The connection string may hold a password. It is read from a file of the guest and goes to the shell through
its input.
"""

import json
import os
from typing import Any, Callable, FrozenSet, Mapping, Optional, Tuple

from agent.handlers import FROZEN, Handler, HandlerFailed, Held, Proof, Undo
from agent.handlers.clients import Client
from agent.handlers.sites import Site

GUEST = frozenset(["client", "user", "host", "port", "uri_file"])
SETTINGS: FrozenSet[str] = frozenset()

_SOON_MS = 5_000
#: MongoDB's error codes (src/mongo/base/error_codes.yml).
_REASONS = {"Unauthorized": "denied", "AuthenticationFailed": "denied", "LockTimeout": "busy"}

_LOCKED = "!!db.adminCommand({currentOp: 1}).fsyncLock"
_SERVER = "(s => [String(s.pid), Math.floor(Number(s.uptime)), s.version])(db.serverStatus())"


class Shell:
    """One shell, connected to one server."""

    def __init__(self, site: Site, uri: str, timeout_ms: int) -> None:
        self._count = 0
        command = [site.client(["mongosh"]), "--nodb", "--quiet", "--norc"]
        self._client = Client(command, site.environ, site.guest_text("user"))
        try:
            self.ask("(db = connect({})).getName()".format(json.dumps(uri)), timeout_ms)
        except HandlerFailed as failure:
            self.close()
            reason = failure.reason if failure.reason != "refused" else "unreachable"
            raise HandlerFailed(reason, failure.detail.replace(uri, "(the connection string)")) from None

    def ask(self, expression: str, timeout_ms: int) -> Any:
        """Evaluate an expression and give its value.

        Raises:
            HandlerFailed: the server refused it, or the shell is lost.
        """
        self._count += 1
        # In two parts: where the shell repeats its input, that is not taken for the answer.
        mark = '"still" + "frame-{} '.format(self._count)
        question = (
            'try {{ print({0}ok " + JSON.stringify({1})) }} '
            'catch (e) {{ print({0}failed " + JSON.stringify([String(e.codeName), String(e.message)])) }}\n'
        ).format(mark, expression)
        answer = "stillframe-{} ".format(self._count)
        lines = self._client.ask(question, lambda text: answer in text, timeout_ms)
        outcome, _, value = lines[-1].partition(answer)[2].partition(" ")
        try:
            found = json.loads(value)
        except ValueError:
            raise HandlerFailed("refused", "The shell answered: {}".format(lines[-1][:500])) from None
        if outcome != "ok":
            name, message = found
            raise HandlerFailed(_REASONS.get(name, "refused"), "{}: {}".format(name, message[:500]))
        return found

    def kill(self) -> None:
        """End it at once."""
        self._client.kill()

    def close(self) -> None:
        """End it."""
        self._client.close()


class MongoDB(Handler):
    """One server."""

    def __init__(self, site: Site) -> None:
        site.check(SETTINGS, GUEST)
        self._site = site
        self._mode = site.chosen_mode((FROZEN,))
        self._port = site.guest_text("port", "27017")
        self._shell: Optional[Shell] = None
        self._server: Tuple[str, int, str] = ("", 0, "")

    def detect(self) -> bool:
        """Look for the server's socket."""
        return os.path.exists("/tmp/mongodb-{}.sock".format(self._port))  # where the server itself puts it

    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Connect; nobody else may have locked it."""
        self._shell = self._connect(deadline_ms)
        pid, uptime, version = self._shell.ask(_SERVER, deadline_ms)
        self._server = (str(pid), int(uptime), str(version))
        if self._shell.ask(_LOCKED, deadline_ms):
            raise HandlerFailed("held_already", "Somebody else has locked the server (fsyncLock).")
        return ()

    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Flush and lock."""
        shell = self._asked()
        note({"locked": "1"})
        count = shell.ask("Number(db.adminCommand({fsync: 1, lock: true}).lockCount)", deadline_ms)
        detail = "MongoDB {}, fsync lock number {}".format(self._server[2], count)
        if count != 1:
            raise HandlerFailed("held_already", "Somebody else locked the server too ({}).".format(detail))
        return Held("mongodb:" + self._port, self._mode, detail)

    def resume(self) -> Proof:
        """See that the server is the same and still locked; then take our lock away."""
        shell = self._asked()
        locked = shell.ask(_LOCKED, _SOON_MS)
        pid, uptime, _ = shell.ask(_SERVER, _SOON_MS)
        if not locked:
            return Proof(whole=False, detail="The lock was taken away meanwhile.")
        shell.ask("Number(db.adminCommand({fsyncUnlock: 1}).lockCount)", _SOON_MS)
        if str(pid) != self._server[0] or int(uptime) < self._server[1]:
            return Proof(whole=False, detail="The server was started again.")
        return Proof(whole=True)

    def verify(self) -> str:
        """Read, and see that no lock is left."""
        try:
            if self._asked().ask(_LOCKED, _SOON_MS):
                return "mongodb:{} is still locked, by somebody else.".format(self._port)
            self._asked().ask("db.adminCommand({ping: 1}).ok", _SOON_MS)
        except HandlerFailed as failure:
            return "mongodb:{} does not answer: {}".format(self._port, failure)
        return ""

    def undo(self, undo: Mapping[str, str]) -> None:
        """Take away the one lock that was ours, if the server is locked at all."""
        if not undo.get("locked"):
            return
        shell = self._connect(_SOON_MS)
        try:
            if shell.ask(_LOCKED, _SOON_MS):
                shell.ask("Number(db.adminCommand({fsyncUnlock: 1}).lockCount)", _SOON_MS)
        finally:
            shell.close()

    def cancel(self) -> None:
        """Kill the shell."""
        if self._shell is not None:
            self._shell.kill()

    def close(self) -> None:
        """End the shell."""
        if self._shell is not None:
            self._shell.close()

    def _asked(self) -> Shell:
        if self._shell is None:
            raise HandlerFailed("lost", "There is no session.")
        return self._shell

    def _connect(self, timeout_ms: int) -> Shell:
        path = self._site.guest_text("uri_file")
        uri = "mongodb://{}:{}/?directConnection=true".format(
            self._site.guest_text("host", "127.0.0.1"), self._port
        )
        if path:
            try:
                with open(path) as file:
                    uri = file.read().strip()
            except OSError as error:
                detail = "the guest's section.uri_file: {}: {}".format(path, error.strerror)
                raise HandlerFailed("bad_setting", detail) from None
        return Shell(self._site, uri, timeout_ms)
