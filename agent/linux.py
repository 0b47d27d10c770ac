"""The operating system, where it is Linux."""

import ctypes
import errno
import fcntl
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from agent import mounts, processes
from agent.records import ScriptUser
from agent.system import Command, FreezeRefused, MountChoice, ScriptUnusable, System, ThawFailed

assert sys.platform != "win32"

#: ioctl numbers of linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878

#: sys/mman.h: what is mapped now, and what will be.
_MCL_CURRENT, _MCL_FUTURE = 1, 2

_REFUSALS = {
    errno.EBUSY: "already_frozen",
    errno.EOPNOTSUPP: "not_supported",
    errno.ENOTTY: "not_supported",
}


class Linux(System):
    """Filesystems by ioctl, processes by /proc."""

    name = "linux"

    def __init__(self) -> None:
        # Loaded now: the dead-man reads no disk once something is frozen.
        self._libc = ctypes.CDLL(None, use_errno=True)

    def monotonic_ms(self) -> int:
        """Read CLOCK_MONOTONIC, which is the same for all processes."""
        return int(time.monotonic() * 1000)

    def on_stop(self, call: Callable[[], None]) -> None:
        """Handle SIGTERM, SIGINT and SIGHUP, unless that is ignored (nohup); call it in the main thread."""

        def handle(_number: int, _frame: Any) -> None:
            call()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, handle)

    def detach(self, command: Tuple[str, ...], environ: Mapping[str, str]) -> bool:  # noqa: ARG002 - it forks
        """Fork twice: no terminal, no parent, no streams."""
        if os.fork():
            return False
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.umask(0o077)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.close(null)
        return True

    def apart(self) -> Dict[str, Any]:
        """Give it a session of its own."""
        return {"start_new_session": True}

    def boot_id(self) -> str:
        """Read the kernel's random id of this boot."""
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()

    def choose_mounts(self, environ: Mapping[str, str], state_dir: str) -> MountChoice:
        """Choose by ``mounts.choose``, from the mounts that this process sees."""
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            found = mounts.parse(file.read())
        device = os.stat(state_dir).st_dev
        state_device = "{}:{}".format(os.major(device), os.minor(device))
        return mounts.choose(found, environ, state_device)

    def open_mount(self, path: str) -> int:
        """Open the mount point for reading; the ioctls need no more."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close_mount(self, mount: int) -> None:
        """Close the descriptor."""
        os.close(mount)

    def freeze(self, mount: int) -> None:
        """FIFREEZE; EBUSY means that another froze it (user space freezes do not nest)."""
        try:
            fcntl.ioctl(mount, FIFREEZE, 0)
        except OSError as error:
            reason = _REFUSALS.get(error.errno or 0, "freeze_error")
            raise FreezeRefused(reason, error.strerror or str(error)) from None

    def thaw(self, mount: int) -> bool:
        """FITHAW; the kernel answers EINVAL for a filesystem that is not frozen."""
        try:
            fcntl.ioctl(mount, FITHAW, 0)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise ThawFailed(error.strerror or str(error)) from None
        return True

    def lock_memory(self) -> bool:
        """Lock all pages by mlockall(2); needs CAP_IPC_LOCK or a limit that is high enough."""
        return bool(self._libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0)

    def script_command(self, path: str, arguments: Tuple[str, ...]) -> List[str]:
        """Run an executable by itself (its #! line says how), a plain .sh file by /bin/sh.

        Nothing is run that others than root and the agent's own user could have written.
        """
        try:
            found = os.stat(path)
        except OSError as error:
            raise ScriptUnusable("script_missing", "{}: {}.".format(path, error.strerror)) from None
        if not stat.S_ISREG(found.st_mode):
            raise ScriptUnusable("script_missing", "{} is not a file.".format(path))
        _check_safe(path, found)
        if os.access(path, os.X_OK):
            return [path, *arguments]
        if path.endswith(".sh"):
            return ["/bin/sh", path, *arguments]
        raise ScriptUnusable("script_not_executable", "{} is not executable.".format(path))

    def delivered_command(self, path: str, arguments: Tuple[str, ...]) -> List[str]:
        """Run it by the interpreter that its #! line names: /run is often mounted noexec.

        A .sh file without such a line is run by /bin/sh.
        """
        with open(path, "rb") as file:
            first = file.readline(1024)
        if first.startswith(b"#!"):
            # As the kernel does it (execve(2)): the interpreter, and the rest of the line as one argument.
            words = first[2:].decode("utf-8", "surrogateescape").strip().split(None, 1)
            if words and os.path.isabs(words[0]) and os.access(words[0], os.X_OK):
                return [*words, path, *arguments]
            detail = "The #! line of {} names no program of this guest.".format(os.path.basename(path))
            raise ScriptUnusable("script_not_executable", detail)
        if path.endswith(".sh"):
            return ["/bin/sh", path, *arguments]
        detail = "{} has no #! line to say how it is run.".format(os.path.basename(path))
        raise ScriptUnusable("script_not_executable", detail)

    def start_script(
        self,
        command: Command,
        environ: Mapping[str, str],
        marks: Mapping[str, str],
        *,
        user: Optional[ScriptUser],
        lent: str,
        stderr_apart: bool,
    ) -> "subprocess.Popen[bytes]":
        """Start it in a session of its own, with its marks in the environment.

        A file that is lent lies where no other user can go: it is handed over as an open descriptor.
        """
        variables = dict(environ)
        handles: Tuple[int, ...] = ()
        if user is not None:
            variables.update(HOME=user.home, USER=user.name, LOGNAME=user.name, SHELL=user.shell)
            if lent:
                handles = (os.open(lent, os.O_RDONLY | os.O_CLOEXEC),)
                reached = "/proc/self/fd/{}".format(handles[0])
                command = [reached if word == lent else word for word in command]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if stderr_apart else subprocess.STDOUT,
                cwd=os.sep,
                env=dict(variables, **marks),
                start_new_session=True,
                pass_fds=handles,
                preexec_fn=_becoming(user),
            )
        finally:
            for handle in handles:
                os.close(handle)

    def script_over(self, process: "subprocess.Popen[bytes]") -> None:
        """Nothing is kept of it."""

    def own_user(self) -> str:
        """Look up the effective user."""
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return str(os.geteuid())

    def as_user(self, name: str) -> ScriptUser:
        """Look the user and all its groups up; only root may become somebody else."""
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise ScriptUnusable("run_as_unknown", "The guest has no user {}.".format(name)) from None
        if os.geteuid() not in (0, found.pw_uid):
            detail = "The agent runs as {} and cannot become {}.".format(self.own_user(), name)
            raise ScriptUnusable("run_as_refused", detail)
        groups = tuple(os.getgrouplist(name, found.pw_gid))
        return ScriptUser(name, found.pw_uid, found.pw_gid, groups, found.pw_dir, found.pw_shell or "/bin/sh")

    def lend(self, path: str, user: Optional[ScriptUser]) -> None:
        """Let the user's group read it; the folder keeps everybody else of that group out."""
        if user is not None and os.geteuid() == 0:
            os.chown(path, 0, user.gid)
            os.chmod(path, 0o440)

    def kill_tree(self, leader: Optional[int], marks: Mapping[str, str]) -> bool:
        """Kill by ``processes.kill_tree``."""
        return processes.kill_tree(leader, marks)

    def identity(self, pid: int) -> str:
        """Name the process by pid and start time."""
        return processes.identity(pid)

    def try_lock(self, path: str) -> Optional[int]:
        """Take a flock(2), which ends with the process, however that ends."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle


def _becoming(user: Optional[ScriptUser]) -> Optional[Callable[[], None]]:
    """Give what the child does between fork and exec: system calls alone, everything was looked up before."""
    if user is None or user.uid == os.geteuid():
        return None
    groups, gid, uid = list(user.groups), user.gid, user.uid

    def become() -> None:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)

    return become


def _check_safe(path: str, found: os.stat_result) -> None:
    """Refuse a script that others than root and the agent's own user could have written or replaced."""
    if _others_may_write(found):
        raise ScriptUnusable("script_unsafe", "{} can be written by others than its owner.".format(path))
    if found.st_uid not in (0, os.geteuid()):
        raise ScriptUnusable("script_unsafe", "{} belongs to user {}.".format(path, found.st_uid))
    folder = os.path.dirname(os.path.realpath(path))
    while True:
        above = os.stat(folder)
        # In a folder with the sticky bit, as /tmp, nobody can replace what is another's.
        if _others_may_write(above) and not above.st_mode & stat.S_ISVTX:
            raise ScriptUnusable("script_unsafe", "{}: others can replace it in {}.".format(path, folder))
        if above.st_uid not in (0, os.geteuid()):
            detail = "{}: its folder {} belongs to user {}.".format(path, folder, above.st_uid)
            raise ScriptUnusable("script_unsafe", detail)
        if folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


def _others_may_write(found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in (0, os.getegid())
