"""The queue triggers: run messages, steps, acks, tasks about points, and what could not be processed of each.

A message that fails is delivered again by the host's rules (host.json), and put aside as poison in the end;
then the sagas that it was about are ended: their guests resume first. One that a newer version of the app
wrote, or that is about a saga which a newer version saved, is put off.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import azure.functions as func

from shared.engine.queue_names import (
    ACKS,
    POINTS,
    RUNS,
    STEPS,
    BadMessageError,
    read_point_message,
    read_run_message,
    read_step_message,
)
from shared.logs import About, about, logger
from shared.saga.events import Poisoned
from shared.storage.errors import RunNotFound, UnusableKey
from shared.triggers.once import Once
from shared.triggers.putting_off import or_put_off, text_of

_log = logger("queues")

#: The app's own storage, and the one that guests may reach.
STORAGE, GUEST_STORAGE = "AzureWebJobsStorage", "GuestStorage"


def blueprint(application: Once) -> func.Blueprint:
    """Give the queue functions."""
    queues = func.Blueprint()
    _work(queues, application)
    _poison(queues, application)
    return queues


def _work(queues: func.Blueprint, application: Once) -> None:
    @queues.queue_trigger("msg", RUNS, STORAGE)
    async def run_task(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().runs.take(read_run_message(text_of(msg)))

        await or_put_off(application, RUNS, msg, work)

    @queues.queue_trigger("msg", STEPS, STORAGE)
    async def saga_step(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().steps.take(read_step_message(text_of(msg)), again=came_before(msg))

        await or_put_off(application, STEPS, msg, work)

    @queues.queue_trigger("msg", ACKS, GUEST_STORAGE)
    async def agent_ack(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().acks.take(text_of(msg), _queued_at(msg), again=came_before(msg))

        await or_put_off(application, ACKS, msg, work)

    @queues.queue_trigger("msg", POINTS, STORAGE)
    async def point_task(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().point_tasks.take(read_point_message(text_of(msg)))

        await or_put_off(application, POINTS, msg, work)


def _poison(queues: func.Blueprint, application: Once) -> None:
    @queues.queue_trigger("msg", f"{RUNS}-poison", STORAGE)
    async def poisoned_run_task(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().runs.fail(read_run_message(text_of(msg)), "it failed again and again")

        await or_put_off(application, RUNS, msg, _dropping_garbage(work))

    @queues.queue_trigger("msg", f"{STEPS}-poison", STORAGE)
    async def poisoned_step(msg: func.QueueMessage) -> None:
        async def work() -> None:
            message = read_step_message(text_of(msg))
            what = f"watch {message.watch}" if message.watch else "its start"
            try:
                await application().steps.end(message, Poisoned(what))
            except (RunNotFound, UnusableKey) as error:  # there is nothing to end, and never will be
                with about(About(message.run_id, message.saga_id)):
                    _log.error("a poison message is dropped: %s", error)

        await or_put_off(application, STEPS, msg, _dropping_garbage(work))

    @queues.queue_trigger("msg", f"{ACKS}-poison", GUEST_STORAGE)
    async def poisoned_ack(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().acks.give_up(text_of(msg))

        await or_put_off(application, ACKS, msg, work)

    @queues.queue_trigger("msg", f"{POINTS}-poison", STORAGE)
    async def poisoned_point_task(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().point_tasks.give_up(read_point_message(text_of(msg)))

        await or_put_off(application, POINTS, msg, _dropping_garbage(work))


def _dropping_garbage(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def dropping() -> None:
        try:
            await work()
        except BadMessageError as error:
            _log.error("a poison message is dropped: %s", error)

    return dropping


def came_before(msg: func.QueueMessage) -> bool:
    """Say whether an earlier delivery of this very message failed."""
    return (msg.dequeue_count or 1) > 1


def _queued_at(msg: func.QueueMessage) -> int:
    """Give when the queue service took the message, in ms since the epoch."""
    taken = msg.insertion_time or datetime.now(UTC)
    return int(taken.timestamp() * 1000)
