"""A run ends and somebody is told: signed over HTTP, or in a queue; what nobody takes is put aside."""

import base64
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.queue.aio import QueueServiceClient

from local.stack.api import ApiError
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.queue_names import NOTICES_DEAD
from tests.e2e.leaks import everything, leaks
from tests.e2e.scene import SOON_S, Machine, plain_vm
from tests.integration.delivery.receiver import Receiver, receiving, status, verify
from tests.unit.triggers.contract import faults

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

KEY = secrets.token_bytes(32)
OPTIONS = StackOptions(
    settings={
        "STILLFRAME_WEBHOOK_SECRET_OPS": "whsec_" + base64.b64encode(KEY).decode(),
    }
)
EVERY_END = ["success", "warning", "failure"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vm(stack: Stack) -> Machine:
    return await plain_vm(stack, "told")


async def until_received(receiver: Receiver, count: int) -> None:
    async def there() -> bool:
        return len(receiver.received) >= count

    await until(there, within_s=SOON_S, what=f"{count} notices")


async def run_and_tell(vm: Machine, *notifications: dict[str, Any]) -> dict[str, Any]:
    settings = {"enabled": False}
    return await vm.run_to_end(settings, notifications=list(notifications))


async def test_the_end_of_a_run_arrives_signed_after_the_receiver_was_down_and_in_a_queue(
    stack: Stack, receiver: Receiver, vm: Machine
) -> None:
    receiver.answers = [status(503)]
    webhook = {"url": f"{receiver.url}?of=us", "secret": "ops", "headers": {"X-Team": "dba"}}
    view = await run_and_tell(
        vm, {"on": EVERY_END, "webhook": webhook}, {"on": EVERY_END, "per": "vm", "queue": "results"}
    )
    await until_received(receiver, 2)
    first, second = receiver.received
    for received in (first, second):
        verify(received, KEY)
        assert faults("Notice", received.event) == []
        assert received.headers["x-team"] == "dba"
        assert received.path == "/hook?of=us"
    assert first.event == second.event
    assert first.event["type"] in ("stillframe.run.succeeded", "stillframe.run.warned")
    assert first.event["data"]["run"] == view["run"]
    event, *again = await texts(stack, "results")
    assert all(each == event for each in again)
    assert faults("Notice", event) == []
    assert (event["data"]["saga"], event["data"]["outcome"]) == (view["saga"], view["outcome"])

    places = await everything(vm, views=[view, *(each.event for each in receiver.received)])
    assert leaks(places, {"webhook secret": KEY, "as it is set": base64.b64encode(KEY).rstrip(b"=")}) == []


async def test_a_receiver_that_is_gone_is_shown_by_health(
    stack: Stack, receiver: Receiver, vm: Machine
) -> None:
    before = len(receiver.received)
    receiver.answers = [status(410)]
    await run_and_tell(vm, {"on": EVERY_END, "webhook": {"url": receiver.url, "secret": "ops"}})
    await until_received(receiver, before + 1)
    report: dict[str, Any] = {}

    async def shown() -> bool:
        report.update((await stack.api.call("GET", "/api/health"))[2])
        return bool(report["notices"]["given_up"])

    await until(shown, within_s=SOON_S, what="the notice that was given up")
    assert faults("Health", report) == []
    assert any(NOTICES_DEAD in sentence for sentence in report["attention"])
    [dead] = await texts(stack, NOTICES_DEAD)
    assert dead["given_up"]["why"] == "the receiver answered 410"
    assert "stillframe notice given up" in stack.host.log.read_text(errors="replace")


async def test_a_webhook_into_a_network_that_no_setting_names_is_refused(stack: Stack, vm: Machine) -> None:
    notification = {"webhook": {"url": "https://169.254.169.254/metadata", "secret": "ops"}}
    with pytest.raises(ApiError) as refused:
        await stack.api.call("PUT", "/api/policies/nosy", {"vms": [vm.id], "notifications": [notification]})
    assert (refused.value.status, refused.value.problem["field"]) == (400, "notifications[0].webhook.url")


async def texts(stack: Stack, queue: str) -> list[dict[str, Any]]:
    """Look at the messages of a queue, without taking them."""
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        found = await service.get_queue_client(queue).peek_messages(max_messages=32)
        return [json.loads(base64.b64decode(message.content)) for message in found]
