"""What the app says of itself: well, without storage or Azure, with a late saga, with what was put aside."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from local.arm.faults import Fault as ArmFault
from local.stack.api import ApiError
from local.stack.fault_rules import Fault, Match, Rule
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.queue_names import STEPS
from shared.saga.names import saga_id
from shared.saga.phases import pending
from shared.saga.state import Phase, SagaSpec
from shared.storage.connection import read_connection
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables
from tests.e2e.scene import BEST, SOON_S, invoke, outcome, plain_vm, put
from tests.unit.triggers.contract import faults

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(
    proxied=("AzureWebJobsStorage",),
    settings={
        "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00.500",
        "STILLFRAME_SWEEP_TIMER": "0 0 3 1 1 *",  # a late saga stays late until the test has it swept
    },
)
LATE_MS = 400_000
LINE = re.compile(r"run=(\S+) saga=(\S+) generation=\d+ step=[a-z]+: ")


async def asked(stack: Stack) -> tuple[int, dict[str, Any]]:
    try:
        status, _, report = await stack.api.call("GET", "/api/health")
    except ApiError as refused:
        status, report = refused.status, refused.problem
    assert faults("Health", dict(report)) == []
    return status, dict(report)


async def until_healthy(stack: Stack) -> None:
    async def healthy() -> bool:
        return (await asked(stack))[0] == 200

    await until(healthy, within_s=SOON_S, what="health")


async def until_told(stack: Stack, part: str, kind: str) -> dict[str, Any]:
    """Wait for a report that says something; reports are kept for some seconds."""
    last: dict[str, Any] = {}

    async def told() -> bool:
        last.update((await asked(stack))[1])
        return any(part in sentence for sentence in last[kind])

    await until(told, within_s=SOON_S, what=f"{kind}: {part}")
    return last


async def test_a_stack_that_works_is_healthy_and_every_line_about_a_saga_says_which_one(stack: Stack) -> None:
    vm = await plain_vm(stack, "sound")
    view = await vm.run_to_end()
    assert outcome(view) == BEST, view["reasons"]
    status, report = await asked(stack)
    assert (status, report["status"], report["problems"]) == (200, "healthy", [])
    assert report["arm"]["ok"]
    assert all(check["ok"] for check in report["storage"].values())

    log = stack.host.log.read_text(errors="replace").splitlines()
    mine = [line for line in log if view["saga"] in line and "functions_host" not in line]
    named = [found for line in mine if (found := LINE.search(line))]
    assert len(named) == len(mine) > 8
    assert {found.groups() for found in named} == {(view["run"], view["saga"])}


async def test_without_the_queue_service_health_is_503_and_names_it(stack: Stack) -> None:
    await until_healthy(stack)
    rule = stack.proxy.add(Rule(match=Match(path="stillframe-"), fault=Fault.RESET, times=None))
    try:
        report = await until_told(stack, "the app's queues cannot be reached", "problems")
    finally:
        stack.proxy.remove(rule)
    assert not report["storage"]["queues"]["ok"]
    assert report["storage"]["tables"]["ok"]
    await until_healthy(stack)


async def test_without_azure_health_is_503_and_names_it(stack: Stack) -> None:
    await until_healthy(stack)
    stack.world.faults.add(ArmFault(method="GET", path_contains="/subscriptions", status=503), times=1_000)
    try:
        report = await until_told(stack, "Azure Resource Manager cannot be reached: Http503", "problems")
    finally:
        stack.world.faults.clear()
    assert all(check["ok"] for check in report["storage"].values())
    await until_healthy(stack)


async def test_an_overdue_saga_is_named_until_it_is_mended(stack: Stack) -> None:
    async with tables(stack) as opened:
        saga = await late_saga(stack, opened)
    report = await until_told(stack, f"saga {saga} of run late is overdue by", "problems")
    oldest = report["overdue"]["oldest"]
    assert (oldest["run"], oldest["saga"], oldest["phase"]) == ("late", saga, "preflight")
    assert oldest["overdue_s"] >= LATE_MS // 1000
    await invoke(stack, "sweep")
    await until_healthy(stack)
    view = await stack.api.vm("late", saga)
    assert view["problem"]["step"] == "preflight"
    assert "could not be read from Azure" in view["problem"]["sentence"]


async def test_a_message_in_a_poison_queue_is_shown(stack: Stack) -> None:
    await put(stack, STEPS, "%%% no base64", raw=True)  # on which the host itself fails, there and there
    report = await until_told(stack, f"messages in {STEPS}-poison", "attention")
    assert report["status"] == "healthy"
    assert report["poison"][f"{STEPS}-poison"] == 1


@asynccontextmanager
async def tables(stack: Stack) -> AsyncIterator[Tables]:
    opened = Tables(read_connection("S", {"S": stack.storage.connection_string}))
    try:
        yield opened
    finally:
        await opened.close()


async def late_saga(stack: Stack, opened: Tables) -> str:
    """Write a run whose saga has been overdue for minutes, as if all its messages were lost."""
    vm, now = stack.vm_id("lost"), time.time_ns() // 1_000_000
    saga = saga_id("late", vm)
    began = now - LATE_MS - 300_000
    record = RunRecord(
        run_id="late", created_at=began, policy_name="", requested_by="test", vm_count=1, settings={}
    )
    await RunTable(opened).create(record, [RunEntry(saga_id=saga, vm_id=vm, started_at=began)])
    spec = SagaSpec(saga_id=saga, run_id="late", vm_id=vm)
    state = replace(pending(spec, began), phase=Phase.PREFLIGHT, deadline=now - LATE_MS, watch_number=1)
    await SagaTable(opened).create(state, cause="start", outbox=(), history=())
    return saga
