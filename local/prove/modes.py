"""The ways in which an application is held, and the highest grade that each can prove."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.guests.applications import Application
from local.stack.stack import Stack, application_scripts

#: Grades from the lowest to the highest.
GRADES = ("crash", "filesystem", "application")

#: Generous, so that a busy machine does not end a try, and one generation, so that each try is one.
_TIMES = {"freeze_budget_ms": 60_000, "quiesce_timeout_ms": 45_000, "attempts": 1}


@dataclass(frozen=True, slots=True)
class Mode:
    """A guest processing: what a run request says of it, and the highest grade that it ``proves``.

    ``must_be_whole``: a broken copy that was guest-processed is a failure, whatever its grade.
    """

    name: str
    proves: str
    settings: Callable[[Stack, str], Mapping[str, Any]]
    guest_processing: bool = True
    must_be_whole: bool = True

    def asked(self, stack: Stack, vm: str) -> dict[str, Any]:
        """Give the `guest_processing` of a run request for this VM."""
        return {**self.settings(stack, vm), **(_TIMES if self.guest_processing else {})}


class UnknownModeError(Exception):
    """None of the applications that are asked for has a mode of this name; ``known`` are those they have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(known)
        choice = ", ".join(repr(each) for each in self.known)
        super().__init__(f"there is no mode {name!r}: choose one of {choice}")


OFF = Mode("off", "crash", lambda _stack, _vm: {"enabled": False}, guest_processing=False)
FILESYSTEMS = Mode("filesystems", "filesystem", lambda _stack, _vm: {"filesystems": "all"})
SCRIPTS = Mode(
    "scripts",
    "crash",  # whether a script holds on its own cannot be seen from outside it
    lambda stack, vm: {"filesystems": "none", **application_scripts(stack.guests, vm)},
)
SCRIPTS_AND_FILESYSTEMS = Mode(
    "scripts, filesystems",
    "application",
    lambda stack, vm: {"filesystems": "all", **application_scripts(stack.guests, vm)},
)


def modes_of(application: Application) -> tuple[Mode, ...]:
    """Give all modes of an application."""
    held = (FILESYSTEMS, SCRIPTS, SCRIPTS_AND_FILESYSTEMS, *_by_services())
    return (OFF, *held, *_by_handler(application.handler)) if application.handler else (OFF, *held)


def check_modes(names: Iterable[str], applications: Iterable[Application]) -> None:
    """See that each name is that of a mode.

    Raises:
        UnknownModeError: none of the applications has it.
    """
    known = dict.fromkeys(mode.name for each in applications for mode in modes_of(each))
    for name in names:
        if name not in known:
            raise UnknownModeError(name, known)


def _by_services() -> Iterator[Mode]:
    """Hold any application by its processes: stopped, or halted where they stand."""
    yield _handled("services", "stop", filesystems="none")
    # Halted between the two files of one transaction, a copy may have half of it.
    halted = _handled("services", "sigstop", filesystems="none")
    yield replace(halted, proves="crash", must_be_whole=False)


def _by_handler(name: str) -> Iterator[Mode]:
    """Hold a database by the handler that knows it: frozen with the filesystems, drained alone."""
    yield _handled(name, "frozen", filesystems="all")
    yield _handled(name, "drained", filesystems="none")


def _handled(handler: str, mode: str, *, filesystems: str) -> Mode:
    asked = {"handlers": [{"name": handler, "mode": mode}], "filesystems": filesystems}
    name = f"{handler} {mode}" + (", filesystems" if filesystems == "all" else "")
    return Mode(name, "application", lambda _stack, _vm: asked)
