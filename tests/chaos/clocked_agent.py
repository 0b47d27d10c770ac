"""The agent's zipapp with a wall clock that can be set, and compiled; all else in it is the product's own.

A file `clock` beside the agent's state folder says how many seconds the clock is ahead, in every process of
the agent; without it the clock is the machine's. Compiled, it starts in half the time.
"""

import py_compile
import zipfile
from pathlib import Path

_MAIN = b'''"""Starts the agent with a clock that can be set."""
import os
import sys
import time

real = time.time


def moved():
    try:
        with open(os.path.join(os.path.dirname(os.environ["STILLFRAME_STATE_DIR"]), "clock")) as file:
            return real() + float(file.read())
    except OSError:
        return real()


time.time = moved

from agent.__main__ import main

sys.exit(main(sys.argv[1:]))
'''
_MAIN_NAME = "__main__.py"


def build(agent: Path, folder: Path) -> Path:
    """Write it into a folder; give its path, which ends like the agent's own."""
    target, module = folder / agent.name, folder / "module.py"
    with zipfile.ZipFile(agent) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if name == _MAIN_NAME:
                copy.writestr(name, _MAIN)
                continue
            copy.writestr(name, source.read(name))
            if name.endswith(".py"):
                module.write_bytes(source.read(name))
                copy.writestr(f"{name}c", _compiled(module, name))
    return target


def _compiled(module: Path, name: str) -> bytes:
    """Compile a module, to be believed whatever the time of its source."""
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    written = py_compile.compile(
        str(module), str(module.with_suffix(".pyc")), name, doraise=True, invalidation_mode=unchecked
    )
    assert written
    return Path(written).read_bytes()
