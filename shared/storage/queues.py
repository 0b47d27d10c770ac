"""The app's own queues: messages between its functions.

Texts are base64, as ``messageEncoding`` of host.json says; the SDK by itself would send them raw. A queue is
created when it is first missed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.storage.clients import PerLoop, TransportFactory, queue_service
from shared.storage.connection import Connection
from shared.storage.errors import DelayTooLong, MessageTooLarge, QueueBeingDeleted

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient

#: A message holds 64 KiB, of which base64 leaves 48 KiB (Azure Storage scalability targets for queues).
MAX_BYTES = 48 * 1024

#: Queue Storage hides a message for at most 7 days (Put Message, visibilitytimeout).
MAX_DELAY_MS = 7 * 24 * 3_600_000

_FOREVER = -1
#: Messages that one request brings (Get Messages, Storage REST reference).
_MOST_AT_ONCE = 32
_BEING_DELETED = "QueueBeingDeleted"


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that was taken from a queue; ``cancel`` with its receipt deletes it."""

    text: str
    receipt: str


class Queues:
    """The queues of one connection. ``transport`` is for tests that watch or disturb the requests."""

    def __init__(self, connection: Connection, *, transport: TransportFactory | None = None) -> None:
        self._service = PerLoop(lambda: queue_service(connection, transport))

    async def ensure(self, *queues: str) -> None:
        """Create the queues that are not there yet.

        Raises:
            QueueBeingDeleted: somebody has just deleted one.
        """
        for queue in queues:
            try:
                await self._service.get().create_queue(queue)
            except ResourceExistsError as error:
                if _code(error) == _BEING_DELETED:
                    raise QueueBeingDeleted(queue) from error

    async def send(self, queue: str, text: str, *, delay_ms: int = 0) -> str:
        """Put a message that never expires into a queue, visible after ``delay_ms`` (rounded up to seconds).

        An answer that got lost is asked for again, which may put the message in twice. Returns a receipt,
        ``<message id>|<pop receipt>``, with which ``cancel`` takes the message back.

        Raises:
            MessageTooLarge: the text has over 48 KiB.
            DelayTooLong: over 7 days.
        """
        if delay_ms > MAX_DELAY_MS:
            raise DelayTooLong(queue, delay_ms, MAX_DELAY_MS)
        return await self.put(queue, text, delay_s=seconds(delay_ms), expires_in_s=_FOREVER)

    async def put(self, queue: str, text: str, *, delay_s: int, expires_in_s: int) -> str:
        """Put a message in as ``send`` does, with an expiry of its own (-1: never). Times in seconds."""
        check_size(queue, text)
        client = self._client(queue)
        try:
            sent = await client.send_message(text, visibility_timeout=delay_s, time_to_live=expires_in_s)
        except ResourceNotFoundError:
            await self.ensure(queue)
            sent = await client.send_message(text, visibility_timeout=delay_s, time_to_live=expires_in_s)
        return f"{sent.id}|{sent.pop_receipt}"

    async def cancel(self, queue: str, receipt: str) -> None:
        """Take a message back that nobody has received yet; received or gone, it is left alone."""
        message_id, _, pop_receipt = receipt.partition("|")
        try:
            await self._client(queue).delete_message(message_id, pop_receipt)
        except ResourceNotFoundError:
            return
        except HttpResponseError as error:
            if error.status_code != 400 or getattr(error, "error_code", "") != "PopReceiptMismatch":
                raise

    async def listed(self, prefix: str, marker: str = "") -> tuple[list[str], str]:
        """The next queues whose names begin with ``prefix``, and where to go on; empty at the end."""
        pages = self._service.get().list_queues(name_starts_with=prefix).by_page(marker or None)
        async for page in pages:
            names = [str(queue.name) async for queue in page]
            return names, str(getattr(pages, "continuation_token", None) or "")
        return [], ""

    async def delete(self, queue: str) -> None:
        """Delete a queue and all that lies in it; one that is not there is fine.

        Its name cannot be used for at least 30 s (Delete Queue, Storage REST reference).
        """
        try:
            await self._service.get().delete_queue(queue)
        except ResourceNotFoundError:
            return
        except HttpResponseError as error:
            if _code(error) != _BEING_DELETED:
                raise

    async def oldest(self, queue: str, limit: int, hidden_s: int) -> list[TakenMessage]:
        """Take up to ``limit`` messages, about the oldest first, and hide them for ``hidden_s``."""
        from azure.storage.queue import TextBase64DecodePolicy  # noqa: PLC0415 - see clients.py

        client = self._service.get().get_queue_client(queue, message_decode_policy=TextBase64DecodePolicy())
        try:
            taken = client.receive_messages(
                messages_per_page=min(limit, _MOST_AT_ONCE), max_messages=limit, visibility_timeout=hidden_s
            )
            return [TakenMessage(str(each.content), f"{each.id}|{each.pop_receipt}") async for each in taken]
        except ResourceNotFoundError:
            return []

    async def count(self, queue: str) -> int:
        """Give about how many messages lie in a queue, hidden ones too; 0 where there is no such queue."""
        try:
            properties = await self._client(queue).get_queue_properties()
        except ResourceNotFoundError:
            return 0
        return properties.approximate_message_count or 0

    async def waiting_since(self, queue: str) -> int | None:
        """Say since when (ms since the epoch) the first message waits that could be received now.

        None where none does.

        Queue Storage gives messages out about in the order of their coming: what was put in earlier has been
        taken, but for those few that failed and are hidden.
        """
        try:
            seen = await self._client(queue).peek_messages(max_messages=1)
        except ResourceNotFoundError:
            return None
        inserted = seen[0].inserted_on if seen else None
        return None if inserted is None else int(inserted.timestamp() * 1000)

    def _client(self, queue: str) -> "QueueClient":
        from azure.storage.queue import TextBase64EncodePolicy  # noqa: PLC0415 - see clients.py

        return self._service.get().get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._service.close()


def _code(error: HttpResponseError) -> str:
    return str(getattr(error, "error_code", None) or "")


def seconds(duration_ms: int) -> int:
    """Whole seconds, rounded up: Queue Storage knows nothing finer."""
    return max(0, -(-duration_ms // 1000))


def check_size(queue: str, text: str) -> None:
    """Raise ``MessageTooLarge`` when the text has over 48 KiB in UTF-8."""
    size = len(text.encode())
    if size > MAX_BYTES:
        raise MessageTooLarge(queue, size, MAX_BYTES)
