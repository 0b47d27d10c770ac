"""Scripts in the guests' storage: what their URLs allow and what not, on Azurite."""

import hashlib
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from shared.storage.connection import Connection
from shared.storage.guest_scripts import CONTAINER, GuestScripts
from tests.contract.support import unique

pytestmark = pytest.mark.azurite
HOUR_MS = 3_600_000


@pytest.fixture
async def scripts(connection: Connection) -> AsyncIterator[GuestScripts]:
    store = GuestScripts(connection, lambda: time.time_ns() // 1_000_000)
    yield store
    await store.close()


async def call(method: str, url: str) -> tuple[int, bytes]:
    headers = {"x-ms-blob-type": "BlockBlob"} if method == "PUT" else {}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, await response.read()


def script() -> tuple[str, str]:
    text = f"#!/bin/sh\necho {unique('s')} \u00e4\n"
    return hashlib.sha256(text.encode()).hexdigest(), text


async def test_a_stored_script_is_read_by_its_url(scripts: GuestScripts) -> None:
    pin, text = script()
    await scripts.put(pin, text)

    assert await call("GET", await scripts.url(pin, HOUR_MS)) == (200, text.encode())


async def test_storing_a_script_twice_changes_nothing(scripts: GuestScripts) -> None:
    pin, text = script()
    await scripts.put(pin, text)
    await scripts.put(pin, text)

    assert (await call("GET", await scripts.url(pin, HOUR_MS)))[1] == text.encode()


async def test_the_url_of_a_script_lets_nobody_write_or_read_another(scripts: GuestScripts) -> None:
    (pin, text), (other, other_text) = script(), script()
    await scripts.put(pin, text)
    await scripts.put(other, other_text)
    url = await scripts.url(pin, HOUR_MS)

    assert (await call("PUT", url))[0] == 403
    assert (await call("DELETE", url))[0] == 403
    assert (await call("GET", url.replace(pin, other)))[0] == 403
    assert (await call("GET", url.replace(f"{CONTAINER}/{pin}", CONTAINER) + "&restype=container&comp=list"))[
        0
    ] == 403


async def test_a_url_that_is_too_old_reads_nothing(connection: Connection) -> None:
    hours_ago = GuestScripts(connection, lambda: time.time_ns() // 1_000_000 - 2 * HOUR_MS)
    pin, text = script()
    await hours_ago.put(pin, text)

    assert (await call("GET", await hours_ago.url(pin, HOUR_MS)))[0] == 403
    await hours_ago.close()
