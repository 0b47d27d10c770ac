"""The operating system, where it is Linux."""

import ctypes
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from agent import mounts, processes
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
        if not os.path.isabs(path):
            raise ScriptUnusable("script_path", "{} is not an absolute path.".format(path))
        try:
            found = os.stat(path)
        except OSError as error:
            raise ScriptUnusable("script_missing", "{}: {}.".format(path, error.strerror)) from None
        if not stat.S_ISREG(found.st_mode):
            raise ScriptUnusable("script_missing", "{} is not a file.".format(path))
        _check_owner(path, found)
        if os.access(path, os.X_OK):
            return [path, *arguments]
        if path.endswith(".sh"):
            return ["/bin/sh", path, *arguments]
        raise ScriptUnusable("script_not_executable", "{} is not executable.".format(path))

    def start_script(
        self, command: Command, environ: Mapping[str, str], marks: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Start it in a session of its own, with its marks in the environment."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=os.sep,
            env=dict(environ, **marks),
            start_new_session=True,
        )

    def script_over(self, process: "subprocess.Popen[bytes]") -> None:
        """Nothing is kept of it."""

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


def _check_owner(path: str, found: os.stat_result) -> None:
    parent = os.stat(os.path.dirname(os.path.realpath(path)))
    if found.st_mode & stat.S_IWOTH:
        raise ScriptUnusable("script_unsafe", "{} can be written by everybody.".format(path))
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        raise ScriptUnusable("script_unsafe", "{}: everybody can replace it in its folder.".format(path))
    if found.st_uid not in (0, os.geteuid()):
        raise ScriptUnusable("script_unsafe", "{} belongs to user {}.".format(path, found.st_uid))
