"""Replacing a file as a whole and removing it, on every system."""

import os
import time
from typing import Callable

#: How long a file that somebody has open may stand in the way on Windows (s), and how often it is tried.
_PATIENCE_S = 5.0
_PAUSE_S = 0.01

#: On Windows a descriptor translates line ends unless it is told not to.
BINARY = getattr(os, "O_BINARY", 0)


def remove(path: str) -> None:
    """Remove a file, or see that another one did.

    Raises:
        OSError: it cannot be done, on Windows also not within 5 s.
    """

    def unlink() -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return

    _patiently(unlink)


def replace(source: str, target: str) -> None:
    """Put ``source`` in the place of ``target``.

    Raises:
        OSError: it cannot be done, on Windows also not within 5 s.
    """
    _patiently(lambda: os.replace(source, target))


def _patiently(change: Callable[[], None]) -> None:
    """Windows refuses it while somebody has the file open: a reader of the moment, or a virus scanner."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            change()
        except PermissionError:
            if os.name != "nt" or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
