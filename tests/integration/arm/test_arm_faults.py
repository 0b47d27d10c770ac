"""Faults on demand, as the client meets them."""

from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from tests.integration.arm.sim import SNAPSHOT_GROUP, VM_GROUP, Sim, client_for, header_of, snapshot_of, until

THROTTLED = {
    "error": {
        "code": "OperationNotAllowed",
        "message": "seeded",
        "details": [{"code": "TooManyRequests", "message": "seeded"}],
    }
}


async def test_a_429_with_retry_after_reaches_a_client_that_does_not_retry(sim: Sim) -> None:
    await sim.fault(
        match={"path_contains": "/snapshots/"}, status=429, body=THROTTLED, headers={"Retry-After": "7"}
    )

    async with client_for(sim.base_url, retry_total=0) as client:
        with pytest.raises(HttpResponseError) as caught:
            await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))

    assert caught.value.status_code == 429
    assert header_of(caught.value, "Retry-After") == "7"
    assert sim.disks.captured == []


async def test_the_default_client_repeats_a_throttled_request_by_itself(sim: Sim) -> None:
    await sim.fault(
        match={"method": "GET"}, status=429, body=THROTTLED, headers={"Retry-After": "0"}, times=2
    )

    await sim.client.virtual_machines.get(VM_GROUP, "db1")

    assert [item.status for item in sim.world.journal.select()] == [429, 429, 200]


async def test_a_request_whose_answer_is_lost_has_taken_effect(sim: Sim) -> None:
    # Two losses: the client's transport repeats an idempotent request once by itself, even with no retries.
    await sim.fault(match={"method": "PUT"}, drop="after", times=2)

    async with client_for(sim.base_url, retry_total=0) as client:
        with pytest.raises(ServiceRequestError):
            await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))

    async def state() -> Any:
        return (await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")).provisioning_state

    await until(state, lambda seen: seen == "Succeeded")
    assert [item.status for item in sim.world.journal.select(method="PUT")] == [None, None]
    assert len(sim.disks.captured) == 1


@pytest.mark.parametrize("retries", [0, 3])
async def test_a_put_that_the_client_repeats_after_a_lost_answer_takes_one_snapshot(
    sim: Sim, retries: int
) -> None:
    await sim.fault(match={"method": "PUT"}, drop="after")

    async with client_for(sim.base_url, retry_total=retries) as client:
        poller = await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))
        await poller.result()

    assert [item.status for item in sim.world.journal.select(method="PUT")] == [None, 200]
    assert len(sim.disks.captured) == 1


async def test_a_request_dropped_before_has_had_no_effect(sim: Sim) -> None:
    await sim.fault(match={"method": "PUT"}, drop="before", times=2)

    async with client_for(sim.base_url, retry_total=0) as client:
        with pytest.raises(ServiceRequestError):
            await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))

    assert sim.world.resources.snapshots == {}


async def test_a_delayed_request_takes_effect_although_its_client_has_gone(sim: Sim) -> None:
    await sim.fault(match={"method": "PUT"}, delay_ms=300)

    async with client_for(sim.base_url, retry_total=0, read_timeout=0.1) as client:
        with pytest.raises(ServiceResponseError):
            await client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))

    async def captured() -> int:
        return len(sim.disks.captured)

    await until(captured, lambda count: count == 1)


async def test_rules_are_used_in_order_as_often_as_they_say_and_can_be_cleared(sim: Sim) -> None:
    await sim.fault(
        match={"path_contains": "DB1"}, status=503, body={"error": {"code": "A", "message": "a"}}, times=2
    )
    await sim.fault(match={}, status=500, body={"error": {"code": "B", "message": "b"}}, times=9)
    async with client_for(sim.base_url, retry_total=0) as client:
        statuses = []
        for _ in range(3):
            with pytest.raises(HttpResponseError) as caught:
                await client.virtual_machines.get(VM_GROUP, "db1")
            statuses.append(caught.value.status_code)
    assert statuses == [503, 503, 500]
    assert (await sim.admin("faults"))["remaining"] == 8

    async with aiohttp.ClientSession() as session, session.delete(f"{sim.base_url}/_sim/faults") as response:
        assert response.status == 204

    await sim.client.virtual_machines.get(VM_GROUP, "db1")


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"drop": "sometimes"}, "drop"),
        ({"times": 0}, "times"),
        ({"matches": {}}, "matches"),
        ({"match": {"verb": "GET"}}, "match"),
        ({"operation_fails": {"code": "X"}}, "operation_fails"),
        ({"status": "503"}, "status"),
        ({"delay_ms": -1}, "delay_ms"),
    ],
)
async def test_a_rule_that_cannot_be_used_is_refused_with_the_members_name(
    sim: Sim, rule: dict[str, object], field: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sim.base_url}/_sim/faults", json=rule) as response,
    ):
        assert (response.status, (await response.json())["field"]) == (400, field)


async def test_a_deletion_can_be_made_to_fail(sim: Sim) -> None:
    await (
        await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))
    ).result()
    await sim.fault(
        match={"method": "DELETE"}, operation_fails={"code": "InternalError", "message": "seeded"}
    )

    with pytest.raises(HttpResponseError):
        await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()

    assert (await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")).provisioning_state == "Succeeded"
    assert sim.disks.discarded == []
