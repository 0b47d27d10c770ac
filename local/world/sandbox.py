"""Runs a command so that nothing of it outlives it: no mount, no loop device, no process, nothing frozen.

python -m local.world.sandbox [--grace SECONDS] -- COMMAND [ARGUMENT ...]

    outside    waits, passes signals on, returns the command's exit code
      guard    in a session of its own; when the inside ends it thaws what was left frozen
      inside   the first process of a private pid namespace; reaps, passes signals on
        COMMAND

All of them share one private mount namespace, with a private tmpfs at /dev/shm. When the outside ends, even
by SIGKILL, the kernel kills the inside and with it every process of the namespace. Writers that wait for a
thaw cannot be killed, and would keep a frozen filesystem for ever: that is what the guard is for. When the
last of them has ended, the kernel drops the mounts and with them the loop devices.

The inside has a process group of its own: Ctrl-C and signals to the group reach the outside alone, which
passes them on, so that the command gets each exactly once. For the same reason it must not read from the
terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from local.world.frozen import thaw_everything
from local.world.mounts import Mount, mounts_in, system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_GRACE_S = 30.0
MARK = "STILLFRAME_SANDBOX"  # set in the environment of everything inside
_GUARD_GIVES_UP_S = 60.0
_GUARD_POLL_S = 0.02
_PRIVATE_MEMORY = Path("/dev/shm")  # a tmpfs by convention; here a private one
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True)
class Lifeline:
    """A pipe that one process alone holds open for writing: it closes when that process ends, however."""

    reader: int
    writer: int

    def cut(self) -> None:
        """Let go of the writing end."""
        os.close(self.writer)

    def is_cut(self) -> bool:
        """Whether the process at the other end is gone."""
        return bool(select.select([self.reader], [], [], 0)[0])

    def wait_until_cut(self) -> None:
        """Wait for the end of the process at the other end."""
        os.read(self.reader, 1)


def enclosed(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` in the sandbox, to be started in the repository's root."""
    return [sys.executable, "-m", "local.world.sandbox", "--", *command]


def is_inside() -> bool:
    """Say whether this process runs in the sandbox."""
    return MARK in os.environ


def run(command: Sequence[str], *, grace_s: float = DEFAULT_GRACE_S) -> int:
    """Run `command` in the sandbox and return its exit code (128 + n when signal n ended it).

    The first SIGINT, SIGTERM or SIGHUP gives it `grace_s` seconds to end; then it is killed.

    The caller must be root, single-threaded, and is itself in the private mount namespace from then on.
    Raises OSError or SystemCommandError where namespaces are not allowed.
    """
    # Its own /proc is the only one in which the guard can see itself and the inside's processes:
    # /proc is covered by the inside's own as soon as that mounts it.
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    os.unshare(os.CLONE_NEWNS)
    system("mount", "--make-rprivate", "/")
    mounted_before = {mount.mount_id for mount in _mounts(proc)}
    system("mount", "-t", "tmpfs", "-o", "mode=1777", "stillframe", str(_PRIVATE_MEMORY))
    outside, inside = Lifeline(*os.pipe()), Lifeline(*os.pipe())
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    guard_pid = _fork(lambda: _guard(proc, outside, inside, mounted_before))
    os.unshare(os.CLONE_NEWPID)
    inside_pid = _fork(lambda: _inside(outside, command, grace_s))
    inside.cut()
    exit_code = _wait_and_pass_on(inside_pid, grace_s)
    with contextlib.suppress(ChildProcessError):  # it may have been reaped together with the inside
        os.waitpid(guard_pid, 0)
    return exit_code


def _fork(child: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    exit_code = 70  # <sysexits.h>: internal software error
    try:
        exit_code = child()
    finally:
        # The outermost edge of a forked process: it must never return into its parent's code.
        os._exit(exit_code)


def _inside(outside: Lifeline, command: Sequence[str], grace_s: float) -> int:
    _die_with_parent()
    outside.cut()
    if outside.is_cut():
        return 1  # it ended before the kernel was told to take us along
    os.setpgid(0, 0)
    system("mount", "-t", "proc", "proc", "/proc")
    worker = _fork(lambda: _execute(command))
    return _wait_and_pass_on(worker, grace_s)


def _execute(command: Sequence[str]) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        os.execvpe(command[0], list(command), {**os.environ, MARK: "1"})
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _wait_and_pass_on(child: int, grace_s: float) -> int:
    """Reap everything until `child` ends, pass signals on to it, and return its exit code.

    It is killed `grace_s` seconds after the first signal.
    """
    ends_at: float | None = None
    while True:
        arrived = _next_signal(ends_at)
        if arrived is None:
            os.kill(child, signal.SIGKILL)
            ends_at = None
        elif arrived.si_signo == signal.SIGCHLD:
            exit_code = _reap(child)
            if exit_code is not None:
                return exit_code
        else:
            ends_at = ends_at or time.monotonic() + grace_s
            os.kill(child, arrived.si_signo)


def _next_signal(ends_at: float | None) -> signal.struct_siginfo | None:
    awaited = {*_PASSED_ON, signal.SIGCHLD}
    if ends_at is None:
        return signal.sigwaitinfo(awaited)
    return signal.sigtimedwait(awaited, max(0.0, ends_at - time.monotonic()))


def _reap(child: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    return None


def _guard(proc: int, outside: Lifeline, inside: Lifeline, mounted_before: set[int]) -> int:
    known = {os.getpid(), os.getppid()}
    os.setsid()
    outside.cut()
    inside.cut()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    # A process's files are closed before its namespace is emptied: this returns while writers still hang.
    inside.wait_until_cut()
    ends_at = time.monotonic() + _GUARD_GIVES_UP_S
    while True:
        disks = [mount for mount in _mounts(proc) if mount.mount_id not in mounted_before]
        thaw_everything(mount.mount_point for mount in disks if mount.source.startswith("/dev/loop"))
        if not _others_here(proc, known):
            return 0
        if time.monotonic() > ends_at:
            return 1
        time.sleep(_GUARD_POLL_S)


def _others_here(proc: int, known: set[int]) -> bool:
    """Say whether processes but `known` live in this mount namespace."""
    here = os.readlink("self/ns/mnt", dir_fd=proc)
    for entry in os.listdir(proc):
        if entry.isdigit() and int(entry) not in known:
            # A process that is just ending, or a zombie, has no namespace.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if os.readlink(f"{entry}/ns/mnt", dir_fd=proc) == here:
                    return True
    return False


def _mounts(proc: int) -> list[Mount]:
    fd = os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc)
    with os.fdopen(fd) as file:
        return mounts_in(file.read())


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code: the command's own, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m local.world.sandbox", allow_abbrev=False)
    parser.add_argument("--grace", type=float, default=DEFAULT_GRACE_S, help="seconds to end in (default 30)")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    options = parser.parse_args(arguments)
    return run(options.command, grace_s=options.grace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
