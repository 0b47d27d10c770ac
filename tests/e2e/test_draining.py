"""An app that is told to drain begins no run, and says so to whoever asks."""

import pytest

from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import SOON_S, invoke, plain_vm, problem

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(settings={"STILLFRAME_DRAIN": "true", "STILLFRAME_SCHEDULES_TIMER": "0 0 0 1 1 *"})


async def test_no_run_begins_by_request_or_schedule_and_health_says_why(stack: Stack) -> None:
    vm = await plain_vm(stack, "drained")
    refused = await problem(stack, {"vms": [vm.id], "guest_processing": {"enabled": False}})
    assert (refused.status, refused.problem["title"]) == (503, "No new run begins")
    assert "STILLFRAME_DRAIN" in refused.problem["detail"]

    document = {"vms": [vm.id], "schedule": {"cron": "* * * * *"}}
    await stack.api.call("PUT", "/api/policies/drained", document)
    await invoke(stack, "schedules")
    _, _, listed = await stack.api.call("GET", "/api/runs")
    assert listed["items"] == []

    async def said() -> bool:
        _, _, report = await stack.api.call("GET", "/api/health")
        told = "draining: no new run begins, and no VM of a run is left"
        return report["draining"] is True and report["attention"] == [told]

    await until(said, within_s=SOON_S, what="health says that the app is being drained")
