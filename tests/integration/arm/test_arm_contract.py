"""The contract check itself: it is quiet about what is right, and sees what is wrong."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local.arm.contract import ENDPOINTS, violations
from local.arm.journal import Exchange
from local.arm.model_schemas import Direction, UnknownModelTypeError, _of, model_schema
from tests.integration.arm.sim import (
    LOCATION,
    SNAPSHOT_GROUP,
    SUBSCRIPTION,
    VM_GROUP,
    Sim,
    snapshot_of,
    vm_id,
)

_PREFIX = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}/providers/Microsoft.Compute"


async def _everything(sim: Sim) -> list[Exchange]:
    """Use every operation once, and return the journal as another process would read it."""
    client = sim.client
    await client.virtual_machines.get(VM_GROUP, "db1", expand="instanceView")
    await client.virtual_machines.instance_view(VM_GROUP, "db1")
    _ = [item async for item in client.virtual_machines.list(VM_GROUP)]
    _ = [item async for item in client.disks.list_by_resource_group(VM_GROUP)]
    await client.disks.get(VM_GROUP, "db1-os")
    poller = await client.snapshots.begin_create_or_update(
        SNAPSHOT_GROUP, "s1", snapshot_of("db1-os", run="r")
    )
    await poller.result()
    await (await client.snapshots.begin_update(SNAPSHOT_GROUP, "s1", {"tags": {"a": "b"}})).result()
    _ = [item async for item in client.snapshots.list_by_resource_group(SNAPSHOT_GROUP)]
    await (await client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()
    collection = {"location": LOCATION, "properties": {"source": {"id": vm_id("db1")}}}
    await client.restore_point_collections.create_or_update(VM_GROUP, "c1", collection)
    point = await (
        await client.restore_points.begin_create(VM_GROUP, "c1", "p1", {"properties": {}})
    ).result()
    await client.restore_points.get(VM_GROUP, "c1", "p1", expand="instanceView")
    await client.restore_point_collections.get(VM_GROUP, "c1", expand="restorePoints")
    _ = [item async for item in client.restore_point_collections.list(VM_GROUP)]
    disk_points = client.disk_restore_point.list_by_restore_point(VM_GROUP, "c1", "p1")
    names = [item.name async for item in disk_points]
    await client.disk_restore_point.get(VM_GROUP, "c1", point.name, names[0])
    await (await client.restore_points.begin_delete(VM_GROUP, "c1", "p1")).result()
    await (await client.restore_point_collections.begin_delete(VM_GROUP, "c1")).result()
    commands = client.virtual_machine_run_commands
    command = {"location": LOCATION, "properties": {"source": {"script": "true"}}}
    await (await commands.begin_create_or_update(VM_GROUP, "db1", "r1", command)).result()
    await commands.get_by_virtual_machine(VM_GROUP, "db1", "r1", expand="instanceView")
    _ = [item async for item in commands.list_by_virtual_machine(VM_GROUP, "db1")]
    await (await commands.begin_delete(VM_GROUP, "db1", "r1")).result()
    return [Exchange.from_json(item) for item in await sim.admin("journal")]


async def test_every_operation_is_used_and_keeps_the_contract(sim: Sim) -> None:
    exchanges = await _everything(sim)

    assert violations(exchanges) == []
    methods = {(exchange.method, exchange.path.count("/")) for exchange in exchanges}
    assert {method for method, _ in methods} == {"GET", "PUT", "PATCH", "DELETE"}
    assert {exchange.method for exchange in exchanges} == {method for method, _ in ENDPOINTS}


def _put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last = name.split(".")

    def change(body: dict[str, Any]) -> None:
        for parent in parents:
            body = body[parent]
        body[last] = value

    return change


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    *parents, last = name.split(".")

    def change(body: dict[str, Any]) -> None:
        for parent in parents:
            body = body[parent]
        del body[last]

    return change


def _exchange(**changes: Any) -> Exchange:
    fields: dict[str, Any] = {
        "sequence": 1,
        "method": "PUT",
        "path": f"{_PREFIX}/snapshots/s1",
        "query": {},
        "request_headers": {},
        "request_body": snapshot_of("db1-os", run="r1"),
        "status": 202,
        "response_headers": {},
        "response_body": snapshot_of("db1-os", run="r1"),
        "started_at": "",
        "started_s": 0.0,
        "ended_s": 0.0,
        "injected": False,
    }
    return Exchange(**{**fields, **changes})


@pytest.mark.parametrize(
    "seed",
    [
        _drop("location"),
        _drop("properties.creationData"),
        _drop("properties.creationData.createOption"),
        _put("locaton", LOCATION),
        _put("zones", ["1"]),
        _put("name", "s1"),
        _put("tags", ["run"]),
        _put("tags.run", 1),
        _put("sku", "Standard_ZRS"),
        _put("sku.name", "Standard_XRS"),
        _put("sku.tier", "Standard"),
        _put("properties.incremental", "true"),
        _put("properties.incremental", None),
        _put("properties.Incremental", True),  # noqa: FBT003 - the seeded value
        _put("properties.timeCreated", "2026-01-01T00:00:00Z"),
        _put("properties.provisioningState", "Succeeded"),
        _put("properties.networkAccessPolicy", "denyAll"),
        _put("properties.publicNetworkAccess", False),  # noqa: FBT003 - the seeded value
        _put("properties.diskSizeGB", "4"),
        _put("properties.creationData.createOption", "Clone"),
        _put("properties.creationData.sourceUniqueId", "x"),
        _put("properties.creationData.sourceResourceID", "x"),
        _put("properties.creationData.instantAccessDurationMinutes", 60.5),
    ],
)
def test_a_defect_seeded_into_a_request_is_seen(seed: Callable[[dict[str, Any]], None]) -> None:
    body = copy.deepcopy(snapshot_of("db1-os", run="r1"))
    assert violations([_exchange(request_body=body)]) == []
    seed(body)

    assert {item.where for item in violations([_exchange(request_body=body)])} == {"request"}


@pytest.mark.parametrize(
    "seed",
    [
        _drop("location"),
        _drop("properties.creationData"),
        _put("tags.run", 1),
        _put("properties.timeCreated", 1700000000),
        _put("properties.timeCreated", "yesterday"),
        _put("properties.completionPercent", "100"),
        _put("properties.incremental", "true"),
        _put("properties", []),
    ],
)
def test_a_defect_seeded_into_an_answer_is_seen(seed: Callable[[dict[str, Any]], None]) -> None:
    body = copy.deepcopy(snapshot_of("db1-os", run="r1"))
    seed(body)

    assert {item.where for item in violations([_exchange(response_body=body)])} == {"response"}


def test_an_answer_may_have_members_and_values_that_no_model_knows() -> None:
    body = copy.deepcopy(snapshot_of("db1-os", run="r1"))
    body["properties"]["isArmResource"] = True
    body["properties"]["networkAccessPolicy"] = "AllowSome"

    assert violations([_exchange(response_body=body)]) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"status": 201}, "status"),
        ({"status": 404, "response_body": None}, "response"),
        ({"status": 404, "response_body": {"code": "ResourceNotFound"}}, "response"),
        ({"status": 404, "response_body": {"error": {"code": 404, "message": ""}}}, "response"),
        ({"method": "DELETE", "status": 202, "response_body": None}, "request"),
        ({"method": "DELETE", "status": 202, "request_body": None}, "response"),
        ({"path": f"{_PREFIX}/snapshots/s1/copies/c1"}, "status"),
    ],
)
def test_a_wrong_status_or_body_is_seen(changes: dict[str, Any], where: str) -> None:
    assert {item.where for item in violations([_exchange(**changes)])} == {where}


@pytest.mark.parametrize(
    "body",
    [
        {"status": "Done", "startTime": "x", "name": "x"},
        {"status": "Failed", "startTime": "x", "name": "x"},
        {"startTime": "x", "name": "x"},
        {"status": "Succeeded", "startTime": "x", "name": "x", "properties": {"output": {"tags": {}}}},
    ],
)
def test_a_wrong_operation_status_is_seen(body: dict[str, Any]) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/DiskOperations/1"
    exchange = _exchange(method="GET", path=path, request_body=None, status=200, response_body=body)

    assert {item.where for item in violations([exchange])} == {"response"}


def test_an_answer_that_a_fault_rule_made_or_that_was_lost_is_not_judged() -> None:
    injected = _exchange(status=503, response_body="no JSON", injected=True)
    lost = _exchange(status=None, response_body=None)

    assert violations([injected, lost]) == []
    seeded = replace(injected, request_body={})
    assert {item.where for item in violations([seeded])} == {"request"}


def test_a_patch_may_not_say_where_a_snapshot_lies() -> None:
    exchange = _exchange(method="PATCH", request_body={"tags": {"a": "b"}, "location": LOCATION})

    assert {item.where for item in violations([exchange])} == {"request"}


def test_a_type_that_no_schema_is_known_for_is_an_error_and_no_silence() -> None:
    with pytest.raises(UnknownModelTypeError) as caught:
        _of(complex, Direction.CREATE, {})

    assert caught.value.annotation is complex


def test_models_that_the_service_fills_in_are_absent_from_requests() -> None:
    created = model_schema("Snapshot", Direction.CREATE)["$defs"]["SnapshotProperties"]["properties"]
    answered = model_schema("Snapshot", Direction.ANSWER)["$defs"]["SnapshotProperties"]["properties"]

    assert "timeCreated" not in created
    assert "timeCreated" in answered
