"""A relay before the storage service that passes every byte on as it came, and notes what passed.

Signatures and SAS stay valid: neither covers the port. HTTP/1.1 without pipelining, which is what the
storage clients speak: one request, then its answer.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial

from local.azurite import AzuriteProcess

_HEAD_END = b"\r\n\r\n"
_NO_BODY = frozenset({204, 304})


class UnreadableError(Exception):
    """Something passed that is not HTTP/1.1 as it is read here."""

    def __init__(self, line: str) -> None:
        super().__init__(f"cannot read {line!r}")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its answer; ``began``, ``ended`` (the whole answer was here): ms since the epoch."""

    service: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes
    began: float
    ended: float


@dataclass(slots=True)
class Tap:
    """What has passed so far, in the order of the answers."""

    exchanges: list[Exchange] = field(default_factory=list)

    def passed(self, exchange: Exchange) -> None:
        """Keep what has passed."""
        self.exchanges.append(exchange)

    async def relay(
        self, service: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection until either side ends it."""
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                self.passed(await _pass_on(service, reader, writer, up_reader, up_writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            up_writer.close()
            writer.close()


@contextlib.asynccontextmanager
async def tapping(
    storage: AzuriteProcess, tap: Tap | None = None
) -> AsyncIterator[tuple[Tap, AzuriteProcess]]:
    """Put a tap before all three services; give it, and the storage as it is reached through it."""
    tap = tap or Tap()
    async with contextlib.AsyncExitStack() as opened:

        async def before(service: str, port: int) -> int:
            server = await asyncio.start_server(partial(tap.relay, service, port), "127.0.0.1", 0)
            opened.callback(server.abort_clients)
            opened.callback(server.close)
            return int(server.sockets[0].getsockname()[1])

        tapped = replace(
            storage,
            blob_port=await before("blob", storage.blob_port),
            queue_port=await before("queue", storage.queue_port),
            table_port=await before("table", storage.table_port),
        )
        yield tap, tapped


async def _pass_on(
    service: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    up_reader: asyncio.StreamReader,
    up_writer: asyncio.StreamWriter,
) -> Exchange:
    asked = await _read(reader, bodiless=False)
    began = _now()
    up_writer.write(asked.raw)
    method, target, _ = asked.start.split(" ", 2)
    answered = await _read(up_reader, bodiless=method == "HEAD")
    ended = _now()
    writer.write(answered.raw)
    await writer.drain()
    return Exchange(
        service=service,
        method=method,
        target=target,
        headers=asked.headers,
        body=asked.content,
        status=int(answered.start.split(" ", 2)[1]),
        answer=answered.content,
        began=began,
        ended=ended,
    )


@dataclass(frozen=True, slots=True)
class _Message:
    raw: bytes
    start: str
    headers: dict[str, str]
    content: bytes


async def _read(reader: asyncio.StreamReader, *, bodiless: bool) -> _Message:
    """Read one HTTP message.

    Raises:
        UnreadableError: it is none.
    """
    head = await reader.readuntil(_HEAD_END)
    start, *lines = head[: -len(_HEAD_END)].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (li.partition(":") for li in lines)}
    if bodiless or _is_bodiless(start):
        return _Message(head, start, headers, b"")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        raw, content = await _read_chunks(reader)
        return _Message(head + raw, start, headers, content)
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Message(head + content, start, headers, content)


def _is_bodiless(start: str) -> bool:
    parts = start.split(" ", 2)
    if len(parts) < 3:
        raise UnreadableError(start)
    return parts[0].startswith("HTTP/") and int(parts[1]) in _NO_BODY


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    raw, content = bytearray(), bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        raw += line + chunk
        if size == 0:
            return bytes(raw), bytes(content)
        content += chunk[:-2]


def _now() -> float:
    return time.time_ns() / 1e6
