"""Guests that cannot be held: what becomes of the recovery point, and that they go on."""

from dataclasses import replace

import pytest

from local.stack.stack import Stack
from tests.e2e.scene import QUICK, Machine, events, ledger, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_pre_script_that_fails_leaves_no_recovery_point_under_fail(stack: Stack) -> None:
    async with ledger(stack, "fails") as vm:
        broken = {"path": vm.hook("pre", "exit 3")}  # after it has made the ledger hold
        view = await vm.run_to_end(
            vm.guest_processing(pre_script=broken, on_guest_failure="fail", attempts=3)
        )
        assert outcome(view) == ("failed", None)
        assert (view["problem"]["step"], view["problem"]["code"]) == ("quiescing", "script_failed")
        assert vm.name in view["problem"]["what_to_do"]
        [why] = view["reasons"]
        assert why.startswith("the guest could not be held:")
        assert "exit code 3" in why
        assert view["recovery_point"] == []
        assert vm.lines() == ["pre 1", "post 1"]  # a script that failed is not tried again
        assert "CaptureEnded" not in events(view)
        await vm.assert_at_rest(view)


async def test_a_pre_script_that_fails_gives_a_degraded_crash_point_under_continue(stack: Stack) -> None:
    async with ledger(stack, "goes-on") as vm:
        broken = {"path": vm.hook("pre", "exit 3")}
        view = await vm.run_to_end(vm.guest_processing(pre_script=broken, on_guest_failure="continue"))
        assert outcome(view) == ("degraded", "crash")
        assert any("exit code 3" in reason for reason in view["reasons"])
        assert any("on_guest_failure" in reason for reason in view["reasons"])
        assert len(view["recovery_point"]) == len(vm.spec.disks)
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


async def test_a_pre_script_that_hangs_is_killed_with_all_its_processes(stack: Stack) -> None:
    async with ledger(stack, "hangs") as vm:
        hanging = {"path": vm.hook("pre", "setsid sleep 643 &", "sleep 643"), "timeout_ms": 1_500}
        view = await vm.run_to_end(vm.guest_processing(pre_script=hanging, on_guest_failure="fail"))
        assert outcome(view) == ("failed", None)
        [why] = view["reasons"]
        assert "script_timed_out" in why
        assert vm.lines() == ["pre 1", "post 1"]
        assert not vm.has_process(b"643")
        await vm.assert_at_rest(view)


@pytest.mark.world
async def test_a_post_script_that_fails_degrades_a_recovery_point_whose_grade_is_true(stack: Stack) -> None:
    async with ledger(stack, "post-fails") as vm:
        broken = {"path": vm.hook("post", "exit 5")}  # after it has let the ledger go on
        view = await vm.run_to_end(vm.guest_processing(post_script=broken))
        assert outcome(view) == ("degraded", "application"), view["reasons"]
        assert any("post-script" in reason and "ended with 5" in reason for reason in view["reasons"])
        await vm.assert_grade_is_true(view)
        await vm.assert_at_rest(view)


async def test_a_freeze_budget_spent_by_the_scripts_alone_ends_in_a_release(stack: Stack) -> None:
    async with ledger(stack, "slow") as vm:
        slow = {"path": vm.hook("pre", "sleep 30")}
        settings = vm.guest_processing(pre_script=slow, on_guest_failure="fail", attempts=1, **QUICK)
        view = await vm.run_to_end(settings)
        assert outcome(view) == ("failed", None)
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


async def test_a_guest_whose_vm_agent_does_not_answer_is_given_up_in_time(stack: Stack) -> None:
    vm = await without_vm_agent(stack, "mute")
    settings = vm.guest_processing(on_guest_failure="fail", attempts=1, arming_timeout_ms=5_000)
    view = await vm.run_to_end(settings)
    assert outcome(view) == ("failed", None)
    [why] = view["reasons"]
    assert "did not answer in time" in why
    assert vm.lines() == []
    await vm.assert_at_rest(view)


async def test_a_vm_that_is_not_there_fails_with_one_sentence(stack: Stack) -> None:
    run_id = await stack.api.start_run({"vms": [stack.vm_id("nobody")]})
    run = await stack.api.ended(run_id, within_s=60)
    [entry] = run["vms"]
    assert (entry["outcome"], entry["grade"]) == ("failed", None)
    assert "could not be read" in entry["why"]


async def without_vm_agent(stack: Stack, name: str) -> Machine:
    vm = await plain_vm(stack, name)
    [described] = [each.spec for each in stack.world.resources.vms.values() if each.spec.name == name]
    stack.world.put_vm(replace(described, agent_ready=False))
    return vm
