"""The operating system, where it is Windows.

Windows has no freeze of a filesystem that outlives a call: what holds an instant there is the anchor
(anchors/vss.py). Without one each fixed volume is told of as going on.
"""

import getpass
import msvcrt
import os
import signal
import subprocess
import sys
import threading
import uuid
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from agent import cmdline, jobs, private, win32
from agent.anchors.vss import Vss
from agent.anchors.vss_tools import tools_of
from agent.records import ScriptUser
from agent.system import Command, FreezeRefused, MountChoice, ScriptUnusable, System

assert sys.platform == "win32"

_CREATE_NEW_PROCESS_GROUP, _CREATE_BREAKAWAY_FROM_JOB = 0x200, 0x1000000
_DETACHED_PROCESS, _CREATE_NO_WINDOW = 0x8, 0x08000000

#: Where the value lies that ends with the boot.
_BOOT_KEY = "SOFTWARE\\Stillframe\\Boot"


class Windows(System):
    """Scripts in job objects, processes by their creation time, locks by byte range."""

    name = "windows"

    def monotonic_ms(self) -> int:
        """Read GetTickCount64: ms since the boot, in steps of 16 ms."""
        return int(win32.get_tick_count())

    def on_stop(self, call: Callable[[], None]) -> None:
        r"""Call when the event ``Global\stillframe-stop-<pid>`` is set, or at Ctrl-C and Ctrl-Break."""
        event = win32.create_event(None, 1, 0, "Global\\stillframe-stop-{}".format(os.getpid()))
        if not event:
            raise win32.failure()

        def wait() -> None:
            win32.wait_for(event, win32.INFINITE)
            call()

        def handle(_number: int, _frame: Any) -> None:
            call()

        threading.Thread(target=wait, name="stop", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, handle)

    def detach(self, command: Tuple[str, ...], environ: Mapping[str, str]) -> bool:
        """Start ``command`` without a console; this process is to end."""
        flags = _DETACHED_PROCESS | _CREATE_NEW_PROCESS_GROUP | _breakaway()
        null = subprocess.DEVNULL
        subprocess.Popen(
            list(command), stdin=null, stdout=null, stderr=null, env=dict(environ), creationflags=flags
        )
        return False

    def apart(self) -> Dict[str, Any]:
        """Give it a group and an invisible console of its own; out of this process's job if that lets it."""
        return {"creationflags": _CREATE_NO_WINDOW | _CREATE_NEW_PROCESS_GROUP | _breakaway()}

    def boot_id(self) -> str:
        """Give a random text that lies in a volatile registry key: the key ends with the boot."""
        return win32.volatile_value(_BOOT_KEY, "Id", str(uuid.uuid4()))

    def choose_mounts(self, environ: Mapping[str, str], state_dir: str) -> MountChoice:  # noqa: ARG002
        """Choose every fixed volume: an anchor is to cover them; none can be frozen."""
        return MountChoice(win32.fixed_volumes(), ())

    def open_mount(self, path: str) -> int:  # noqa: ARG002
        """Nothing is opened: nothing can be frozen."""
        return 0

    def close_mount(self, mount: int) -> None:
        """Nothing was opened."""

    def freeze(self, mount: int) -> None:  # noqa: ARG002
        """Refuse: so each volume is told of as going on."""
        raise FreezeRefused("not_supported", "Windows freezes no filesystem.")

    def thaw(self, mount: int) -> bool:  # noqa: ARG002
        """Nothing was frozen."""
        return False

    def tidy(self) -> None:
        """Delete the shadow copies whose agent a reboot took away: they are persistent."""
        Vss(tools_of(os.environ), win32.fixed_volumes).tidy()

    def lock_memory(self) -> bool:
        """Windows locks single pages, not a process; the volume of its page file is not held."""
        return False

    def script_command(self, path: str, arguments: Tuple[str, ...]) -> Command:
        """Run by extension (``cmdline``), and nothing that others than administrators could have written."""
        try:
            found = os.stat(path)
        except OSError as error:
            raise ScriptUnusable("script_missing", "{}: {}.".format(path, error.strerror)) from None
        if not os.path.isfile(path):
            raise ScriptUnusable("script_missing", "{} is not a file.".format(path))
        folder = os.path.dirname(os.path.realpath(path))
        for place, why in ((path, private.file(path, found)), (folder, private.folder(folder))):
            if why:
                raise ScriptUnusable("script_unsafe", "{}: {}.".format(place, why))
        return cmdline.command(path, arguments, os.environ)

    def start_script(
        self,
        command: Command,
        environ: Mapping[str, str],
        marks: Mapping[str, str],
        *,
        user: Optional[ScriptUser],  # noqa: ARG002 - there is none: as_user refuses
        lent: str,  # noqa: ARG002
        stderr_apart: bool,
    ) -> "subprocess.Popen[bytes]":
        """Start it in a job of its own, with an invisible console."""
        return jobs.JobProcess(
            command,
            marks,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stderr_apart else subprocess.STDOUT,
            cwd=os.environ.get("SYSTEMROOT", "C:\\Windows"),
            env=dict(environ, **marks),
            creationflags=_CREATE_NO_WINDOW | _CREATE_NEW_PROCESS_GROUP,
        )

    def script_over(self, process: "subprocess.Popen[bytes]") -> None:
        """Let go of its job."""
        if isinstance(process, jobs.JobProcess):
            process.leave()

    def kill_tree(self, leader: Optional[int], marks: Mapping[str, str]) -> bool:
        """End the job of ``marks``; without marks the process ``leader`` alone."""
        if marks:
            return jobs.kill(marks)
        found = None if leader is None else win32.living(leader, win32.PROCESS_TERMINATE)
        if found is None:
            return True
        try:
            win32.terminate_process(found.handle, jobs.KILLED)
            return bool(win32.wait_for(found.handle, 2_000) == 0)
        finally:
            win32.close_handle(found.handle)

    def bind(self, marks: Mapping[str, str]) -> None:
        """Put this process into a job named by ``marks``: what it starts ends with it."""
        jobs.join(marks)

    def identity(self, pid: int) -> str:
        """Name the process by pid and creation time."""
        found = win32.living(pid)
        if found is None:
            return ""
        win32.close_handle(found.handle)
        return "{}:{}".format(pid, found.created)

    def try_lock(self, path: str) -> Optional[int]:
        """Lock the first byte, which ends with the process, however that ends."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:  # just being opened by another
            return None
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(handle)
            return None
        return handle

    def own_user(self) -> str:
        """Give the account's name; the system's own is called SYSTEM."""
        return "SYSTEM" if win32.own_sid() == "S-1-5-18" else getpass.getuser()


def _breakaway() -> int:
    return _CREATE_BREAKAWAY_FROM_JOB if jobs.may_break_away() else 0
