"""Where a handler's application is: what the order asks of it, and what the guest's administrator settled.

Where the server is, who connects, and which file holds the credentials come from the guest's own file alone
(guest_config.py): no order can point a handler somewhere else.
"""

import os
import shutil
import time
from typing import FrozenSet, Iterable, Mapping, NamedTuple, Tuple

from agent.handlers import HandlerFailed


class Site(NamedTuple):
    """One application: the order's mode and settings, the guest's section, and the environment."""

    mode: str
    settings: Mapping[str, str]
    guest: Mapping[str, str]
    environ: Mapping[str, str]

    def guest_text(self, name: str, default: str = "") -> str:
        """Give what the guest's file says of ``name``."""
        return self.guest.get(name, "").strip() or default

    def chosen_mode(self, modes: Tuple[str, ...]) -> str:
        """Give the mode, by default the first of ``modes``.

        Raises:
            HandlerFailed: there is no such mode.
        """
        mode = self.mode or modes[0]
        if mode not in modes:
            raise HandlerFailed("bad_setting", "mode: expected one of {}".format(", ".join(modes)))
        return mode

    def check(self, settings: FrozenSet[str], guest: FrozenSet[str]) -> None:
        """See that nothing is set that means nothing.

        Raises:
            HandlerFailed: something is.
        """
        _check("settings", self.settings, settings)
        _check("the guest's section", self.guest, guest)

    def client(self, names: Iterable[str], places: Iterable[str] = ()) -> str:
        """Find the application's own client tool: the one that the guest's file names, or one on PATH.

        On Windows it is an .exe: cmd.exe, which runs batch files, would give a meaning to a database's name.

        Raises:
            HandlerFailed: there is none.
        """
        named = self.guest_text("client")
        path = os.pathsep.join([self.environ.get("PATH", ""), *places])
        for name in [named] if named else list(names):
            found = shutil.which(_program(name), path=path)
            if found:
                return found
        wanted = named or " or ".join(names)
        raise HandlerFailed("client_missing", "There is no {} in this guest.".format(wanted))


def _program(name: str) -> str:
    return name + ".exe" if os.name == "nt" and not name.lower().endswith(".exe") else name


def _check(what: str, found: Mapping[str, str], known: FrozenSet[str]) -> None:
    for name in sorted(found):
        if name not in known:
            names = ", ".join(sorted(known)) or "nothing"
            raise HandlerFailed("bad_setting", "{}.{}: expected one of {}".format(what, name, names))


def deadline_in(timeout_ms: int) -> float:
    """Give the moment in ``timeout_ms`` (s, monotonic)."""
    return time.monotonic() + timeout_ms / 1000.0


def left_ms(deadline: float) -> int:
    """Say how long it is until ``deadline``, at least 1 ms."""
    return max(1, int((deadline - time.monotonic()) * 1000))
