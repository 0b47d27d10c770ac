"""The tries, application by application, on one stack."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from local.arm.settings import SimSettings
from local.guests.applications import Application
from local.prove.modes import Mode, modes_of
from local.prove.tries import Try, make_try
from local.stack.stack import Stack, StackOptions, running
from local.world.specs import GuestSpec, guest_with

#: Azure allows 7 snapshots of a disk in 5 minutes; a try more often than every 43 s would meet that.
UNLIMITED = SimSettings(snapshots_per_window=1_000_000, snapshots_per_disk=1_000_000)

#: Enough to have something to hold; more would leave the processors to nothing else.
_CLIENTS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be tried, and how often in each mode."""

    application: Application
    modes: tuple[Mode, ...]
    tries: int


def plans(applications: Sequence[Application], tries: int, modes: Sequence[str] = ()) -> list[Plan]:
    """Plan all modes of these applications, or those of them that are named in ``modes``."""
    return [
        Plan(
            application,
            tuple(mode for mode in modes_of(application) if not modes or mode.name in modes),
            tries,
        )
        for application in applications
    ]


async def prove(wanted: Sequence[Plan], on_try: Callable[[Try], None]) -> list[Try]:
    """Make all tries; ``on_try`` hears of each.

    The modes of an application take turns, so that whatever else the machine does falls on all of them alike.

    Raises:
        AzuriteUnavailableError, HostDidNotStartError, ApplicationStartError: something does not start.
        TooSlowError: something does not end.
    """
    done: list[Try] = []
    async with running(StackOptions(sim=UNLIMITED)) as stack:
        for plan in wanted:
            async with guest_on(stack, plan.application) as guest:
                for _ in range(plan.tries):
                    for mode in plan.modes:
                        done.append(await make_try(stack, guest, mode))
                        on_try(done[-1])
    return done


@contextlib.asynccontextmanager
async def guest_on(stack: Stack, application: Application) -> AsyncIterator[GuestSpec]:
    """Have a guest with this application, which ends with the block: the next one wants the processors."""
    guest = guest_with(application.name, f"{application.name}-01", stack.places.mounts, clients=_CLIENTS)
    await stack.add_vm(guest)
    try:
        yield guest
    finally:
        await stack.guests.stop(guest.vm_name)
