"""The counting pass: every storage request of app, host and agents goes through a tap.

It is apart from the timing pass, for the tap costs a little time. Timers are set to fire on New Year's night,
and nobody asks the app how it goes, so that what passes is the sagas' own.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.requests import Request, names_of, read_all, undeleted
from bench.sagas import invocations, run_to_end, views
from bench.tap import Exchange, Tap, tapping
from bench.timing import CLIENTS, UNLIMITED, VM, app_times, quiesce_settings
from local import azurite
from local.stack.stack import Stack, StackOptions, real_disks, running
from local.world.specs import three_disk_guest
from shared.protocol import QUIESCED, RESUME

_RARELY = "0 0 0 1 1 *"

#: Where no filesystem can be frozen there is nothing to quiesce without a script.
_NOTHING_HELD = {"enabled": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCount:
    """What one run of ``sagas`` VMs asked of the storage, in the order of time.

    ``added_ms`` has for each saga the time from its `quiesced` ack's arrival in the queue to the arrival of
    its resume command, less the time from the first snapshot request to the last success seen.
    """

    sagas: int
    requests: tuple[Request, ...]
    invocations: dict[str, int]
    added_ms: tuple[float, ...]

    @property
    def per_saga(self) -> float:
        """Requests per saga, idle ones left out."""
        return sum(not request.idle for request in self.requests) / self.sagas

    @property
    def idle_per_saga(self) -> float:
        """Empty polls and housekeeping per saga."""
        return sum(request.idle for request in self.requests) / self.sagas

    @property
    def invocations_per_saga(self) -> float:
        """Invocations of all functions, per saga."""
        return sum(self.invocations.values()) / self.sagas

    def kinds(self) -> dict[tuple[str, str], float]:
        """Requests per saga by sender and purpose, the most frequent first."""
        counts = Counter((request.who, request.what) for request in self.requests if not request.idle)
        return {kind: count / self.sagas for kind, count in counts.most_common()}


async def count_single(count: int, *, warm_up: int, progress: Callable[[str], None]) -> list[RunCount]:
    """Count the requests of ``count`` runs of one VM with the ledger.

    Raises:
        SagaFailedError, TooSlowError: a saga did not go well.
    """
    counted = []
    async with tapping_stack() as (stack, tap):
        await stack.add_vm(three_disk_guest(VM, stack.places.mounts, clients=CLIENTS))
        guest = quiesce_settings(stack, VM)
        for number in range(-warm_up, count):
            run = await _count(stack, tap, [VM], guest)
            if number >= 0:
                counted.append(run)
                progress(f"counting: saga {number + 1} of {count}, {run.per_saga:.0f} requests")
    return counted


async def count_many(vms: int, runs: int, *, warm_up: int, progress: Callable[[str], None]) -> list[RunCount]:
    """Count the requests of ``runs`` runs of ``vms`` VMs each, which have disks but no application.

    Raises:
        SagaFailedError, TooSlowError: a saga did not go well.
    """
    counted = []
    names = [f"vm-{number:02}" for number in range(vms)]
    async with tapping_stack() as (stack, tap):
        for name in names:
            await stack.add_vm(three_disk_guest(name, stack.places.mounts, application=None))
        guest = {"attempts": 1, **({} if real_disks() else _NOTHING_HELD)}
        for number in range(-warm_up, runs):
            run = await _count(stack, tap, names, guest)
            if number >= 0:
                counted.append(run)
                progress(f"counting: run {number + 1} of {runs}, {run.per_saga:.1f} requests per saga")
    return counted


@contextlib.asynccontextmanager
async def tapping_stack() -> AsyncIterator[tuple[Stack, Tap]]:
    """Run a stack whose app, host and agents reach the storage through a tap; its own Azurite lies idle."""
    async with contextlib.AsyncExitStack() as opened:
        storage = opened.enter_context(azurite.running())
        tap, tapped = await opened.enter_async_context(tapping(storage))
        settings = {
            "AzureWebJobsStorage": tapped.connection_string,
            "GuestStorage": tapped.connection_string,
            "STILLFRAME_SCHEDULES_TIMER": _RARELY,
            "STILLFRAME_SWEEP_TIMER": _RARELY,
            "STILLFRAME_RETENTION_TIMER": _RARELY,
            "STILLFRAME_RECONCILIATION_TIMER": _RARELY,
            "STILLFRAME_HOUSEKEEPING_TIMER": _RARELY,
        }
        options = StackOptions(sim=UNLIMITED, settings=settings)
        yield await opened.enter_async_context(running(options)), tap


async def _count(stack: Stack, tap: Tap, vms: Sequence[str], guest: Mapping[str, Any]) -> RunCount:
    before, first = await invocations(stack), len(tap.exchanges)

    def settled() -> bool:
        return not undeleted(tap.exchanges[first:])

    run_id = await run_to_end(stack, vms, guest, settled)
    passed = tap.exchanges[first:]
    after = await invocations(stack)
    found = await views(stack, run_id, vms)
    await stack.delete_recovery_points(found)
    return RunCount(
        sagas=len(vms),
        requests=tuple(read_all(passed)),
        invocations={name: after[name] - before.get(name, 0) for name in after},
        added_ms=tuple(_added_ms(passed, view) for view in found),
    )


def _added_ms(passed: Sequence[Exchange], view: Mapping[str, Any]) -> float:
    times = app_times(view)
    acked = _put_at(passed, QUIESCED, view["saga"])
    ordered = _put_at(passed, RESUME, view["saga"])
    return (ordered - acked) - (times.last_seen_at - times.first_put_at)


def _put_at(passed: Sequence[Exchange], kind: str, saga: str) -> float:
    """Say when the first such message of a saga was in its queue, ms since the epoch."""
    return next(one.ended for one in passed if names_of(one) == (kind, saga))
