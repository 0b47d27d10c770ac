"""What a guest's URLs allow and what not: on Azurite, and for user delegation against a recorded service."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport

from shared.storage.connection import Connection, read_connection
from shared.storage.guest_queues import GuestQueues, command_queue
from shared.storage.queues import Queues
from shared.storage.sas import QueueSigner
from tests.contract.support import unique

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
PUT = "<QueueMessage><MessageText>aGk=</MessageText></QueueMessage>"


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def guests(connection: Connection) -> AsyncIterator[GuestQueues]:
    queues = GuestQueues(Queues(connection), QueueSigner(connection, wall_clock), wall_clock)
    yield queues
    await queues.close()


async def call(method: str, url: str, body: str | None = None, queue: str | None = None) -> int:
    """A request to the messages of the URL's queue, or with the same signature to those of another queue."""
    parts = urlsplit(url)
    path = parts.path if queue is None else f"{parts.path.rpartition('/')[0]}/{queue}"
    target = f"{parts.scheme}://{parts.netloc}{path}/messages?{parts.query}"
    async with aiohttp.ClientSession() as session, session.request(method, target, data=body) as response:
        return response.status


@pytest.mark.azurite
async def test_the_command_url_lets_an_agent_receive_and_nothing_else(guests: GuestQueues) -> None:
    vm_id, other_vm = unique("/vm"), unique("/vm")
    urls = await guests.urls(vm_id, HOUR_MS)
    await guests.urls(other_vm, HOUR_MS)
    await guests.send_command(vm_id, "quiesce", wall_clock() + HOUR_MS)

    assert await call("GET", urls.command) == 200
    assert await call("POST", urls.command, PUT) == 403
    assert await call("GET", urls.command, queue=command_queue(other_vm)) == 403
    assert await call("GET", urls.command, queue="stillframe-acks") == 403
    assert await call("POST", urls.command, PUT, queue="stillframe-acks") == 403


@pytest.mark.azurite
async def test_the_ack_url_lets_an_agent_add_and_nothing_else(guests: GuestQueues) -> None:
    vm_id = unique("/vm")
    urls = await guests.urls(vm_id, HOUR_MS)

    assert await call("POST", urls.ack, PUT) == 201
    assert await call("GET", urls.ack) == 403
    assert await call("DELETE", urls.ack) == 403
    assert await call("POST", urls.ack, PUT, queue=command_queue(vm_id)) == 403


@pytest.mark.azurite
async def test_both_queues_exist_as_soon_as_an_agent_has_its_urls(connection: Connection) -> None:
    ack_queue = unique("acks")
    guests = GuestQueues(
        Queues(connection), QueueSigner(connection, wall_clock), wall_clock, ack_queue=ack_queue
    )

    urls = await guests.urls(unique("/vm"), HOUR_MS)

    assert await call("GET", urls.command) == 200
    assert await call("POST", urls.ack, PUT) == 201
    await guests.close()


@pytest.mark.azurite
async def test_urls_are_worth_nothing_after_their_time(connection: Connection) -> None:
    def long_ago() -> int:
        return wall_clock() - 2 * HOUR_MS

    guests = GuestQueues(Queues(connection), QueueSigner(connection, long_ago), wall_clock)
    urls = await guests.urls(unique("/vm"), HOUR_MS)

    assert await call("GET", urls.command) == 403
    assert await call("POST", urls.ack, PUT) == 403
    await guests.close()


class FixedToken:
    """An identity whose token the recorded service below does not look into."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("the-token", int(time.time()) + 3600)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@dataclass
class KeyService:
    """Answers Get User Delegation Key as the REST reference shows it, over HTTP, and keeps what came."""

    url: str = ""
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        if request.query.get("comp") != "userdelegationkey":
            return web.Response(status=201)
        self.tokens.add(request.headers["Authorization"])
        info = ET.fromstring(await request.text())
        start, expiry = (datetime.fromisoformat(info.findtext(name, "")) for name in ("Start", "Expiry"))
        self.asked.append((start, expiry))
        return web.Response(content_type="application/xml", text=_KEY.format(start=start, expiry=expiry))

    def transport(self) -> "ToKeyService":
        return ToKeyService(self)


_KEY = """<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>
<SignedOid>11111111-1111-1111-1111-111111111111</SignedOid>
<SignedTid>22222222-2222-2222-2222-222222222222</SignedTid>
<SignedStart>{start:%Y-%m-%dT%H:%M:%SZ}</SignedStart><SignedExpiry>{expiry:%Y-%m-%dT%H:%M:%SZ}</SignedExpiry>
<SignedService>q</SignedService><SignedVersion>2026-02-06</SignedVersion><Value>c2VjcmV0</Value>
</UserDelegationKey>"""


# azure.core gives the class out through a module-level __getattr__, which has no type.
class ToKeyService(AioHttpTransport):  # type: ignore[misc]
    """Sends what is meant for Azure to the service above: tokens may go over HTTPS only, which it has not."""

    def __init__(self, service: KeyService) -> None:
        super().__init__()
        self._service = service

    async def send(self, request: Any, **config: Any) -> Any:
        assert request.url.startswith("https://guests.queue.core.windows.net/")
        request.url = request.url.replace("https://guests.queue.core.windows.net", self._service.url)
        return await super().send(request, **config)


@pytest.fixture
async def key_service() -> AsyncIterator[KeyService]:
    service = KeyService()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    async with TestServer(app) as server:
        service.url = str(server.make_url("")).rstrip("/")
        yield service


def delegated(service: KeyService) -> tuple[GuestQueues, Connection]:
    connection = read_connection("Guest", {"Guest__accountName": "guests"}, FixedToken)
    signer = QueueSigner(connection, lambda: NOW_MS, transport=service.transport)
    return GuestQueues(Queues(connection, transport=service.transport), signer, lambda: NOW_MS), connection


def fields(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_without_an_account_key_a_user_delegation_key_signs_over_https_only(
    key_service: KeyService,
) -> None:
    guests, _ = delegated(key_service)

    urls = await guests.urls("/vm1", HOUR_MS)
    await guests.close()

    command, ack = fields(urls.command), fields(urls.ack)
    assert urls.command.startswith(f"https://guests.queue.core.windows.net/{command_queue('/vm1')}?")
    assert (command["sp"], ack["sp"]) == ("p", "a")
    assert command["spr"] == ack["spr"] == "https"
    assert command["skoid"] == "11111111-1111-1111-1111-111111111111"
    assert (command["st"], command["se"]) == ("2026-09-21T13:58:20Z", "2026-09-21T15:13:20Z")
    assert command["sig"] != ack["sig"]
    assert key_service.tokens == {"Bearer the-token"}


async def test_a_delegation_key_is_asked_for_with_its_start_and_then_shared(
    key_service: KeyService,
) -> None:
    guests, _ = delegated(key_service)
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)

    for number in range(3):
        await guests.urls(f"/vm{number}", HOUR_MS)
    assert key_service.asked == [(now - timedelta(minutes=15), now + timedelta(days=1))]

    far = await guests.urls("/vm1", 30 * 24 * HOUR_MS)
    await guests.close()
    assert key_service.asked[1:] == [(now - timedelta(minutes=15), now + timedelta(days=7, minutes=-15))]
    assert fields(far.command)["se"] == "2026-09-28T13:58:20Z"
