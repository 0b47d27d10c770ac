"""Cancelling: the guests go on first, and nothing is kept."""

import pytest

from local.arm.settings import SimSettings
from local.stack.api import ApiError
from local.stack.fault_rules import Fault, Match, Rule
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import (
    BEST,
    SOON_S,
    assert_all_agents_leave,
    events,
    ledger,
    machines_of,
    outcome,
    plain_vm,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(proxied=("AzureWebJobsStorage",), sim=SimSettings(capture_delay_s=1.0))


async def test_cancelled_while_frozen_the_guest_goes_on_and_the_snapshots_are_deleted(stack: Stack) -> None:
    async with ledger(stack, "frozen") as vm:
        run_id = await vm.start_run()

        async def asked_for() -> bool:
            return bool(vm.snapshots())

        await until(asked_for, within_s=SOON_S, what="the first snapshot")
        assert (await vm.status())["held"]
        await stack.api.cancel(run_id)
        view = await vm.ended(run_id)
        assert outcome(view) == ("cancelled", None)
        assert view["recovery_point"] == []
        told = events(view)
        assert told.index("CancelRequested") < told.index("Resumed") < told.index("Cleaned")
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


async def test_cancelled_while_the_pre_script_runs_the_post_script_runs_too(stack: Stack) -> None:
    async with ledger(stack, "hook") as vm:
        run_id = await vm.start_run(vm.guest_processing(pre_script={"path": vm.hook("pre", "sleep 30")}))
        await vm.until_held()
        await stack.api.cancel(run_id)
        view = await vm.ended(run_id)
        assert outcome(view) == ("cancelled", None)
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


async def test_cancelled_before_it_starts_a_saga_touches_nothing_not_even_later(stack: Stack) -> None:
    vm = await plain_vm(stack, "unstarted")
    start = stack.proxy.add(
        Rule(match=Match(path="stillframe-steps", members={"watch": 0}), fault=Fault.HOLD)
    )
    run_id = await vm.start_run()

    async def fanned_out() -> bool:
        return stack.proxy.held(start) == 1

    await until(fanned_out, within_s=SOON_S, what="the saga's start message")
    await stack.api.cancel(run_id)
    view = await vm.ended(run_id)
    assert outcome(view) == ("cancelled", None)
    await stack.proxy.release(start)

    async def taken() -> bool:  # the watch that is sent before each start
        return any({"watch": 1, "saga": view["saga"]}.items() <= m.items() for m in sent(stack))

    await until(taken, within_s=SOON_S, what="the late start message is taken")
    assert await vm.view(run_id) == view
    asked = stack.world.journal.select(path_contains="unstarted")
    assert {exchange.method for exchange in asked} <= {"GET"}  # a late start may look, and finds it cancelled
    assert vm.lines() == []
    await vm.assert_at_rest(view)


async def test_a_run_that_has_ended_cannot_be_cancelled_any_more(stack: Stack) -> None:
    vm = await plain_vm(stack, "ended")
    run_id = await vm.start_run()
    view = await vm.ended(run_id)
    assert outcome(view) == BEST
    await stack.api.cancel(run_id)
    assert (await stack.api.run(run_id))["cancel_requested"]
    await vm.assert_at_rest(await vm.ended(run_id))
    assert outcome(await vm.view(run_id)) == BEST


async def test_cancelling_an_unknown_run_is_a_404(stack: Stack) -> None:
    with pytest.raises(ApiError) as refused:
        await stack.api.cancel("0123456789abcdef")
    assert refused.value.status == 404


async def test_no_agent_stays_when_its_run_was_cancelled(stack: Stack) -> None:
    await assert_all_agents_leave(*machines_of(stack))


def sent(stack: Stack) -> list[dict[str, object]]:
    return [dict(message) for passage in stack.proxy.journal for message in passage.messages]
