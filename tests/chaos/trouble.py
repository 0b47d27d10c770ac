"""What a fault is: a name, the stack it needs, and how a seed becomes one certain trouble of its kind."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from local.stack.stack import Stack
from local.stack.waiting import ticks
from tests.chaos.arena import Arena, Kind
from tests.e2e.scene import Machine

#: How long a trouble waits for its moment, which may never come.
_MOMENT_WITHIN_S = 60.0


@dataclass(kw_only=True)
class Trouble:
    """One trouble with all that was chosen for it. ``happened`` says that it did anything at all."""

    text: str
    happened: bool = field(default=False, init=False)
    #: Whether it may end a script in its middle. Nobody knows how far that one came: it is run again.
    ends_scripts: ClassVar[bool] = False

    def settings(self, machine: Machine) -> Mapping[str, Any]:
        """Give settings of a guest that this trouble needs, on top of the round's own."""
        return {}

    async def before(self, arena: Arena) -> None:
        """Get ready, before the run is asked for."""

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        """Act while the run goes on; cancelled once all of its sagas have ended."""

    async def after(self, arena: Arena) -> None:
        """Take everything back, whatever was done."""


@dataclass(frozen=True)
class Fault:
    """A kind of trouble. ``choose`` takes every choice from the generator that it is given."""

    name: str
    choose: Callable[[Random], Trouble]
    kind: Kind = Kind.USUAL
    goes_with_others: bool = True
    for_groups: bool = False
    """It can only happen where the VMs are to share one instant."""


#: Moments in the life of a VM's saga, as seen from outside, by what has passed the queues.
MOMENTS = ("armed", "quiescing", "held", "capturing", "resuming", "resumed")


def has_come(stack: Stack, machine: Machine, moment: str) -> bool:
    """Whether a moment has come."""

    def seen(kind: str) -> bool:
        return stack.proxy.seen(kind=kind, vm=machine.id.lower()) > 0

    match moment:
        case "armed":
            return seen("ready")
        case "quiescing":
            return bool(machine.lines())
        case "held":
            return seen("quiesced")
        case "capturing":
            return bool(machine.snapshots())
        case "resuming":
            return seen("resume")
        case _:
            return seen("resumed")


async def until_moment(arena: Arena, machine: Machine, moment: str, after_ms: int = 0) -> None:
    """Wait until a moment has come, and ``after_ms`` longer.

    Raises:
        TooSlowError: it never came.
    """
    async for _ in ticks(_MOMENT_WITHIN_S, f"{machine.name}: {moment}", pause_s=0.01):
        if has_come(arena.stack, machine, moment):
            break
    await asyncio.sleep(after_ms / 1000)
