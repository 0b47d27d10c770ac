"""Replacing a file as a whole and removing it, on every system."""

import os
import time

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
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def replace(source: str, target: str) -> None:
    """Put ``source`` in the place of ``target``.

    Windows refuses that while somebody has ``target`` open: a reader of the moment, or a virus scanner.

    Raises:
        OSError: it cannot be done, on Windows also not within 5 s.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            os.replace(source, target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
