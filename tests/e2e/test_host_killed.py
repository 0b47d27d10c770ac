"""The app's host ends with SIGKILL: guests go on by themselves, and sagas end rightly once it is back."""

from typing import Any

import pytest

from local.arm.settings import SimSettings
from local.stack.fault_rules import Fault, Match, Rule
from local.stack.stack import Stack, StackOptions, running
from local.stack.waiting import until
from tests.e2e.grouped import start as start_group
from tests.e2e.scene import BEST, QUICK, SOON_S, Machine, ledger, outcome, windows

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

#: Snapshots take their time, so that the host can be killed while they are made.
SLOW = SimSettings(capture_delay_s=1.0)
OPTIONS = StackOptions(
    sim=SLOW, proxied=("GuestStorage",), settings={"STILLFRAME_TEST_DEQUEUE_INVISIBILITY": "3"}
)


async def killed_while_held(vm: Machine) -> str:
    """Start a run, kill the host while the guest is held for its snapshots; give the run."""
    run_id = await vm.start_run(vm.guest_processing(**QUICK | {"attempts": 4}))

    async def asked_for() -> bool:
        return bool(vm.snapshots())

    await until(asked_for, within_s=SOON_S, what="the first snapshot")
    await vm.stack.host.kill()
    assert (await vm.status())["held"]
    return run_id


async def test_killed_while_frozen_the_guest_goes_on_by_itself_and_a_redelivery_ends_the_saga(
    stack: Stack,
) -> None:
    async with ledger(stack, "redelivered") as vm:
        run_id = await killed_while_held(vm)
        await vm.until_writing()  # nobody tells it to: there is no app
        assert await vm.frozen() == []
        await stack.host.start()
        view = await vm.ended(run_id)
        assert windows(view) != []
        await assert_ended_well(vm, view)


async def test_killed_while_frozen_and_restarted_at_once_the_saga_ends_rightly(stack: Stack) -> None:
    async with ledger(stack, "at-once") as vm:
        run_id = await killed_while_held(vm)
        await stack.host.start()
        await assert_ended_well(vm, await vm.ended(run_id))


async def test_killed_while_arming_the_saga_goes_on(stack: Stack) -> None:
    async with ledger(stack, "arming") as vm:
        run_id = await vm.start_run()

        async def started() -> bool:
            return vm.run_commands() > 0

        await until(started, within_s=SOON_S, what="the run command that starts the agent")
        await stack.host.kill()
        await stack.host.start()
        view = await vm.ended(run_id)
        assert outcome(view) == BEST, view["reasons"]
        await vm.assert_at_rest(view)


async def test_killed_after_resume_was_ordered_the_recovery_point_keeps_its_grade(stack: Stack) -> None:
    async with ledger(stack, "resuming") as vm:
        held = stack.proxy.add(Rule(match=Match(members={"kind": "resumed"}), fault=Fault.HOLD))
        run_id = await vm.start_run()

        async def resumed() -> bool:
            return stack.proxy.held(held) == 1

        await until(resumed, within_s=SOON_S, what="the guest says that it has resumed")
        await stack.host.kill()
        await vm.until_writing()
        await stack.host.start()
        await stack.proxy.release(held)
        view = await vm.ended(run_id)
        assert outcome(view) == BEST, view["reasons"]
        assert view["generation"] == 1
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


@pytest.mark.timeout(300)
async def test_killed_while_a_group_is_held_all_its_guests_go_on_and_no_instant_is_claimed_in_vain(
    stack: Stack,
) -> None:
    async with ledger(stack, "together-0") as first, ledger(stack, "together-1") as second:
        vms = [first, second]
        settings = {"freeze_budget_ms": 12_000, "quiesce_timeout_ms": 10_000, "resume_timeout_ms": 5_000}
        run_id = await start_group(vms, settings=settings | {"attempts": 5}, held_timeout_ms=9_000)

        async def asked_for() -> bool:
            return bool(first.snapshots() or second.snapshots())

        await until(asked_for, within_s=SOON_S, what="the first snapshot")
        await stack.host.kill()
        assert [(await vm.status())["held"] for vm in vms] == [True, True]
        for vm in vms:
            await vm.until_writing()  # nobody tells them to: there is no app
        await stack.host.start()
        views = [await vm.ended(run_id) for vm in vms]
        assert len({view["outcome"] for view in views}) == 1, [view["reasons"] for view in views]
        for vm, view in zip(vms, views, strict=True):
            vm.assert_hooks_in_pairs()
            assert bool(view["recovery_point"]) is view["group"]["recovery_point"]["one_instant"]
            if view["grade"] == "application":
                await vm.assert_grade_is_true(view)
            await vm.assert_at_rest(view)


async def test_without_a_redelivery_the_watch_ends_the_saga() -> None:
    async with running(StackOptions(sim=SLOW)) as stack, ledger(stack, "watched") as vm:
        run_id = await killed_while_held(vm)  # its message now stays hidden for ten minutes
        await vm.until_writing()
        await stack.host.start()
        await assert_ended_well(vm, await vm.ended(run_id))


async def assert_ended_well(vm: Machine, view: dict[str, Any]) -> None:
    assert outcome(view) == BEST, view["reasons"]
    vm.assert_hooks_in_pairs()
    if view["grade"] == "application":
        await vm.assert_grade_is_true(view)
    await vm.assert_at_rest(view)
