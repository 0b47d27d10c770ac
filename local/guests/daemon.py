"""A server that runs in a guest as a user of its own, as Debian's packages run it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, TypedDict

from local.guests.command_line import ServeError
from local.guests.load import HoldTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from signal import Signals

START_TIMEOUT_S = 60.0
_POLL_S = 0.01
_LOG_TAIL_BYTES = 64_000  # a failed recovery says a lot after the reason


class Daemon:
    """One server process: started, stopped in good order, or killed."""

    def __init__(
        self, command: Sequence[str], user: str, log: Path, *, stop_by: Signals, kill_by: Signals
    ) -> None:
        """Describe it. `stop_by` is its signal for an end in good order, `kill_by` for one at once."""
        self._command = command
        self._user = user
        self._log = log
        self._stop_by = stop_by
        self._kill_by = kill_by
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def runs(self) -> bool:
        """Say whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self, answers: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it, if it does not run, and wait until it answers.

        Raises ServeError with the end of its log when it ends instead, or is late.
        """
        with self._one_at_a_time:
            if self.runs():
                return
            with self._log.open("ab") as log:
                begins = log.tell()
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                    **as_user(self._user),
                )
            ends_at = time.monotonic() + timeout_s
            while not answers():
                if not self.runs() or time.monotonic() > ends_at:
                    self._kill()
                    said = self._log.read_bytes()[begins:][-_LOG_TAIL_BYTES:]
                    raise ServeError(said.decode(errors="replace").strip() or "it said nothing")
                time.sleep(_POLL_S)

    def stop(self, timeout_s: float) -> None:
        """End it in good order: everything is on the disks when this returns.

        Raises HoldTimeoutError when it does not end in time; it goes on ending by itself.
        """
        with self._one_at_a_time:
            if self._process is None or not self.runs():
                return
            self._process.send_signal(self._stop_by)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired as late:
                raise HoldTimeoutError(timeout_s) from late

    def kill(self) -> None:
        """End it at once."""
        with self._one_at_a_time:
            self._kill()

    def _kill(self) -> None:
        if self._process is not None and self.runs():
            self._process.send_signal(self._kill_by)
            self._process.wait()


class User(TypedDict):
    """The arguments with which `subprocess` runs a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(name: str) -> User:
    """Give the arguments for a user and its own group alone."""
    entry = pwd.getpwnam(name)
    return User(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])


def run_as(user: str, *command: str, given: str = "") -> None:
    """Run a program as this user.

    Raises ServeError with what it said when it does not end with 0.
    """
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        **as_user(user),
    )
    if done.returncode:
        raise ServeError(
            f"{command[0]}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        )


def own_folder(path: Path, user: str, mode: int = 0o700) -> Path:
    """Make a folder, if it is missing, that belongs to this user."""
    path.mkdir(mode=mode, exist_ok=True)
    shutil.chown(path, user, user)
    path.chmod(mode)
    return path


def flush(*folders: Path) -> None:
    """Bring everything on these folders' filesystems to their disks."""
    subprocess.run(["sync", "--file-system", *map(os.fspath, folders)], check=True)
