"""A receiver of webhooks over real HTTP: it checks signatures by itself, and can be as bad as they are."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: Seconds that a receiver lets a signature be old, as Standard Webhooks advises.
TOLERANCE_S = 300

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request: its body as it came, its headers by their names in small letters."""

    path: str
    body: bytes
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass(slots=True)
class Receiver:
    """What came, and how the next requests are answered; then with 204."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: list[Behaviour] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path_qs, await request.read(), headers))
        if self.answers:
            return await self.answers.pop(0)(request)
        return web.Response(status=204)


def status(code: int, **headers: str) -> Behaviour:
    """Answer with a status and headers, whose names have _ for -."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    return answer


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def endless_body(request: web.Request) -> web.StreamResponse:
    """Answer 200, with a body that never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while True:
            await response.write(b"x" * 1024)
            await asyncio.sleep(0.01)
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def verify(received: Received, key: bytes, *, now_s: float | None = None) -> None:
    """Check a signature as the specification has it, with nothing of the app's own code."""
    notice_id, at = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    assert abs((time.time() if now_s is None else now_s) - int(at)) <= TOLERANCE_S
    signed = f"{notice_id}.{at}.".encode() + received.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [each.split(",", 1) for each in received.headers["webhook-signature"].split(" ")]
    assert ["v1", expected] in given
    assert received.event["id"] == notice_id


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Give a receiver that listens on this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
