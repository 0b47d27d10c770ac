"""A page of a run's VMs: whose turn has come, and a job done for each, a few at once and within bounds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.engine.ports import Clock
from shared.engine.queue_names import RunTask, StepMessage
from shared.logs import logger
from shared.storage.run_records import RunEntry
from shared.storage.turns import TurnTable

_log = logger("runs")

#: VMs that one invocation takes on; the next page is another message.
PAGE = 100
#: Sagas of a page that are worked on at the same time.
AT_ONCE = 8
#: One invocation takes on VMs for this long (ms), and leaves the rest to another: host.json allows ten
#: minutes, and nobody should have to wait for them.
WORK_FOR_MS = 20_000

Job = Callable[[RunEntry], Awaitable[None]]


async def for_each(entries: Sequence[RunEntry], job: Job, clock: Clock) -> Sequence[str]:
    """Do a job for all entries within ``WORK_FOR_MS``; gives the sagas that are left for later."""
    ends_at, left = clock() + WORK_FOR_MS, list[str]()

    async def in_time(entry: RunEntry) -> None:
        if clock() >= ends_at:
            left.append(entry.saga_id)
        else:
            await job(entry)

    await _all(entries, in_time)
    if left:
        _log.info("%d VMs are left for later", len(left))
    return left


async def for_each_that_can(
    task: RunTask, entries: Sequence[RunEntry], job: Job, clock: Clock
) -> Sequence[str]:
    """Do a job for all entries; those that fail wait for the next sweep, and stop no page behind them."""
    try:
        return await for_each(entries, job, clock)
    except ExceptionGroup as failed:
        count = len(failed.exceptions)
        _log.exception("%s failed for %d of its VMs", task, count)
        return ()


async def whose_turn_has_come(
    turns: TurnTable | None, run_id: str, entries: Sequence[RunEntry]
) -> Sequence[RunEntry]:
    """Leave out the VMs of a run that are to wait until others have ended."""
    if turns is None or not any(entry.place for entry in entries):
        return entries
    following = await turns.next_place(run_id)
    return [entry for entry in entries if entry.place < following]


def step_of(run_id: str, entry: RunEntry) -> StepMessage:
    """Give the message that starts the saga of a VM of a run, and names it."""
    return StepMessage(run_id, entry.saga_id, entry.vm_id, try_number=entry.try_number)


async def _all(entries: Sequence[RunEntry], job: Job) -> None:
    """Do a job for all entries, a few at once; one that fails keeps no other from being done.

    Raises:
        ExceptionGroup: what failed (a BaseExceptionGroup, if a job was cancelled).
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(entry: RunEntry) -> None:
        async with places:
            await job(entry)

    ended = await asyncio.gather(*(one(entry) for entry in entries), return_exceptions=True)
    errors = [error for error in ended if isinstance(error, BaseException)]
    if errors:
        raise BaseExceptionGroup("not done for some VMs", errors)
