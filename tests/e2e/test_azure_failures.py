"""Azure refusing or failing: the guest does not wait for it, and nothing is left behind."""

import pytest

from local.arm.faults import Drop, Fault
from local.stack.stack import Stack
from tests.e2e.scene import BEST, ledger, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

FAILS = Fault(
    method="PUT",
    path_contains="-g1-0",
    operation_fails=("InternalDiskManagementError", "An internal error occurred."),
)
THROTTLED = Fault(
    method="PUT",
    path_contains="-g1-0",
    status=429,
    headers={"Retry-After": "10"},  # longer than a guest may be held for it; admission waits so long
    body={"error": {"code": "OperationNotAllowed", "message": "Too many requests."}},
)


@pytest.mark.parametrize("fault", [FAILS, THROTTLED], ids=["failed-later", "throttled"])
async def test_a_failed_snapshot_leaves_nothing_of_its_generation(stack: Stack, fault: Fault) -> None:
    async with ledger(stack, f"once-{fault.status}") as vm:
        stack.world.faults.add(fault)
        view = await vm.run_to_end(vm.guest_processing(on_guest_failure="fail", attempts=1))
        assert outcome(view) == ("failed", None)
        [why] = view["reasons"]
        assert why.startswith("snapshots failed (")
        code = "throttled" if fault is THROTTLED else "operation_failed"
        assert (view["problem"]["step"], view["problem"]["code"]) == ("capturing", code)
        assert vm.lines() == ["pre 1", "post 1"]
        assert stack.world.faults.remaining() == 0
        await vm.assert_at_rest(view)


@pytest.mark.world
@pytest.mark.parametrize("fault", [FAILS, THROTTLED], ids=["failed-later", "throttled"])
async def test_a_failed_snapshot_is_made_good_by_a_second_generation(stack: Stack, fault: Fault) -> None:
    async with ledger(stack, f"again-{fault.status}") as vm:
        stack.world.faults.add(fault)
        view = await vm.run_to_end(vm.guest_processing(attempts=2))
        assert outcome(view) == ("succeeded", "application"), view["reasons"]
        assert view["generation"] == 2
        assert any(reason.startswith("generation 1: snapshots failed") for reason in view["reasons"])
        assert vm.lines() == ["pre 1", "post 1", "pre 2", "post 2"]
        await vm.assert_grade_is_true(view)
        await vm.assert_at_rest(view)


async def test_a_lost_answer_to_a_snapshot_request_costs_nothing(stack: Stack) -> None:
    vm = await plain_vm(stack, "unheard")
    stack.world.faults.add(Fault(method="PUT", path_contains="/snapshots/", drop=Drop.AFTER))
    view = await vm.run_to_end()
    assert outcome(view) == BEST, view["reasons"]
    assert view["generation"] == 1
    await vm.assert_at_rest(view)


async def test_where_no_guest_waits_a_throttled_snapshot_is_asked_for_again(stack: Stack) -> None:
    vm = await plain_vm(stack, "patient")
    stack.world.faults.add(
        Fault(method="PUT", path_contains="/snapshots/", status=429, headers={"Retry-After": "1"}), times=2
    )
    view = await vm.run_to_end({"enabled": False})
    assert outcome(view) == ("succeeded", "crash")
    await vm.assert_at_rest(view)


async def test_a_deletion_that_fails_is_tried_again_until_nothing_is_left(stack: Stack) -> None:
    vm = await plain_vm(stack, "sticky")
    stack.world.faults.add(FAILS)
    stack.world.faults.add(Fault(method="DELETE", path_contains="/snapshots/", status=500), times=5)
    view = await vm.run_to_end(vm.guest_processing(on_guest_failure="fail", attempts=1))
    assert outcome(view) == ("failed", None)
    await vm.assert_at_rest(view)
