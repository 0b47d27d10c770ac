"""Finding and killing the processes of a script on Linux, by /proc (proc(5)).

A process belongs to a script if it is the leader, of its process group or session, a descendant of one that
belongs, or if its environment carries the script's marks: so one that forked twice, took a session of its own
and lost its parents is still found. Only one that did all that and also wiped its environment escapes.
"""

import os
import signal
import sys
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Set

assert sys.platform != "win32"

#: How long killed processes may take to go (s); one in an uninterruptible wait may take longer.
_PATIENCE_S = 2.0
_PAUSE_S = 0.005


class Process(NamedTuple):
    """One line of /proc/<pid>/stat, as far as it matters."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: str


def read(pid: int) -> Optional[Process]:
    """Read one process; None if there is none."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command's name before it may hold anything
    return Process(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), fields[19])


def identity(pid: int) -> str:
    """Name a living process by pid and start time; "" if it is gone or a zombie."""
    process = read(pid)
    return "" if process is None or process.state in "ZX" else "{}:{}".format(pid, process.started)


def kill_tree(leader: Optional[int], marks: Mapping[str, str]) -> bool:
    """Kill every process of the script, again until none is left; False if some outlive the patience.

    All are stopped before the first is killed: a shell whose child was killed would go on to its next line.
    """
    wanted = [(name + "=" + value).encode("utf-8", "surrogateescape") for name, value in marks.items()]
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = _members(leader, wanted)
        if not found:
            return True
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                try:
                    os.kill(pid, number)
                except OSError:  # it ended meanwhile
                    continue
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)


def _members(leader: Optional[int], wanted: List[bytes]) -> Set[int]:
    living = _living()
    members = {p.pid for p in living.values() if _belongs(p, leader, wanted)}
    return _with_descendants(members, living) - {os.getpid()}


def _belongs(process: Process, leader: Optional[int], wanted: List[bytes]) -> bool:
    if leader is not None and leader in (process.pid, process.group, process.session):
        return True
    if not wanted:
        return False
    try:
        with open("/proc/{}/environ".format(process.pid), "rb") as file:
            environ = file.read().split(b"\0")
    except OSError:  # it ended meanwhile, or is no process of user space
        return False
    return all(mark in environ for mark in wanted)


def _living() -> Dict[int, Process]:
    found = (read(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {p.pid: p for p in found if p is not None and p.state not in "ZX"}


def family(pid: int) -> Set[int]:
    """Give a process and all its descendants, as far as they live."""
    living = _living()
    return _with_descendants({pid} & set(living), living)


def _with_descendants(members: Set[int], living: Dict[int, Process]) -> Set[int]:
    grown = True
    while grown:
        children = {p.pid for p in living.values() if p.parent in members} - members
        members = members | children
        grown = bool(children)
    return members
