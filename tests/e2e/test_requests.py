"""The public HTTP API: what is refused leaves no trace, and a repeated request is one run."""

import asyncio
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient

from local.stack.api import ApiError
from local.stack.stack import Stack
from tests.e2e.scene import outcome, plain_vm, problem

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/v"
SCRIPT = {"path": "/opt/hook.sh"}

BAD = [
    ([], "document"),
    ({}, "vms"),
    ({"vms": []}, "vms"),
    ({"vms": "v"}, "vms"),
    ({"vms": ["v"]}, "vms[0]"),
    ({"vms": [VM, VM.upper()]}, "vms[1]"),
    ({"vms": [7]}, "vms[0]"),
    ({"vms": [VM], "vm": VM}, "vm"),
    ({"vms": [VM], "guest_processing": []}, "guest_processing"),
    ({"vms": [VM], "guest_processing": {"atempts": 2}}, "guest_processing.atempts"),
    ({"vms": [VM], "guest_processing": {"attempts": True}}, "guest_processing.attempts"),
    ({"vms": [VM], "guest_processing": {"attempts": 6}}, "guest_processing.attempts"),
    ({"vms": [VM], "guest_processing": {"on_guest_failure": "ignore"}}, "guest_processing.on_guest_failure"),
    ({"vms": [VM], "guest_processing": {"freeze_budget_ms": 1e9}}, "guest_processing.freeze_budget_ms"),
    ({"vms": [VM], "guest_processing": {"freeze_budget_ms": 5_000}}, "guest_processing.quiesce_timeout_ms"),
    ({"vms": [VM], "guest_processing": {"pre_script": SCRIPT}}, "guest_processing.post_script"),
    (
        {"vms": [VM], "guest_processing": {"post_script": {"path": "hook.sh"}}},
        "guest_processing.post_script.path",
    ),
    ({"vms": [VM], "guest_processing": {"filesystems": "none"}}, "guest_processing.filesystems"),
    ({"vms": [VM], "snapshots": {"tags": {"stillframe-run": "x"}}}, "snapshots.tags.stillframe-run"),
    ({"vms": [VM], "snapshots": {"resource_group": "no/group"}}, "snapshots.resource_group"),
    ({"policy": "Nightly"}, "policy"),
    ({"policy": "nightly", "snapshots": {}}, "snapshots"),
]


async def traces(stack: Stack) -> tuple[int, int]:
    """Count the rows of runs, and the requests to Azure."""
    async with TableServiceClient.from_connection_string(stack.storage.connection_string) as service:
        rows = 0
        try:
            async for _ in service.get_table_client("runs").list_entities():
                rows += 1
        except ResourceNotFoundError:
            pass  # not even the table
    return rows, len(list(stack.world.journal.select()))


@pytest.mark.parametrize(("body", "field"), BAD, ids=[field for _, field in BAD])
async def test_a_bad_request_names_its_field_and_leaves_nothing(stack: Stack, body: Any, field: str) -> None:
    before = await traces(stack)
    refused = await problem(stack, body, key=f"bad {field}")
    assert refused.status == 400
    assert refused.problem["field"] == field
    assert refused.problem["status"] == 400
    assert refused.problem["title"]
    assert field in refused.problem["detail"]
    assert await traces(stack) == before


async def test_a_body_that_is_no_json_is_problem_json_too(stack: Stack) -> None:
    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"vms": NaN}'):
            async with session.post(f"{stack.api.base}/api/runs", data=body) as answer:
                assert answer.status == 400, body[:20]
                assert answer.content_type == "application/problem+json"
                assert (await answer.json(content_type=None))["field"]


async def test_an_unknown_policy_run_or_vm_is_a_404(stack: Stack) -> None:
    vm = await plain_vm(stack, "known")
    view_of = await vm.start_run({"enabled": False})
    await vm.ended(view_of)
    assert (await problem(stack, {"policy": "nowhere"})).status == 404
    for path in ("/api/runs/0123456789abcdef", f"/api/runs/{view_of}/vms/nobody"):
        with pytest.raises(ApiError) as refused:
            await stack.api.call("GET", path)
        assert refused.value.status == 404
        assert refused.value.problem["title"]


async def test_the_same_key_is_the_same_run_and_another_body_is_refused(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "once"), await plain_vm(stack, "never")
    body = {"vms": [vm.id], "guest_processing": {"enabled": False}}
    at_once = await asyncio.gather(*(stack.api.start_run(body, "the key") for _ in range(5)))
    assert len(set(at_once)) == 1
    [run_id] = set(at_once)
    view = await vm.ended(run_id)
    assert await stack.api.start_run(body, "the key") == run_id
    refused = await problem(stack, body | {"vms": [other.id]}, "the key")
    assert refused.status == 422
    assert refused.problem["title"]
    assert outcome(view) == ("succeeded", "crash")
    assert other.snapshots() == set()
    await vm.assert_at_rest(view)  # one set of snapshots, whatever was asked how often


async def test_without_a_key_the_same_request_is_another_run(stack: Stack) -> None:
    vm = await plain_vm(stack, "again")
    body = {"vms": [vm.id], "guest_processing": {"enabled": False}}
    first, second = await stack.api.start_run(body), await stack.api.start_run(body)
    assert first != second
    await vm.assert_at_rest(await vm.ended(first), await vm.ended(second))
