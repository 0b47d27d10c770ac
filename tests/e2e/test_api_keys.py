"""Who may call what: a key of a right opens the functions of that right, and no other."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from local.functions_host.keys import Keys
from local.stack.stack import Stack, StackOptions
from shared.triggers.rights import FUNCTIONS, Right, right_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

#: As `az functionapp function keys set` leaves them: a key of the right's name on each of its functions.
KEYS = Keys(
    master="the master key",
    host={"default": "the host key"},
    functions={
        name: {right.value: f"the {right} key"} for right, names in FUNCTIONS.items() for name in names
    },
)
OPTIONS = StackOptions(keys=KEYS)

VM = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
    "/providers/Microsoft.Compute/virtualMachines/v"
)
POLICY = {"vms": [VM], "guest_processing": {"enabled": False}}

#: Each function with what it answers to who may call it, in an order in which each finds what it is about.
CALLS: Mapping[str, tuple[str, str, Any, int]] = {
    "put_policy": ("PUT", "/api/policies/nightly", POLICY, 200),
    "get_policy": ("GET", "/api/policies/nightly", None, 200),
    "start_run": ("POST", "/api/runs", {"policy": "absent"}, 404),
    "get_run": ("GET", "/api/runs/0123456789abcdef", None, 404),
    "get_vm": ("GET", "/api/runs/0123456789abcdef/vms/v", None, 404),
    "cancel_run": ("POST", "/api/runs/0123456789abcdef/cancel", None, 404),
    "get_api": ("GET", "/api/openapi.json", None, 200),
    "delete_policy": ("DELETE", "/api/policies/nightly", None, 204),
}


async def statuses(stack: Stack, headers: Mapping[str, str], query: str = "") -> dict[str, int]:
    """Call every function once; give its status."""
    answers = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for name, (method, path, body, _) in CALLS.items():
            async with session.request(method, f"{stack.api.base}{path}{query}", json=body) as answer:
                answers[name] = answer.status
    return answers


def expected(*rights: Right) -> dict[str, int]:
    return {name: call[3] if right_of(name) in rights else 401 for name, call in CALLS.items()}


async def test_without_a_key_or_with_a_wrong_one_nothing_opens(stack: Stack) -> None:
    for key in ({}, {"x-functions-key": ""}, {"x-functions-key": "wrong"}, {"x-functions-key": "read"}):
        assert await statuses(stack, key) == expected()


@pytest.mark.parametrize("right", [Right.READ, Right.RUN])
async def test_the_key_of_a_right_opens_its_functions_and_no_other(stack: Stack, right: Right) -> None:
    await stack.api.call("PUT", "/api/policies/nightly", POLICY)
    assert await statuses(stack, {"x-functions-key": f"the {right} key"}) == expected(right)
    await stack.api.call("GET", "/api/policies/nightly")  # nobody without the right has removed it


async def test_who_may_write_policies_may_neither_read_nor_run(stack: Stack) -> None:
    assert await statuses(stack, {"x-functions-key": "the admin key"}) == expected(Right.ADMIN)


@pytest.mark.parametrize("key", ["the host key", "the master key"])
async def test_the_keys_of_the_host_open_everything(stack: Stack, key: str) -> None:
    assert await statuses(stack, {"x-functions-key": key}) == expected(*Right)
    assert await statuses(stack, {}, f"?code={key.replace(' ', '%20')}") == expected(*Right)


async def test_no_key_of_a_function_opens_the_hosts_own_endpoints(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        for key in ("the read key", "the admin key", "the host key"):
            url = f"{stack.api.base}/admin/functions/sweep"
            async with session.post(url, json={"input": ""}, headers={"x-functions-key": key}) as answer:
                assert answer.status == 401


async def test_a_request_that_may_not_be_made_is_refused_before_its_body_is_looked_at(stack: Stack) -> None:
    async with aiohttp.ClientSession(headers={"x-functions-key": "the read key"}) as session:
        answers = await asyncio.gather(
            session.post(f"{stack.api.base}/api/runs", data=b"{"),
            session.put(f"{stack.api.base}/api/policies/No/Name", data=b"["),
        )
    assert [answer.status for answer in answers] == [401, 404]
