"""The client of webhooks against a real receiver: what it sends, takes for an answer, and refuses."""

import ipaddress
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import ThreadedResolver

from shared.delivery.addresses import ForbiddenAddress
from shared.delivery.signing import signed_headers
from shared.delivery.webhooks import Answer, Unreachable, WebhookClient
from tests.integration.delivery.receiver import (
    Receiver,
    endless_body,
    hang,
    hang_up,
    receiving,
    status,
    verify,
)

NOW = 1_800_000_000_000
KEY = bytes(range(32))
BODY = b'{"id":"a1","type":"stillframe.run.failed"}'
HERE = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def post(receiver: Receiver, **more: Any) -> Answer:
    headers = {"X-Team": "dba"} | signed_headers([KEY], "a1", NOW, BODY)
    return await WebhookClient(HERE, within_s=0.5).post(more.get("url", receiver.url), BODY, headers, now=NOW)


async def test_a_signed_event_arrives_as_it_was_written(receiver: Receiver) -> None:
    assert await post(receiver) == Answer(204)
    [received] = receiver.received
    verify(received, KEY, now_s=NOW / 1000)
    assert received.body == BODY
    assert received.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert received.headers["x-team"] == "dba"
    assert received.headers["user-agent"].startswith("Stillframe/")
    with pytest.raises(AssertionError):
        verify(received, bytes(32), now_s=NOW / 1000)
    with pytest.raises(AssertionError):
        verify(received, KEY, now_s=NOW / 1000 + 301)


async def test_a_redirect_is_an_answer_and_nobody_goes_there(receiver: Receiver) -> None:
    receiver.answers = [status(302, Location="/elsewhere"), status(307, Location="http://169.254.169.254/")]
    assert [await post(receiver), await post(receiver)] == [Answer(302), Answer(307)]
    assert [each.path for each in receiver.received] == ["/hook", "/hook"]


async def test_how_long_to_wait_is_read_as_seconds_and_as_a_date(receiver: Receiver) -> None:
    later = format_datetime(datetime.fromtimestamp(NOW / 1000 + 90, UTC), usegmt=True)
    past = format_datetime(datetime.fromtimestamp(NOW / 1000 - 90, UTC), usegmt=True)
    told = ("120", later, past, "soon", "-5", "9" * 30)
    receiver.answers = [status(429, Retry_After=text) for text in told]
    waits = [(await post(receiver)).retry_after_ms for _ in told]
    assert waits == [120_000, 90_000, 0, None, None, None]


@pytest.mark.parametrize("behaviour", [hang, hang_up])
async def test_who_does_not_answer_is_unreachable_soon(receiver: Receiver, behaviour: Any) -> None:
    receiver.answers = [behaviour]
    with pytest.raises(Unreachable):
        await post(receiver)
    assert await post(receiver) == Answer(204)


async def test_a_body_without_end_keeps_nobody_waiting(receiver: Receiver) -> None:
    receiver.answers = [endless_body]
    assert await post(receiver) == Answer(200)


async def test_where_nobody_listens_is_unreachable(receiver: Receiver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            await post(receiver, url=f"http://127.0.0.1:{unused.getsockname()[1]}/")


async def test_plain_http_where_tls_is_expected_is_unreachable(receiver: Receiver) -> None:
    with pytest.raises(Unreachable):
        await post(receiver, url=receiver.url.replace("http:", "https:"))


async def test_an_address_that_is_not_public_is_not_connected_to(receiver: Receiver) -> None:
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        url = f"http://{host}:{receiver.port}/"
        with pytest.raises(ForbiddenAddress):
            await WebhookClient(()).post(url, BODY, {}, now=NOW)
    assert receiver.received == []


async def test_a_name_is_judged_by_what_it_leads_to_when_it_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that led somewhere public when the policy was stored may lead to this machine by now."""

    async def rebound(_self: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        found = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [found | {"host": "127.0.0.1"}]

    monkeypatch.setattr(ThreadedResolver, "resolve", rebound)
    url = f"http://hooks.example.org:{receiver.port}/"
    with pytest.raises(ForbiddenAddress):
        await WebhookClient(()).post(url, BODY, {}, now=NOW)
    assert receiver.received == []
    assert await WebhookClient(HERE).post(url, BODY, {}, now=NOW) == Answer(204)


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await post(receiver) == Answer(204)
