"""A receiver of notices for `make up`: it checks each signature, and writes what came into a file."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

#: Seconds that a signature may be old, as Standard Webhooks advises.
TOLERANCE_S = 300

_MAX_BODY_BYTES = 1 << 20


def is_genuine(body: bytes, headers: dict[str, str], key: bytes, now_s: float) -> bool:
    """Whether a request was signed with the key a short while ago, by the rules of Standard Webhooks.

    The names of ``headers`` are in small letters.
    """
    named, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(now_s - int(at)) > TOLERANCE_S:
        return False
    signed = f"{named}.{at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), each.encode()) for each in given)


@asynccontextmanager
async def receiving(key: bytes, written: Path) -> AsyncIterator[str]:
    """Listen on this machine; gives the URL. A genuine notice becomes a line of JSON in ``written``."""

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not is_genuine(body, headers, key, time.time()):
            return web.Response(status=401)
        event = json.loads(body)
        with written.open("a") as lines:
            lines.write(json.dumps(event) + "\n")
        print(
            f"notice    {event['type']} {event['subject']} (signature checked, in {written.name})", flush=True
        )
        return web.Response(status=204)

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_post("/notices", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/notices"
    finally:
        await runner.cleanup()
