"""Tokens, api-versions, groups and error shapes."""

from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute.aio import ComputeManagementClient

from local.arm.contract import violations
from local.arm.settings import SimSettings
from tests.integration.arm.sim import (
    SNAPSHOT_GROUP,
    SUBSCRIPTION,
    VM_GROUP,
    FixedToken,
    Sim,
    code_of,
    header_of,
    simulated,
    snapshot_of,
)


async def test_a_request_without_a_bearer_token_is_refused(sim: Sim) -> None:
    no_token = SansIOHTTPPolicy[Any, Any]()
    async with ComputeManagementClient(
        FixedToken(), SUBSCRIPTION, base_url=sim.base_url, authentication_policy=no_token
    ) as client:
        with pytest.raises(ClientAuthenticationError) as caught:
            await client.virtual_machines.get(VM_GROUP, "db1")

    assert caught.value.status_code == 401
    assert code_of(caught.value) == "AuthenticationFailed"


@pytest.mark.parametrize("version", ["2024-03-02", "2026-04-01"])
async def test_an_api_version_that_snapshots_do_not_have_is_refused(sim: Sim, version: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1", api_version=version)

    assert caught.value.status_code == 400
    assert code_of(caught.value) == "NoRegisteredProviderFound"


async def test_a_request_without_an_api_version_is_refused(sim: Sim) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session,
        session.get(
            f"{sim.base_url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/disks"
        ) as response,
    ):
        body = await response.json()

    assert (response.status, body["error"]["code"]) == (400, "MissingApiVersionParameter")


async def test_what_is_not_there_is_answered_as_the_gateway_does(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")

    assert code_of(caught.value) == "ResourceNotFound"
    assert header_of(caught.value, "x-ms-failure-cause") == "gateway"


async def test_a_resource_group_that_was_not_set_up_is_not_found(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await sim.client.snapshots.begin_create_or_update("elsewhere", "s1", snapshot_of("db1-os"))

    assert code_of(caught.value) == "ResourceGroupNotFound"


async def test_names_are_compared_without_regard_to_case(sim: Sim) -> None:
    vm = await sim.client.virtual_machines.get(VM_GROUP.upper(), "DB1")

    assert vm.name == "db1"


async def test_a_changed_operation_url_is_refused(sim: Sim) -> None:
    await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))
    (put,) = sim.world.journal.select(method="PUT")
    url = put.response_headers["azure-asyncoperation"].replace("&s=", "&s=x")

    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session,
        session.get(url) as response,
    ):
        assert response.status == 403


async def test_the_location_url_answers_202_until_the_end_and_then_the_resource() -> None:
    async with simulated(settings=SimSettings(capture_delay_s=0.3)) as sim:
        poller = await sim.client.snapshots.begin_create_or_update(
            SNAPSHOT_GROUP, "s1", snapshot_of("db1-os")
        )
        (put,) = sim.world.journal.select(method="PUT")
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session:
            async with session.get(put.response_headers["location"]) as response:
                assert response.status == 202
            await poller.result()
            async with session.get(put.response_headers["location"]) as response:
                assert (response.status, (await response.json())["name"]) == (200, "s1")


async def test_an_empty_request_bucket_answers_429_with_a_pause_when_limits_are_enforced() -> None:
    settings = SimSettings(enforce_request_limits=True)
    async with simulated(settings=settings, retry_total=0) as sim:

        async def ask_on() -> None:
            for _ in range(2_000):
                await sim.client.disks.get(VM_GROUP, "db1-os")

        with pytest.raises(HttpResponseError) as caught:
            await ask_on()

        assert caught.value.status_code == 429
        assert header_of(caught.value, "retry-after") == "1"
        assert header_of(caught.value, "x-ms-ratelimit-remaining-subscription-reads") == "0"
        assert code_of(caught.value) == "OperationNotAllowed"
        assert violations(sim.world.journal.select()) == []


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"location": "northeurope"}, "location"),
        ({"tags": {f"t{number}": "v" for number in range(51)}}, "tags"),
        ({"tags": {"long": "v" * 257}}, "tags.long"),
        ({"tags": {"a/b": "v"}}, "tags.a/b"),
        ({"properties": {"creationData": {"createOption": "Empty"}}}, "creationData.createOption"),
        ({"properties": {"creationData": "Copy"}}, "properties.creationData"),
    ],
)
async def test_a_body_that_cannot_be_is_refused_with_the_members_name(
    sim: Sim, change: dict[str, Any], target: str
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await sim.client.snapshots.begin_create_or_update(
            SNAPSHOT_GROUP, "s1", {**snapshot_of("db1-os"), **change}
        )

    assert caught.value.status_code == 400
    assert (code_of(caught.value), _target_of(caught.value)) == ("InvalidParameter", target)


async def test_a_snapshots_name_has_at_most_80_characters_of_its_alphabet(sim: Sim) -> None:
    for name in ("x" * 81, "with.dot"):
        with pytest.raises(HttpResponseError) as caught:
            await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, name, snapshot_of("db1-os"))
        assert caught.value.status_code == 400


async def test_what_the_provider_does_not_know_is_an_error_of_its_form(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await sim.client.images.get(VM_GROUP, "i1")

    assert code_of(caught.value) == "InvalidResourceType"


def _target_of(error: HttpResponseError) -> str | None:
    assert error.error is not None
    return error.error.target
