"""How the straight-line code reaches the agent: two queues, as the agent speaks to no other thing.

`LoopbackLine` answers at once: an agent's receive is held until there is a command, an ack is there the
moment it is put. `StorageLine` is the real thing: the agent looks at its own pace, acks are looked for every
100 ms.
"""

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from azure.storage.queue import TextBase64DecodePolicy

from shared.storage.clients import queue_service
from shared.storage.connection import Connection
from shared.storage.guest_queues import GuestQueues, GuestUrls
from shared.storage.queues import Queues
from shared.storage.sas import QueueSigner

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.storage.queue.aio import QueueClient

#: How often acks are looked for: the shortest that the Functions host allows (QueuePollingIntervals.Minimum).
POLL_S = 0.1

#: For how long a receive is held; the agent gives a request 3 s.
_HELD_S = 2.5

_ACKS = "bench-acks"
_VALID_MS = 3_600_000
_TEXT = re.compile(rb"<MessageText>([^<]*)</MessageText>")


class Line(Protocol):
    """Two queues between the straight-line code and one agent."""

    async def urls(self, vm_id: str) -> GuestUrls:
        """Give what the agent of a VM is handed."""

    async def send(self, vm_id: str, command: str, expires_at: int) -> None:
        """Put a command."""

    async def next_ack(self) -> str:
        """Wait for an ack."""


class LoopbackLine:
    """A queue service in this process that never makes anybody wait; to be served by ``start``."""

    def __init__(self) -> None:
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._acks: asyncio.Queue[str] = asyncio.Queue()
        self._runner: web.AppRunner | None = None
        self._number = 0

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/commands/messages", self._receive),
                web.delete("/commands/messages/{name}", self._delete),
                web.post("/acks/messages", self._put),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def urls(self, _vm_id: str) -> GuestUrls:
        """Give the addresses of the two queues."""
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        return GuestUrls(command=f"http://{host}:{port}/commands", ack=f"http://{host}:{port}/acks")

    async def send(self, _vm_id: str, command: str, _expires_at: int) -> None:
        """Answer the receive that waits."""
        self._commands.put_nowait(command)

    async def next_ack(self) -> str:
        """Wait for an ack."""
        return await self._acks.get()

    async def _receive(self, _request: web.Request) -> web.Response:
        try:
            command = await asyncio.wait_for(self._commands.get(), _HELD_S)
        except TimeoutError:
            return _document("")
        self._number += 1
        text = base64.b64encode(command.encode()).decode()
        return _document(
            f"<QueueMessage><MessageId>{self._number}</MessageId><PopReceipt>1</PopReceipt>"
            f"<MessageText>{text}</MessageText></QueueMessage>"
        )

    async def _delete(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _put(self, request: web.Request) -> web.Response:
        for text in _TEXT.findall(await request.read()):
            self._acks.put_nowait(base64.b64decode(text).decode())
        return web.Response(status=201)


class StorageLine:
    """Queues of the storage service, as the app and its host use them."""

    def __init__(self, connection: Connection, clock: "Callable[[], int]") -> None:
        self._guests = GuestQueues(Queues(connection), QueueSigner(connection, clock), clock, ack_queue=_ACKS)
        self._service = queue_service(connection)

    async def close(self) -> None:
        """Close the connections."""
        await self._guests.close()
        await self._service.close()

    async def urls(self, vm_id: str) -> GuestUrls:
        """Make both queues and their SAS URLs."""
        return await self._guests.urls(vm_id, _VALID_MS)

    async def send(self, vm_id: str, command: str, expires_at: int) -> None:
        """Put a command into the VM's queue."""
        await self._guests.send_command(vm_id, command, expires_at)

    async def next_ack(self) -> str:
        """Look for an ack until there is one; its deletion is left for later, as the host's is."""
        client: QueueClient = self._service.get_queue_client(
            _ACKS, message_decode_policy=TextBase64DecodePolicy()
        )
        while True:
            message = await client.receive_message(visibility_timeout=600)
            if message is not None:
                return str(message.content)
            await asyncio.sleep(POLL_S)


def _document(messages: str) -> web.Response:
    text = f"<QueueMessagesList>{messages}</QueueMessagesList>"
    return web.Response(text=text, content_type="application/xml")
