"""The HTTP calls that look at VMs before a run."""

import json
from typing import Any

import azure.functions as func
import pytest

from tests.unit.engine.house import SCRIPTS, VM, House
from tests.unit.triggers.contract import faults


async def get(house: House, **params: str) -> tuple[int, dict[str, Any]]:
    request = func.HttpRequest(method="GET", url="/", params=params, body=b"")
    response = await house.functions["preflight_vm"](request)
    return response.status_code, json.loads(response.get_body())


async def post(house: House, document: Any) -> tuple[int, dict[str, Any]]:
    request = func.HttpRequest(method="POST", url="/", body=json.dumps(document).encode())
    response = await house.functions["preflight_run"](request)
    return response.status_code, json.loads(response.get_body())


async def test_a_vm_is_named_in_the_query_with_or_without_a_policy() -> None:
    house = House()
    status, view = await get(house, vm=VM)
    assert (status, view["policy"], view["best_grade"]) == (200, None, "filesystem")
    await house.app.policies.put("nightly", {"vms": [VM], "guest_processing": SCRIPTS}, None)
    status, view = await get(house, vm=VM, policy="nightly")
    assert (status, view["policy"], view["best_grade"]) == (200, "nightly", "application")
    assert faults("Preflight", view) == []


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({}, 400, "vm"),
        ({"vm": "db-1"}, 400, "vm"),
        ({"vm": " "}, 400, "vm"),
        ({"vm": VM, "policy": "No Such"}, 400, "policy"),
        ({"vm": VM, "polici": "nightly"}, 400, "polici"),
        ({"vm": VM, "policy": "none-such"}, 404, None),
    ],
)
async def test_a_wrong_query_is_told_by_the_name_of_its_parameter(
    params: dict[str, str], status: int, field: str | None
) -> None:
    answered, problem = await get(House(), **params)
    assert (answered, problem.get("field")) == (status, field)


async def test_a_run_that_is_only_asked_for_to_see_starts_nothing() -> None:
    house = House()
    document = {"vms": [VM, VM.replace("db-1", "db-2")], "guest_processing": {"enabled": False}}
    status, views = await post(house, document)
    assert status == 200
    assert [view["vm"] for view in views["items"]] == document["vms"]
    assert {view["best_grade"] for view in views["items"]} == {"crash"}
    assert faults("Preflights", views) == []
    assert not any(seen.startswith("write") for seen in house.interruptions.seen)
    assert house.compute.snapshots == {}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"vms": []}, "vms"),
        ({"policy": "nightly"}, "vms"),
        ({"vms": [VM.replace("db-1", f"db-{number}") for number in range(21)]}, "vms"),
        ({"vms": [VM], "snapshots": {"sku": "best"}}, "snapshots.sku"),
    ],
)
async def test_a_wrong_document_is_told_by_the_name_of_its_field(document: Any, field: str) -> None:
    status, problem = await post(House(), document)
    assert (status, problem["field"]) == (400, field)
