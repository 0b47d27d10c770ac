"""One message from receipt to deletion, release or poison queue.

The rules of QueueProcessor (Microsoft.Azure.WebJobs.Extensions.Storage.Queues 5.x).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from azure.core.exceptions import AzureError, HttpResponseError

from local.functions_host.backoff import RenewalPace
from local.functions_host.queues import (
    EnqueuedWatcher,
    MessageEncoding,
    Queue,
    ReceivedMessage,
    UndecodableMessageError,
    message_is_gone,
)
from local.functions_host.settings import QueueOptions

POISON_SUFFIX = "-poison"
_LONGEST_QUEUE_NAME = 63

# Runs the function for a message with this body; True when it and its outputs succeeded.
Execute = Callable[[ReceivedMessage, str], Awaitable[bool]]


def poison_queue_name(queue_name: str) -> str | None:
    """Where a queue's poison messages go; None when it is a poison queue itself, or its name is too long."""
    poison = queue_name + POISON_SUFFIX
    if queue_name.endswith(POISON_SUFFIX) or len(poison) > _LONGEST_QUEUE_NAME:
        return None
    return poison


class MessageProcessor:
    """Carries single messages of one queue through a function."""

    def __init__(
        self,
        *,
        queue: Queue,
        poison: Queue | None,
        options: QueueOptions,
        execute: Execute,
        watcher: EnqueuedWatcher,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._queue = queue
        self._poison = poison
        self._options = options
        self._encoding = MessageEncoding(options.base64)
        self._execute = execute
        self._watcher = watcher
        self._log = log

    async def process(self, message: ReceivedMessage) -> None:
        """Run the function for a message and complete it. Raises AzureError when the storage refuses."""
        try:
            body = self._encoding.decode(message.text).decode(errors="replace")
        except UndecodableMessageError:
            # In raw form, and the function never sees it (the extension's MessageDecodingFailed handler).
            await self._to_poison(message, message.pop_receipt)
            return
        if message.dequeue_count > self._options.max_dequeue_count:
            await self._to_poison(message, message.pop_receipt)
            return
        async with self._kept_hidden(message) as lease:
            succeeded = await self._execute(message, body)
        await self._complete(message, lease.pop_receipt, succeeded=succeeded)

    async def _complete(self, message: ReceivedMessage, pop_receipt: str, *, succeeded: bool) -> None:
        if succeeded:
            await self._delete(message, pop_receipt)
        elif self._poison is None:
            # Without a poison queue the message stays hidden to its end: no endless quick retries.
            self._log.warning("message %s failed and stays hidden: no poison queue", message.message_id)
        elif message.dequeue_count >= self._options.max_dequeue_count:
            await self._to_poison(message, pop_receipt)
        else:
            with self._gone_is_fine(message):
                seconds = self._options.visibility_timeout_s
                await self._queue.hide(message.message_id, pop_receipt, seconds)

    async def _to_poison(self, message: ReceivedMessage, pop_receipt: str) -> None:
        if self._poison is None:
            return
        self._log.warning(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            self._options.max_dequeue_count,
            self._poison.name,
        )
        await self._poison.add(message.text)
        self._watcher.notify(self._poison.name)
        await self._delete(message, pop_receipt)

    async def _delete(self, message: ReceivedMessage, pop_receipt: str) -> None:
        with self._gone_is_fine(message):
            await self._queue.delete(message.message_id, pop_receipt)

    @contextlib.contextmanager
    def _gone_is_fine(self, message: ReceivedMessage) -> Iterator[None]:
        try:
            yield
        except HttpResponseError as error:
            if not message_is_gone(error):
                raise
            self._log.info("message %s was taken over or deleted meanwhile", message.message_id)

    @contextlib.asynccontextmanager
    async def _kept_hidden(self, message: ReceivedMessage) -> AsyncIterator["_Lease"]:
        lease = _Lease(self._queue, message, self._options.dequeue_invisibility_s, self._log)
        renewing = asyncio.create_task(lease.renew_until_released())
        try:
            yield lease
        finally:
            # A renewal under way is awaited, not cancelled: it may already have changed the pop receipt.
            lease.release()
            await renewing


class _Lease:
    """Keeps a running message hidden: renewed at half its time (UpdateQueueMessageVisibilityCommand)."""

    def __init__(
        self,
        queue: Queue,
        message: ReceivedMessage,
        invisibility_s: float,
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self.pop_receipt = message.pop_receipt
        self._queue = queue
        self._message_id = message.message_id
        self._invisibility_s = invisibility_s
        self._log = log
        self._released = asyncio.Event()

    def release(self) -> None:
        """Renew no more."""
        self._released.set()

    async def renew_until_released(self) -> None:
        pace = RenewalPace(normal_s=self._invisibility_s / 2)
        while not await self._released_within(pace.interval_s):
            try:
                self.pop_receipt = await self._queue.hide(
                    self._message_id, self.pop_receipt, self._invisibility_s
                )
            except HttpResponseError as error:
                if message_is_gone(error):
                    # Another host has it now, or it was deleted. The function goes on running all the same.
                    self._log.warning("message %s is no longer this host's", self._message_id)
                    return
                pace.failed()
            except AzureError:
                pace.failed()
            else:
                pace.succeeded()

    async def _released_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._released.wait(), seconds)
        except TimeoutError:
            return False
        return True
