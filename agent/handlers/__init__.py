"""Application handlers: each makes one application hold still, proves that it did, and lets it go on.

A handler lives in a process of its own (holder.py), so that its death ends its session, and with that its
lock where the database ties the one to the other. What would outlive the session is in the journal before it
is done, with all that is needed to undo it.
"""

import abc
from typing import Callable, Dict, Mapping, NamedTuple, Tuple

#: What a hold rests on. ``frozen``: the filesystems under it are frozen too; ``drained``: every write is held
#: by the application itself, and none is left to be written; ``stopped``: its processes have ended in good
#: order; ``halted``: they stand still wherever they were, perhaps in the middle of a change.
FROZEN, DRAINED, STOPPED, HALTED = "frozen", "drained", "stopped", "halted"

#: What must be told to whoever undoes a hold, as texts.
Undo = Dict[str, str]


class HandlerFailed(Exception):
    """A handler could not do its part; nothing is held by it. ``reason`` is one of a few stable codes.

    absent | client_missing | bad_setting | unreachable | denied | too_old | held_already | busy | refused |
    timed_out | lost | called_off
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Held(NamedTuple):
    """What is held: a name such as ``postgresql:5432``, what the hold rests on, and in words what and how."""

    name: str
    mode: str
    detail: str
    warnings: Tuple[str, ...] = ()


class Proof(NamedTuple):
    """Whether everything had been held without a gap until the release, and in words why not."""

    whole: bool
    detail: str = ""


class Handler(abc.ABC):
    """One application. Calls come one after the other; only ``cancel`` may come from another thread."""

    @abc.abstractmethod
    def detect(self) -> bool:
        """Say whether the application is there to be held; nothing is connected to."""

    @abc.abstractmethod
    def preflight(self, deadline_ms: int) -> Tuple[str, ...]:
        """Connect and see whether it could be held; nothing is held. Returns what is worth a warning.

        ``deadline_ms``: ms from now.

        Raises:
            HandlerFailed: it could not.
        """

    @abc.abstractmethod
    def quiesce(self, deadline_ms: int, note: Callable[[Undo], None]) -> Held:
        """Make it hold still within ``deadline_ms`` (ms from now).

        ``note`` is called before anything is done that the end of this process would not undo.

        Raises:
            HandlerFailed: it does not hold still. What was done of it is undone by ``resume`` or ``undo``.
        """

    @abc.abstractmethod
    def resume(self) -> Proof:
        """Prove that it was held until now, then let it go on.

        Raises:
            HandlerFailed: it may still be held.
        """

    @abc.abstractmethod
    def verify(self) -> str:
        """Say in words what is wrong with the application now that it goes on; "" if it answers."""

    @abc.abstractmethod
    def undo(self, undo: Mapping[str, str]) -> None:
        """Undo what was noted, in whatever process; nothing to undo is well done too.

        Raises:
            HandlerFailed: it may still be held.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """End what is under way, from another thread: its clients are killed, its call fails."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the clients and their sessions."""
