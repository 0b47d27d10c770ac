"""Stored policies: run by name, and by their schedule."""

import pytest
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableServiceClient

from local.stack.api import ApiError
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import SOON_S, Machine, invoke, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(settings={"STILLFRAME_SCHEDULES_TIMER": "0 0 0 1 1 *"})  # by hand alone
YEARLY = {"cron": "30 2 1 1 *", "time_zone": "Europe/Berlin"}


def policy(*vms: Machine) -> dict[str, object]:
    return {"vms": [vm.id for vm in vms], "guest_processing": {"enabled": False}, "schedule": YEARLY}


async def make_due(stack: Stack, name: str) -> None:
    """Let the time come for which a policy waits."""
    async with TableServiceClient.from_connection_string(stack.storage.connection_string) as service:
        table = service.get_table_client("policies")
        row = await table.get_entity("policies", f"due-{name}")
        row["next_due"] = type(row["next_due"])(1, row["next_due"].edm_type)
        await table.update_entity(row, mode=UpdateMode.REPLACE)


def runs_of(stack: Stack, name: str) -> set[str]:
    """Give the runs that made snapshots for a policy, by the snapshots' tags."""
    snapshots = stack.world.resources.snapshots.values()
    return {s.tags["stillframe-run"] for s in snapshots if s.tags.get("stillframe-policy") == name}


async def test_a_stored_policy_runs_by_name(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "by-name"), await plain_vm(stack, "left-out")
    await stack.api.call("PUT", "/api/policies/nightly", policy(vm, other))
    run_id = await stack.api.start_run({"policy": "nightly", "vms": [vm.id]})
    view = await vm.ended(run_id)
    assert outcome(view) == ("succeeded", "crash")
    run = await stack.api.run(run_id)
    assert (run["policy"], run["requested_by"], run["vm_count"]) == ("nightly", "http", 1)
    assert other.snapshots() == set()
    await vm.assert_at_rest(view)


async def test_a_policy_whose_time_has_come_runs_once_however_often_it_is_looked_at(stack: Stack) -> None:
    vm = await plain_vm(stack, "on-time")
    await stack.api.call("PUT", "/api/policies/yearly", policy(vm))
    await invoke(stack, "schedules")
    await make_due(stack, "yearly")
    for _ in range(3):
        await invoke(stack, "schedules")

    async def started() -> bool:
        return bool(runs_of(stack, "yearly"))

    await until(started, within_s=SOON_S, what="the scheduled run")
    [run_id] = runs_of(stack, "yearly")
    view = await vm.ended(run_id)
    run = await stack.api.run(run_id)
    assert (run["policy"], run["requested_by"]) == ("yearly", "schedule")
    await invoke(stack, "schedules")
    await vm.assert_at_rest(view)
    assert runs_of(stack, "yearly") == {run_id}


async def test_a_policy_is_changed_and_deleted_only_by_who_knows_its_latest_version(stack: Stack) -> None:
    vm = await plain_vm(stack, "versioned")
    _, headers, _ = await stack.api.call("PUT", "/api/policies/versioned", policy(vm))
    first = headers["ETag"]
    _, headers, _ = await stack.api.call(
        "PUT", "/api/policies/versioned", policy(vm) | {"schedule": None}, {"If-Match": first}
    )
    with pytest.raises(ApiError) as refused:
        await stack.api.call("DELETE", "/api/policies/versioned", headers={"If-Match": first})
    assert refused.value.status == 412
    await stack.api.call("DELETE", "/api/policies/versioned", headers={"If-Match": headers["ETag"]})
    with pytest.raises(ApiError) as gone:
        await stack.api.call("GET", "/api/policies/versioned")
    assert gone.value.status == 404


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"cron": "61 * * * *"}, "schedule.cron"),
        ({"cron": "* * *"}, "schedule.cron"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "schedule.time_zone"),
        ({"cron": "* * * * *", "time_zone": "../etc/passwd"}, "schedule.time_zone"),
        ({"cron": "0 0 31 2 *"}, "schedule.cron"),
    ],
)
async def test_a_schedule_that_can_never_come_is_refused(
    stack: Stack, schedule: dict[str, str], field: str
) -> None:
    body = {"vms": [stack.vm_id("any")], "schedule": schedule}
    with pytest.raises(ApiError) as refused:
        await stack.api.call("PUT", "/api/policies/never", body)
    assert refused.value.status == 400
    assert refused.value.problem["field"] == field
    with pytest.raises(ApiError):
        await stack.api.call("GET", "/api/policies/never")
