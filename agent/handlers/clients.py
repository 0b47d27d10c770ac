"""A database's own client tool as a child process: one question after the other, the session stays open.

What is asked goes through its input, so that nothing of it is on a command line. What it prints is read
always; an answer ends with a line that the question itself asked for.
"""

import os
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from agent.handlers import HandlerFailed
from agent.waiting import Condition

#: Bytes of a client's last words that are told.
_KEPT = 500
#: How long a killed client may take to be gone (s).
_GONE_S = 2.0


class Client:
    """One session. ``user`` is the guest's user that the client runs as; "": the agent's own.

    Raises:
        HandlerFailed: the client cannot be started.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], user: str = "") -> None:
        self._changed = Condition()
        self._lines: List[str] = []
        self._ended = False
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=os.sep,
                env=_environ(environ, user),
                **as_user(user),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HandlerFailed("client_missing", "{}: {}".format(command[0], error)) from None
        threading.Thread(target=self._read, name="client", daemon=True).start()

    def ask(self, question: str, last: Callable[[str], bool], timeout_ms: int) -> List[str]:
        """Send ``question``; gives the lines of its answer, the last is the first of which ``last`` is true.

        Raises:
            HandlerFailed: the client ended (lost), or gave no answer in time (timed_out).
        """
        assert self._process.stdin is not None
        with self._changed:
            self._lines.clear()
        try:
            self._process.stdin.write(question.encode("utf-8"))
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise HandlerFailed("lost", "The client ended: {}".format(self._last_words())) from None

        def end() -> Optional[int]:
            return next((i for i, text in enumerate(self._lines) if last(text)), None)

        with self._changed:
            self._changed.wait_for(lambda: self._ended or end() is not None, timeout_ms / 1000.0)
            found = end()
            if found is not None:
                return self._lines[: found + 1]
            if self._ended:
                raise HandlerFailed("lost", "The client ended: {}".format(self._last_words()))
            raise HandlerFailed("timed_out", "No answer within {} ms.".format(timeout_ms))

    def kill(self) -> None:
        """End it at once, and its session with it."""
        try:
            self._process.kill()
        except OSError:  # it has ended
            return

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        try:
            self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            return

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                self._lines.append(text.decode("utf-8", "replace").rstrip("\r\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _last_words(self) -> str:
        return " ".join(self._lines)[-_KEPT:] or "it said nothing"


def run(command: Sequence[str], environ: Mapping[str, str], timeout_ms: int, user: str = "") -> str:
    """Run a tool to its end and give what it printed.

    Raises:
        HandlerFailed: it cannot be started, did not end in time, or failed (``refused``).
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=os.sep,
            env=_environ(environ, user),
            timeout=timeout_ms / 1000.0,
            check=False,
            **as_user(user),
        )
    except subprocess.TimeoutExpired:
        raise HandlerFailed("timed_out", "{} did not end in {} ms.".format(command[0], timeout_ms)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise HandlerFailed("client_missing", "{}: {}".format(command[0], error)) from None
    text: str = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise HandlerFailed("refused", "{}: {}".format(command[0], text.strip()[-_KEPT:]))
    return text


def as_user(user: str) -> Dict[str, Any]:
    """Give the arguments of ``Popen`` by which a child runs as a user of this guest.

    Raises:
        HandlerFailed: there is no such user, or this process may not become it.
    """
    if not user:
        return {}
    if sys.platform == "win32":
        raise HandlerFailed("bad_setting", "the guest's section.user: not on Windows")
    else:  # noqa: RET506 - the type checker goes by it
        return _becoming(user)


if sys.platform != "win32":

    def _becoming(user: str) -> Dict[str, Any]:
        import pwd  # noqa: PLC0415 - there is none on Windows

        try:
            found = pwd.getpwnam(user)
        except KeyError:
            expected = "the guest's section.user: expected a user of this guest, not {}".format(user)
            raise HandlerFailed("bad_setting", expected) from None
        if found.pw_uid == os.geteuid():
            return {}
        if os.geteuid() != 0:
            raise HandlerFailed("denied", "Only an agent of root can become the user {}.".format(user))

        def become() -> None:
            os.initgroups(user, found.pw_gid)
            os.setgid(found.pw_gid)
            os.setuid(found.pw_uid)

        return {"preexec_fn": become}


def _environ(environ: Mapping[str, str], user: str) -> Dict[str, str]:
    own = {"LC_ALL": "C", "HOME": _home(user)} if user else {"LC_ALL": "C"}
    return dict(environ, **own)


def _home(user: str) -> str:
    return os.path.expanduser("~" + user)


def first(lines: List[str]) -> Optional[str]:
    """Give the first line that says something."""
    return next((text.strip() for text in lines if text.strip()), None)
