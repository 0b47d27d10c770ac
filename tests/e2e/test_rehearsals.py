"""Rehearsals on a running stack: real guests are held and let go, and Azure is asked for no snapshot."""

from typing import Any

import pytest

from local.stack.stack import Stack, StackOptions, real_disks
from local.stack.waiting import ticks
from tests.e2e.scene import RUN_WITHIN_S, Machine, ledger, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions()


async def rehearse(vm: Machine, **settings: Any) -> dict[str, Any]:
    """Rehearse a VM to its end; give how the rehearsal shows it."""
    body = {"vms": [vm.id], "guest_processing": vm.guest_processing(**settings)}
    status, headers, told = await vm.stack.api.call("POST", "/api/rehearsals", body)
    assert (status, headers["Location"]) == (202, told["href"])
    async for _ in ticks(RUN_WITHIN_S, f"the rehearsal of {vm.name}"):
        view = dict((await vm.stack.api.call("GET", told["href"]))[2])
        if view["state"] == "ended":
            [shown] = view["vms"]
            return dict(shown)
    raise AssertionError


def asked_for_snapshots(stack: Stack, after: int) -> list[str]:
    puts = stack.world.journal.select(method="PUT", after=after)
    kinds = ("/snapshots/", "/restorepoints/", "/restorepointcollections/")
    return [each.path for each in puts if any(kind in each.path.lower() for kind in kinds)]


def last(stack: Stack) -> int:
    return max((each.sequence for each in stack.world.journal.select()), default=0)


async def test_an_application_is_held_and_goes_on_and_no_snapshot_is_asked_for(stack: Stack) -> None:
    before = last(stack)
    async with ledger(stack, "rehearsed") as vm:
        shown = await rehearse(vm)
        assert shown["outcome"] == "rehearsed", shown
        assert asked_for_snapshots(stack, before) == []
        assert vm.lines() == ["pre 1", "post 1"]
        assert vm.snapshots() == set()
        held = shown["rehearsal"]
        assert held["best_grade"] == ("application" if real_disks() else "crash")
        things = {thing["kind"]: thing for thing in held["things"]}
        assert set(things) == ({"script", "filesystem"} if real_disks() else {"script"})
        for thing in held["things"]:
            assert thing["held_until_order"]
            assert 0 <= thing["took_ms"] <= held["quiesce_ms"]
            assert 0 <= thing["held_ms"] <= held["held_ms"] <= held["freeze_budget_ms"]
        assert 0 < held["left_for_snapshots_ms"] < held["freeze_budget_ms"]
        await vm.until_writing()
        assert vm.run_commands() == 0


async def test_a_pre_script_that_fails_is_told_as_in_a_backup(stack: Stack) -> None:
    before = last(stack)
    vm = await plain_vm(stack, "unready")
    shown = await rehearse(
        vm, pre_script={"path": vm.hook("pre", "exit 3")}, on_guest_failure="fail", attempts=1
    )
    assert (shown["outcome"], shown["problem"]["step"]) == ("failed", "quiescing")
    assert "exit code 3" in shown["problem"]["sentence"]
    assert shown["what_to_do"].startswith("Run the script by hand")
    assert vm.lines() == ["pre 1", "post 1"]
    assert asked_for_snapshots(stack, before) == []
    await vm.assert_at_rest()
