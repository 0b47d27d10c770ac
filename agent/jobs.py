"""Job objects: on Windows, a script with every process that it started, and their end.

A job is named after the marks of its script, so that every process of the agent can end it. It is set to end
with its last handle: a script whose agent was killed does not live on by itself. That is taken back once the
script has ended in good order, so that what it started on purpose goes on.
"""

import ctypes
import hashlib
import subprocess
import sys
import time
from ctypes import wintypes
from typing import Any, Mapping, Optional

from agent import win32

assert sys.platform == "win32"

_CREATE_SUSPENDED = 0x4
_KILL_ON_JOB_CLOSE, _BREAKAWAY_OK = 0x2000, 0x800
_BASIC_ACCOUNTING, _EXTENDED_LIMITS = 1, 9
_JOB_ACCESS = 0x4 | 0x8  # JOB_OBJECT_QUERY | JOB_OBJECT_TERMINATE
#: The exit code of what is killed, as SIGKILL's would be read on Linux.
KILLED = 137

#: How long killed processes may take to go (s).
_PATIENCE_S = 2.0
_PAUSE_S = 0.005


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time", ctypes.c_longlong),
        ("per_job_user_time", ctypes.c_longlong),
        ("flags", wintypes.DWORD),
        ("smallest_working_set", ctypes.c_size_t),
        ("largest_working_set", ctypes.c_size_t),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority_class", wintypes.DWORD),
        ("scheduling_class", wintypes.DWORD),
    )


class _Limits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_ulonglong * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class _Accounting(ctypes.Structure):
    _fields_ = (
        ("times", ctypes.c_longlong * 4),
        ("page_faults", wintypes.DWORD),
        ("processes", wintypes.DWORD),
        ("active", wintypes.DWORD),
        ("terminated", wintypes.DWORD),
    )


def _declare(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(win32.kernel32, name)
    function.restype = result
    function.argtypes = arguments
    return function


_create = _declare("CreateJobObjectW", wintypes.HANDLE, ctypes.c_void_p, wintypes.LPCWSTR)
_open = _declare("OpenJobObjectW", wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR)
_assign = _declare("AssignProcessToJobObject", wintypes.BOOL, wintypes.HANDLE, wintypes.HANDLE)
_terminate = _declare("TerminateJobObject", wintypes.BOOL, wintypes.HANDLE, wintypes.UINT)
_set = _declare(
    "SetInformationJobObject", wintypes.BOOL, wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD
)
_query = _declare(
    "QueryInformationJobObject",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_void_p,
)
_resume = getattr(ctypes.WinDLL("ntdll"), "NtResumeProcess")  # noqa: B009 - the name is not Python's to type
_resume.argtypes = (wintypes.HANDLE,)
_resume.restype = wintypes.LONG


class JobProcess(subprocess.Popen):  # type: ignore[type-arg]
    """A process in a job of its own, from its first instruction.

    Raises:
        OSError: it cannot be started, or not in a job.
    """

    def __init__(self, command: Any, marks: Mapping[str, str], **options: Any) -> None:
        self._job = _create(None, _name(marks))
        if not self._job:
            raise win32.failure()
        try:
            _limit(self._job, _KILL_ON_JOB_CLOSE)
            flags = options.pop("creationflags", 0) | _CREATE_SUSPENDED
            super().__init__(command, creationflags=flags, **options)
        except OSError:
            self.leave()
            raise
        process = int(self._handle)  # type: ignore[attr-defined]
        if not _assign(self._job, process):
            refusal = win32.failure()
            self.kill()
            self.leave()
            raise refusal
        _resume(process)

    def leave(self) -> None:
        """Let go of the job: what of it still runs goes on."""
        if self._job:
            _limit(self._job, 0)
            win32.close_handle(self._job)
            self._job = None


def join(marks: Mapping[str, str]) -> None:
    """Put this process into a job of its own for as long as it lives: what it starts dies with it.

    Raises:
        OSError: Windows refuses.
    """
    job = _create(None, _name(marks))  # kept open: Windows closes it, and so ends the job, with this process
    if not job:
        raise win32.failure()
    _limit(job, _KILL_ON_JOB_CLOSE)
    if not _assign(job, win32.current_process()):
        refusal = win32.failure()
        win32.close_handle(job)
        raise refusal


def kill(marks: Mapping[str, str]) -> bool:
    """End every process of the job of ``marks``; False if some outlive the patience."""
    job = _open(_JOB_ACCESS, 0, _name(marks))
    if not job:
        return True
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while True:
            _terminate(job, KILLED)
            if _active(job) == 0:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
    finally:
        win32.close_handle(job)


def may_break_away() -> bool:
    """Say whether a child may leave the job that this process is in, if it is in one that lets it."""
    limits = _Limits()
    known = _query(None, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits), None)
    return bool(known and limits.basic.flags & _BREAKAWAY_OK)


def _limit(job: int, flags: int) -> None:
    limits = _Limits()
    limits.basic.flags = flags
    if not _set(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)):
        raise win32.failure()


def _active(job: int) -> Optional[int]:
    counts = _Accounting()
    known = _query(job, _BASIC_ACCOUNTING, ctypes.byref(counts), ctypes.sizeof(counts), None)
    return int(counts.active) if known else None


def _name(marks: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(marks.items())).encode("utf-8", "surrogatepass")).hexdigest()
    return "Global\\stillframe-" + digest[:32]
