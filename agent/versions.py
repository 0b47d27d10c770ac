"""The versions of the agent that lie side by side, and which of them is the installed one.

On Linux the installer's link ``agent.pyz`` leads to it. Windows has no such links: there the file ``current``
names it, and ``agent.py`` starts whichever that is. A version is never overwritten, as it may run.
"""

import hashlib
import os
import sys
from typing import IO, Callable

from agent import files

CURRENT = "current"
LAUNCHER = "agent.py"

_LAUNCH = '''"""Starts the version of Stillframe's agent that `current` names."""
import os, runpy, sys

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "current")) as file:
    program = os.path.join(folder, file.read().strip())
sys.argv[0] = program
runpy.run_path(program, run_name="__main__")
'''


def superseded(program: str) -> Callable[[], bool]:
    """Say how to tell that another version than ``program``, which runs, is the installed one by now."""
    folder = os.path.dirname(program)
    link, pointer = os.path.join(folder, "agent.pyz"), os.path.join(folder, CURRENT)

    def look() -> bool:
        if os.path.exists(pointer):
            return _named(pointer) not in ("", os.path.basename(program))
        return os.path.exists(link) and os.path.realpath(link) != program

    return look


def in_use(program: str) -> IO[bytes]:
    """Open the file that runs: Windows deletes none that is open."""
    return open(program, "rb")


def place(program: str, folder: str) -> str:
    """Put ``program`` among the versions in ``folder`` and make it the installed one; returns its path.

    Those that run are left alone: they end by themselves once they hold nothing. Others are deleted.

    Raises:
        OSError: it cannot be written.
    """
    with open(program, "rb") as file:
        content = file.read()
    name = "agent-{}.pyz".format(hashlib.sha256(content).hexdigest()[:16])
    if not os.path.exists(os.path.join(folder, name)):
        _write(folder, name, content)
    _write(folder, LAUNCHER, _LAUNCH.encode("ascii"))
    _write(folder, CURRENT, name.encode("ascii"))
    for old in os.listdir(folder):
        if old.startswith("agent-") and old.endswith(".pyz") and old != name:
            _delete_unused(os.path.join(folder, old))
    return os.path.join(folder, name)


def main(folder: str) -> int:
    """Place this very program; returns the exit code."""
    try:
        print("stillframe: installed as {}".format(place(os.path.realpath(sys.argv[0]), folder)))
    except OSError as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    return 0


def _named(pointer: str) -> str:
    try:
        with open(pointer) as file:
            return file.read().strip()
    except OSError:  # just being replaced
        return ""


def _write(folder: str, name: str, content: bytes) -> None:
    target = os.path.join(folder, name)
    with open(target + ".new", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    files.replace(target + ".new", target)


def _delete_unused(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # it runs: the next installation deletes it
        return
