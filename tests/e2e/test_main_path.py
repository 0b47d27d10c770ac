"""The main job: an application held still, its disks snapshotted, the application going on."""

from typing import Any

import pytest

from local.stack.stack import Stack, StackOptions
from tests.e2e.scene import (
    BEST,
    RUN_WITHIN_S,
    assert_all_agents_leave,
    ledger,
    machines_of,
    outcome,
    plain_vm,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions()


async def test_a_ledger_under_load_is_snapshotted_and_goes_on(stack: Stack) -> None:
    async with ledger(stack, "held") as vm:
        view = await vm.run_to_end()
        assert outcome(view) == BEST, view["reasons"]
        assert vm.lines() == ["pre 1", "post 1"]
        assert view["generation"] == 1
        await vm.assert_at_rest(view)


@pytest.mark.world
async def test_an_application_consistent_recovery_point_is_whole_when_restored(stack: Stack) -> None:
    async with ledger(stack, "restored") as vm:
        view = await vm.run_to_end()
        assert outcome(view) == ("succeeded", "application"), view["reasons"]
        assert len(view["evidence"]["quiesced"]["held"]) == 4  # three filesystems and the script
        assert view["freeze_window_ms"] > 0
        await vm.assert_grade_is_true(view)
        await vm.assert_at_rest(view)


@pytest.mark.world
async def test_without_guest_processing_the_grade_is_crash_and_restores_do_break(stack: Stack) -> None:
    async with ledger(stack, "unheld") as vm:
        views: list[dict[str, Any]] = []
        whole = True
        while whole and len(views) < 6:  # a disk takes seven snapshots in five minutes
            view = await vm.run_to_end({"enabled": False})
            assert outcome(view) == ("succeeded", "crash")
            assert "guest processing is off" in view["reasons"]
            views.append(view)
            snapshots = [point["snapshot"] for point in view["recovery_point"]]
            whole = (await stack.restore(vm.spec, snapshots)).whole
        assert not whole, "disks imaged at different instants never broke the ledger"
        assert not vm.has_agent()
        await vm.assert_at_rest(*views)


@pytest.mark.world
async def test_filesystems_alone_give_the_grade_filesystem(stack: Stack) -> None:
    async with ledger(stack, "frozen") as vm:
        view = await vm.run_to_end({"on_guest_failure": "fail"})
        assert outcome(view) == ("succeeded", "filesystem"), view["reasons"]
        await vm.assert_grade_is_true(view)  # one instant over all disks: the ledger replays it
        await vm.assert_at_rest(view)


async def test_a_vm_that_is_not_running_is_snapshotted_and_says_so(stack: Stack) -> None:
    vm = await plain_vm(stack, "off", power="deallocated")
    view = await vm.run_to_end(vm.guest_processing())
    assert outcome(view) == ("succeeded", "crash")
    assert any("not running" in reason for reason in view["reasons"])
    assert vm.lines() == []
    await vm.assert_at_rest(view)


async def test_a_run_shows_its_vms_and_a_vm_is_found_by_name_and_by_saga(stack: Stack) -> None:
    vm = await plain_vm(stack, "shown")
    run_id = await vm.start_run()
    run = await stack.api.ended(run_id, within_s=RUN_WITHIN_S)
    assert (run["vm_count"], run["vms_ended"], run["policy"]) == (1, 1, None)
    [entry] = run["vms"]
    view = await vm.view(run_id)
    assert (entry["outcome"], entry["grade"]) == outcome(view) == BEST, view["reasons"]
    assert entry["href"] == f"/api/runs/{run_id}/vms/{view['saga']}"
    assert (await stack.api.vm(run_id, view["saga"]))["vm"] == view["vm"]
    await vm.assert_at_rest(view)


async def test_no_agent_stays_when_its_session_is_over(stack: Stack) -> None:
    await assert_all_agents_leave(*machines_of(stack))
