"""Polls one queue for one function.

The rules of QueueListener (Microsoft.Azure.WebJobs.Extensions.Storage.Queues 5.x): a batch is started all at
once; the next one is fetched without delay as soon as no more than `newBatchThreshold` messages are running;
after an empty poll the listener waits by PollBackoff or until this host itself adds a message to the queue.

One thing differs: when the storage gives no answer at all the real host stops, to be restarted by the
platform; nobody restarts this one, so it tries again like after a server error.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from azure.core.exceptions import AzureError

from local.functions_host.backoff import PollBackoff
from local.functions_host.message_processor import MessageProcessor
from local.functions_host.queues import EnqueuedWatcher, Queue, ReceivedMessage, is_transient
from local.functions_host.settings import QueueOptions


class QueueListener:
    """The poll loop. `on_fatal` is told what the host must not survive, such as a refused key."""

    def __init__(
        self,
        *,
        queue: Queue,
        options: QueueOptions,
        processor: MessageProcessor,
        watcher: EnqueuedWatcher,
        backoff: PollBackoff,
        on_fatal: Callable[[Exception], None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._queue = queue
        self._options = options
        self._processor = processor
        self._backoff = backoff
        self._on_fatal = on_fatal
        self._log = log
        self._exists = False
        self._found_since_delay = False
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()
        self._processing: set[asyncio.Task[None]] = set()
        watcher.register(queue.name, self._wake.set)

    async def run(self) -> None:
        """Poll until stop() is called; messages in flight may still be running then."""
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                messages = await self._poll()
            except AzureError as error:
                self._exists = False
                if not is_transient(error):
                    self._on_fatal(error)
                    return
                self._log.warning("queue %s cannot be polled: %s", self._queue.name, _first_line(error))
                messages = []
            if messages:
                self._start(messages)
                await self._wait_for_threshold()
            else:
                await self._wait_after_empty_poll()

    def stop(self) -> None:
        """Poll no more. A receive under way is finished: its messages would be hidden for nothing."""
        self._stopped.set()
        self._wake.set()

    async def finished(self) -> None:
        """Wait for the messages in flight."""
        while self._processing:
            await asyncio.wait(self._processing)

    def abandon(self) -> None:
        """Give up on the messages in flight: they come back when their invisibility ends."""
        for task in self._processing:
            task.cancel()

    async def _poll(self) -> list[ReceivedMessage]:
        # Asked until known, so that a queue not made yet costs no exceptions in the log.
        if not self._exists:
            self._exists = await self._queue.exists()
        if not self._exists:
            return []
        return await self._queue.receive(self._options.batch_size, self._options.dequeue_invisibility_s)

    def _start(self, messages: list[ReceivedMessage]) -> None:
        self._found_since_delay = True
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._processing.add(task)
            task.add_done_callback(self._processed)

    def _processed(self, task: asyncio.Task[None]) -> None:
        self._processing.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._on_fatal(error)

    async def _process(self, message: ReceivedMessage) -> None:
        try:
            await self._processor.process(message)
        except AzureError as error:
            if not is_transient(error):
                raise
            # The message comes back when its invisibility ends.
            self._log.error("message %s not completed: %s", message.message_id, _first_line(error))

    async def _wait_for_threshold(self) -> None:
        stopped = asyncio.create_task(self._stopped.wait())
        while len(self._processing) > self._options.new_batch_threshold and not stopped.done():
            await asyncio.wait({*self._processing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def _wait_after_empty_poll(self) -> None:
        delay_s = self._backoff.next_delay(found_messages=self._found_since_delay)
        self._found_since_delay = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay_s)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
