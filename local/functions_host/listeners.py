"""Builds the listener of each function that is not called over HTTP, and starts and stops them together."""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from local.functions_host.backoff import PollBackoff
from local.functions_host.functions import Function, QueueTrigger, TimerTrigger
from local.functions_host.invoker import Invoker
from local.functions_host.message_processor import MessageProcessor, poison_queue_name
from local.functions_host.metadata import queue_trigger_metadata
from local.functions_host.ncrontab import Schedule
from local.functions_host.protos import TypedData
from local.functions_host.queue_listener import QueueListener
from local.functions_host.queues import EnqueuedWatcher, Queues, ReceivedMessage
from local.functions_host.settings import HostSettings
from local.functions_host.timer_listener import TimerListener
from local.functions_host.timer_status import TimerStatusStore


class Listeners:
    """All listeners of the app. Construction raises ScheduleError and ConnectionUnusableError."""

    def __init__(
        self,
        *,
        functions: list[Function],
        settings: HostSettings,
        queues: Queues,
        watcher: EnqueuedWatcher,
        invoker: Invoker,
        on_fatal: Callable[[Exception], None],
        log: logging.Logger,
    ) -> None:
        self._settings = settings
        self._queues = queues
        self._watcher = watcher
        self._invoker = invoker
        self._on_fatal = on_fatal
        self._log = log
        self._store = TimerStatusStore(settings.app_dir / ".local" / "timers")
        self._of_queues: list[QueueListener] = []
        self._of_timers: dict[str, TimerListener] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for function in functions:
            if isinstance(function.trigger, QueueTrigger):
                self._of_queues.append(self._queue_listener(function, function.trigger))
            elif isinstance(function.trigger, TimerTrigger):
                self._of_timers[function.name] = self._timer_listener(function, function.trigger)
        self._all: list[QueueListener | TimerListener] = [*self._of_queues, *self._of_timers.values()]

    def start(self) -> None:
        """Poll and tick from now on."""
        for listener in self._all:
            task = asyncio.create_task(listener.run())
            task.add_done_callback(self._report_crash)
            self._tasks.append(task)

    def stop(self) -> None:
        """Take no more messages and fire no more timers; what runs goes on."""
        for listener in self._all:
            listener.stop()

    async def finished(self) -> None:
        """Wait, after stop(), until every message in flight is completed."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._of_queues:
            await listener.finished()

    def abandon(self) -> None:
        """Give up on what stop() has left running."""
        for task in self._tasks:
            task.cancel()
        for listener in self._of_queues:
            listener.abandon()

    async def run_by_hand(self, function: Function, text: str) -> None:
        """Invoke a function outside of its listener, with a message that is in no queue, or as a timer."""
        if function.name in self._of_timers:
            await self._of_timers[function.name].run_by_hand()
            return
        now = datetime.now(UTC)
        message = ReceivedMessage(
            message_id=str(uuid.uuid4()),
            pop_receipt="",
            text=text,
            dequeue_count=0,
            inserted=now,
            expires=now + timedelta(days=7),
            next_visible=now,
        )
        await self._invoke_with(function, message, text)

    def _queue_listener(self, function: Function, trigger: QueueTrigger) -> QueueListener:
        options = self._settings.queues
        log = self._log_of(function)
        poison_name = poison_queue_name(trigger.queue)
        queue = self._queues.get(trigger.connection, trigger.queue)
        processor = MessageProcessor(
            queue=queue,
            poison=self._queues.get(trigger.connection, poison_name) if poison_name else None,
            options=options,
            execute=lambda message, body: self._invoke_with(function, message, body),
            watcher=self._watcher,
            log=log,
        )
        backoff = PollBackoff(
            maximum_s=options.max_polling_interval_s,
            uniform=random.uniform,
        )
        return QueueListener(
            queue=queue,
            options=options,
            processor=processor,
            watcher=self._watcher,
            backoff=backoff,
            on_fatal=self._on_fatal,
            log=log,
        )

    def _timer_listener(self, function: Function, trigger: TimerTrigger) -> TimerListener:
        zone = self._settings.zone
        return TimerListener(
            function=function,
            trigger=trigger,
            schedule=Schedule.parse(trigger.schedule, zone),
            store=self._store,
            execute=self._invoker.invoke,
            now=lambda: datetime.now(zone),
            log=self._log_of(function),
        )

    async def _invoke_with(self, function: Function, message: ReceivedMessage, body: str) -> bool:
        metadata = queue_trigger_metadata(message, body)
        outcome = await self._invoker.invoke(function, TypedData(string=body), metadata=metadata)
        return outcome.succeeded

    def _report_crash(self, task: asyncio.Task[None]) -> None:
        """A listener that died silently would look like an idle one: end the host, as the real one does."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _log_of(self, function: Function) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(self._log, {"function": function.name})
