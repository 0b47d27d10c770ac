"""Storage queues as the host uses them: raw message texts, one request per call, short retries.

Encoding is done here and not by the SDK, because the host must also move messages that cannot be decoded.
"""

import base64
import binascii
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

# The SDK's own first pause is 15 s (+-3): a listener would be deaf for more than a minute.
_RETRIES: dict[str, Any] = {
    "retry_total": 3,
    "initial_backoff": 0.2,
    "increment_base": 1,
    "random_jitter_range": 0,
}


class UndecodableMessageError(ValueError):
    """A message whose text is not base64 although the app's messages are."""


@dataclass(frozen=True)
class MessageEncoding:
    """host.json `messageEncoding`: base64, or none (plain UTF-8 text)."""

    base64: bool

    def encode(self, body: bytes) -> str:
        """The text to put into the queue. Raises UnicodeDecodeError for bytes that "none" cannot carry."""
        return base64.b64encode(body).decode("ascii") if self.base64 else body.decode()

    def decode(self, text: str) -> bytes:
        """The body of a received text; raises UndecodableMessageError."""
        if not self.base64:
            return text.encode()
        try:
            # Like Convert.FromBase64String: white space is skipped, everything else must be base64.
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise UndecodableMessageError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A message as received; `text` is still encoded."""

    message_id: str
    pop_receipt: str
    text: str
    dequeue_count: int
    inserted: datetime
    expires: datetime
    next_visible: datetime


class Queue:
    """One queue. Methods raise azure.core exceptions; helpers below tell them apart."""

    def __init__(self, connection_string: str, name: str) -> None:
        self.name = name
        self._client = QueueClient.from_connection_string(connection_string, name, **_RETRIES)

    async def exists(self) -> bool:
        """Is there such a queue?"""
        try:
            await self._client.get_queue_properties()
        except ResourceNotFoundError:
            return False
        return True

    async def receive(self, count: int, invisibility_s: float) -> list[ReceivedMessage]:
        """Up to `count` messages (at most 32), hidden for the given time. Exactly one request."""
        pages = self._client.receive_messages(
            messages_per_page=count, visibility_timeout=int(invisibility_s)
        ).by_page()
        # Only the first page: the SDK's iterator would ask again until a page is empty.
        first = await anext(aiter(pages), None)
        if first is None:
            return []
        return [
            ReceivedMessage(
                message_id=item.id,
                pop_receipt=item.pop_receipt or "",
                text=item.content,
                dequeue_count=item.dequeue_count or 0,
                inserted=_known(item.inserted_on),
                expires=_known(item.expires_on),
                next_visible=_known(item.next_visible_on),
            )
            async for item in first
        ]

    async def add(self, text: str) -> None:
        """Send an encoded text with the default time to live (7 days), creating the queue when missing."""
        try:
            await self._client.send_message(text)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another sender may be faster
                await self._client.create_queue()
            await self._client.send_message(text)

    async def hide(self, message_id: str, pop_receipt: str, invisibility_s: float) -> str:
        """Hide a received message from now on for the given time; returns its new pop receipt."""
        updated = await self._client.update_message(
            message_id, pop_receipt, visibility_timeout=int(invisibility_s)
        )
        return updated.pop_receipt or pop_receipt

    async def delete(self, message_id: str, pop_receipt: str) -> None:
        """Delete a received message."""
        await self._client.delete_message(message_id, pop_receipt)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class Queues:
    """The queues of the app, one client each, opened when first asked for."""

    def __init__(self, connection_string: Callable[[str], str]) -> None:
        self._connection_string = connection_string
        self._open: dict[tuple[str, str], Queue] = {}

    def get(self, connection: str, name: str) -> Queue:
        """The queue of a connection setting's account. Raises ConnectionUnusableError."""
        key = (connection, name)
        if key not in self._open:
            self._open[key] = Queue(self._connection_string(connection), name)
        return self._open[key]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for queue in self._open.values():
            await queue.close()


class EnqueuedWatcher:
    """Wakes this host's own listeners when this host adds a message (SharedQueueWatcher of the extension)."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def register(self, queue_name: str, wake: Callable[[], None]) -> None:
        """Have `wake` called for each message that this host adds to the queue."""
        self._listeners.setdefault(queue_name, []).append(wake)

    def notify(self, queue_name: str) -> None:
        """A message was added."""
        for wake in self._listeners.get(queue_name, []):
            wake()


def message_is_gone(error: HttpResponseError) -> bool:
    """Was the message or its queue deleted, or the message received by another (pop receipt mismatch)?"""
    return error.status_code == 404 or _code(error) in ("PopReceiptMismatch", "QueueBeingDeleted")


def is_transient(error: Exception) -> bool:
    """Should the caller try again later: queue missing or being deleted, or a fault of the server's side?"""
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return True  # no answer at all
    return error.status_code == 404 or error.status_code >= 500 or _code(error) == "QueueBeingDeleted"


def _known(moment: datetime | None) -> datetime:
    """The SDK types a received message's times as optional; the service always gives them."""
    if moment is None:
        raise ValueError("a received message without its times")
    return moment


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", "")  # an enumeration's member, or a text when it knows none
    return str(getattr(code, "value", code))
