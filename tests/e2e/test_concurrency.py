"""Many VMs with few held at once, and a subscription whose requests are spent: nobody is held waiting."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from local.arm.faults import Fault
from local.arm.journal import Exchange
from local.stack.stack import Stack, real_disks
from local.stack.waiting import ticks
from tests.e2e.scene import BEST, Machine, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VMS, HELD = 12, 2
PATIENCE = {"freeze_budget_ms": 60_000, "quiesce_timeout_ms": 40_000}


#: How long Azure asks for patience in its 429 (s).
CLOSED_S = 12


def delivered(vm: Machine) -> dict[str, Any]:
    """Send the scripts along: they note where they run, and no guest has those of another."""
    guest = vm.guest_processing(**PATIENCE)
    for script in (guest["pre_script"], guest["post_script"]):
        script["content"] = Path(script.pop("path")).read_text()
    return guest


def at(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["at"]).timestamp()


def held(view: dict[str, Any]) -> tuple[float, float]:
    """Give when a guest was held at the most: from the order to hold to the word that it goes on."""
    begun = next(entry for entry in view["history"] if entry["event"] == "Admitted")
    ended = next(entry for entry in view["history"] if entry["event"] == "Resumed")
    return at(begun), at(ended)


def most_at_once(spans: list[tuple[float, float]]) -> int:
    changes = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


@pytest.mark.timeout(400)
async def test_of_twelve_vms_never_more_than_two_are_held_at_once_and_all_end(stack: Stack) -> None:
    vms = [await plain_vm(stack, f"few-{number:02}", data_disks=0) for number in range(VMS)]
    run_id = await stack.api.start_run(
        {
            "vms": [vm.id for vm in vms],
            "guest_processing": delivered(vms[0]),
            "concurrency": {"held": HELD, "vms": 6},
        }
    )
    run = await stack.api.ended(run_id, within_s=360)
    assert [(vm["outcome"], vm["grade"]) for vm in run["vms"]] == [BEST] * VMS, [v["why"] for v in run["vms"]]
    views = [await vm.view(run_id) for vm in vms]
    assert most_at_once([held(view) for view in views]) == HELD
    listed = (await stack.api.call("GET", "/api/runs?limit=1"))[2]["items"]
    assert [(one["run"], one["state"], one["vms_ended"]) for one in listed] == [(run_id, "ended", VMS)]


@pytest.mark.timeout(300)
async def test_while_azure_asks_for_patience_nobody_is_held(stack: Stack) -> None:
    first = await plain_vm(stack, "throttled-first", data_disks=0)
    others = [await plain_vm(stack, f"throttled-{number}", data_disks=0) for number in range(3)]
    body = {"error": {"code": "OperationNotAllowed", "message": "too many requests"}}
    stack.world.faults.add(
        Fault(
            method="PUT",
            path_contains="/snapshots/",
            status=429,
            body=body,
            headers={"Retry-After": str(CLOSED_S)},
        )
    )
    guest = delivered(first) | {"attempts": 2, "on_guest_failure": "fail"}
    run_id = await stack.api.start_run({"vms": [first.id], "guest_processing": guest})
    [refused] = await answered_429(stack)
    more = await stack.api.start_run({"vms": [vm.id for vm in others], "guest_processing": guest})

    views = [await vm.ended(more) for vm in others] + [await first.ended(run_id)]
    assert {view["outcome"] for view in views} <= {"succeeded", "degraded"} or not real_disks()
    closed = datetime.fromisoformat(refused.started_at).timestamp()
    for view in views:
        admitted = [at(entry) for entry in view["history"] if entry["event"] == "Admitted"]
        waited = [entry for entry in view["history"] if entry["event"] == "MustWait"]
        assert not [moment for moment in admitted if closed + 1 < moment < closed + CLOSED_S], view["history"]
        assert waited, "nothing kept it waiting"
        assert waited[0]["detail"]["code"] == "requests"


async def answered_429(stack: Stack) -> list[Exchange]:
    """Wait for the answer that asks for patience, and until the guest that met it goes on."""
    async for _ in ticks(60.0, "a 429"):
        found = [each for each in stack.world.journal.select() if each.status == 429]
        if found:
            return found
    raise AssertionError
