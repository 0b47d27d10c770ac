"""The fault proxy itself, between the Azure SDK and Azurite."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.queue import QueueSasPermissions, TextBase64EncodePolicy, generate_queue_sas
from azure.storage.queue.aio import QueueClient

from local.azurite import ACCOUNT, ACCOUNT_KEY, AzuriteProcess
from local.stack.fault_answers import Service
from local.stack.fault_proxy import FaultProxy, proxying
from local.stack.fault_rules import Fault, Match, Rule

pytestmark = pytest.mark.azurite

PUT = Match(method="POST")


@pytest.fixture
async def proxy(azurite: AzuriteProcess) -> AsyncIterator[FaultProxy]:
    async with proxying(f"http://127.0.0.1:{azurite.queue_port}") as started:
        yield started


@pytest.fixture
async def queue(
    azurite: AzuriteProcess, proxy: FaultProxy, request: pytest.FixtureRequest
) -> AsyncIterator[QueueClient]:
    connection = replace(azurite, queue_port=proxy.port).connection_string
    name = request.node.name.replace("_", "-").partition("[")[0][:60].rstrip("-")
    async with QueueClient.from_connection_string(
        connection, name, retry_total=0, message_encode_policy=TextBase64EncodePolicy()
    ) as client:
        await client.create_queue()
        yield client
        await client.delete_queue()


async def send(queue: QueueClient, **members: Any) -> None:
    await queue.send_message(json.dumps(members))


async def waiting(queue: QueueClient) -> int:
    return (await queue.get_queue_properties()).approximate_message_count or 0


async def test_without_rules_everything_passes_and_sas_stays_valid(
    proxy: FaultProxy, queue: QueueClient
) -> None:
    sas = generate_queue_sas(
        ACCOUNT,
        queue.queue_name,
        ACCOUNT_KEY,
        permission=QueueSasPermissions(add=True),
        expiry=datetime.now(UTC) + timedelta(minutes=5),
    )
    async with QueueClient.from_queue_url(f"{queue.url}?{sas}", retry_total=0) as guest:
        await guest.send_message("from a guest")
        with pytest.raises(HttpResponseError):
            await guest.receive_message()
    message = await queue.receive_message()
    assert message is not None
    await queue.delete_message(message)
    assert await waiting(queue) == 0
    assert {passage.fault for passage in proxy.journal} == {None}


async def test_a_lost_message_is_answered_and_never_comes(proxy: FaultProxy, queue: QueueClient) -> None:
    proxy.add(Rule(match=Match(members={"kind": "resume", "generation": 1}), fault=Fault.LOSE))
    await send(queue, kind="resume", generation=2)
    await send(queue, kind="resume", generation=1)
    assert await waiting(queue) == 1
    await send(queue, kind="resume", generation=1)  # the rule is used up
    assert await waiting(queue) == 2
    assert proxy.seen(kind="resume", generation=1) == 2


async def test_held_messages_come_when_they_are_released_the_latest_first(
    proxy: FaultProxy, queue: QueueClient
) -> None:
    held = proxy.add(Rule(match=PUT, fault=Fault.HOLD, times=None))
    for number in range(3):
        await send(queue, number=number)
    assert (await waiting(queue), proxy.held(held)) == (0, 3)
    await proxy.release(held)
    assert proxy.held(held) == 0
    got = [json.loads(base64.b64decode(message.content)) async for message in queue.receive_messages()]
    assert [each["number"] for each in got] == [2, 1, 0]


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [(Fault.REFUSE, 0), (Fault.RESET, 0), (Fault.REFUSE_AFTER, 1), (Fault.RESET_AFTER, 1)],
)
async def test_a_failure_comes_before_or_after_the_message_has_arrived(
    proxy: FaultProxy, queue: QueueClient, fault: Fault, arrived: int
) -> None:
    proxy.add(Rule(match=PUT, fault=fault))
    with pytest.raises(AzureError):
        await send(queue, number=1)
    assert await waiting(queue) == arrived
    assert [passage.fault for passage in proxy.journal if passage.method == "POST"] == [fault]


async def test_a_duplicated_message_comes_twice(proxy: FaultProxy, queue: QueueClient) -> None:
    proxy.add(Rule(match=PUT, fault=Fault.DUPLICATE))
    await send(queue, number=1)
    assert await waiting(queue) == 2


async def test_the_answer_to_a_receive_is_lost_by_what_it_carries(
    proxy: FaultProxy, queue: QueueClient
) -> None:
    await send(queue, kind="quiesce")
    proxy.add(Rule(match=Match(method="GET", members={"kind": "quiesce"}), fault=Fault.RESET_AFTER))
    with contextlib.suppress(AzureError):  # aiohttp by itself repeats a GET whose connection was kept open
        assert await queue.receive_message() is None
    assert Fault.RESET_AFTER in {passage.fault for passage in proxy.journal}
    assert await queue.receive_message() is None  # it was received, and is hidden


async def test_a_truncated_answer_breaks_off_in_its_middle(proxy: FaultProxy, queue: QueueClient) -> None:
    proxy.add(Rule(match=PUT, fault=Fault.TRUNCATE))
    with pytest.raises(AzureError):
        await send(queue, number=1)
    assert await waiting(queue) == 1


async def test_a_service_that_is_down_is_a_broken_connection() -> None:
    async with proxying("http://127.0.0.1:9") as nobody, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.put(f"http://127.0.0.1:{nobody.port}/")


@pytest.mark.parametrize(
    ("service", "code"),
    [(Service.QUEUES, "ServerBusy"), (Service.TABLES, "ServerBusy"), (Service.AZURE, "ServiceUnavailable")],
)
async def test_a_refusal_is_spelt_as_the_service_does_and_says_when_to_come_again(
    azurite: AzuriteProcess, service: Service, code: str
) -> None:
    upstream = f"http://127.0.0.1:{azurite.table_port}"
    async with proxying(upstream, service=service) as proxy, aiohttp.ClientSession() as client:
        proxy.add(Rule(match=Match(), fault=Fault.REFUSE, status=503, retry_after_s=2))
        async with client.get(f"http://127.0.0.1:{proxy.port}/") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert code in await answer.text()


async def test_what_is_no_message_of_ours_passes_like_one(proxy: FaultProxy, queue: QueueClient) -> None:
    texts = ["no JSON", "[" * 20_000]
    for text in texts:
        await queue.send_message(text)
    got = [base64.b64decode(message.content).decode() async for message in queue.receive_messages()]
    assert got == texts
