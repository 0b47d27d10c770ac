"""Messages that come late, twice, out of order or never, between the app and its guests."""

import asyncio
import json
from typing import Any

import pytest

from local.stack.fault_rules import Fault, Match, Rule
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import (
    BEST,
    QUICK,
    SOON_S,
    assert_all_agents_leave,
    events,
    ledger,
    machines_of,
    outcome,
    plain_vm,
    put,
    windows,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(
    proxied=("GuestStorage", "AzureWebJobsStorage"),
    settings={
        "STILLFRAME_SWEEP_TIMER": "*/2 * * * * *",
        "STILLFRAME_TEST_DEQUEUE_INVISIBILITY": "5",  # what a lost answer to a receive costs
    },
)


def losing(**members: Any) -> Rule:
    return Rule(match=Match(members=members), fault=Fault.LOSE, times=None)


async def test_without_an_order_to_resume_the_dead_man_acts_and_fail_keeps_nothing(stack: Stack) -> None:
    async with ledger(stack, "dead-man") as vm:
        lost = stack.proxy.add(losing(kind="resume"))
        view = await vm.run_to_end(vm.guest_processing(on_guest_failure="fail", attempts=1, **QUICK))
        stack.proxy.remove(lost)
        assert outcome(view) == ("failed", None)
        assert view["recovery_point"] == []
        assert any("dead-man" in reason for reason in view["reasons"])
        assert view["evidence"]["resumed"]["released_by"] == "dead-man"
        assert vm.lines() == ["pre 1", "post 1"]
        await vm.assert_at_rest(view)


async def test_without_an_order_to_resume_continue_keeps_a_degraded_crash_point(stack: Stack) -> None:
    async with ledger(stack, "dead-man-continue") as vm:
        lost = stack.proxy.add(losing(kind="resume"))
        view = await vm.run_to_end(vm.guest_processing(on_guest_failure="continue", attempts=1, **QUICK))
        stack.proxy.remove(lost)
        assert outcome(view) == ("degraded", "crash")
        assert any("dead-man" in reason for reason in view["reasons"])
        assert len(view["recovery_point"]) == len(vm.spec.disks)
        await vm.assert_at_rest(view)


@pytest.mark.world
async def test_a_second_generation_makes_a_lost_order_to_resume_good(stack: Stack) -> None:
    async with ledger(stack, "second") as vm:
        lost = stack.proxy.add(losing(kind="resume", generation=1))
        view = await vm.run_to_end(vm.guest_processing(attempts=4, **QUICK))
        stack.proxy.remove(lost)
        assert outcome(view) == ("succeeded", "application"), view["reasons"]
        assert view["generation"] >= 2
        assert len(windows(view)) >= 2
        vm.assert_hooks_in_pairs()
        await vm.assert_grade_is_true(view)
        await vm.assert_at_rest(view)


async def test_every_command_and_ack_twice_changes_nothing(stack: Stack) -> None:
    async with ledger(stack, "twice") as vm:
        twice = stack.proxy.add(Rule(match=Match(method="POST"), fault=Fault.DUPLICATE, times=None))
        view = await vm.run_to_end()
        stack.proxy.remove(twice)
        assert outcome(view) == BEST, view["reasons"]
        assert vm.lines() == ["pre 1", "post 1"]
        assert events(view).count("Quiesced") == events(view).count("Resumed") == 1
        await vm.assert_at_rest(view)


@pytest.mark.world
async def test_acks_out_of_order_lose_their_generation_and_nothing_else(stack: Stack) -> None:
    async with ledger(stack, "reordered") as vm:
        late = stack.proxy.add(
            Rule(match=Match(members={"kind": "quiesced", "generation": 1}), fault=Fault.HOLD)
        )
        run_id = await vm.start_run(vm.guest_processing(attempts=4, **QUICK))

        async def on_its_way() -> bool:
            return stack.proxy.held(late) == 1

        await until(on_its_way, within_s=SOON_S, what="the guest says that it holds")
        await vm.until_writing()  # by its dead-man, whose ack overtakes the one that is held
        await until(
            lambda: seen(stack, kind="resumed", generation=1), within_s=SOON_S, what="the dead-man's ack"
        )
        await stack.proxy.release(late)
        view = await vm.ended(run_id)
        assert outcome(view) == ("succeeded", "application"), view["reasons"]
        assert view["generation"] >= 2
        vm.assert_hooks_in_pairs()
        await vm.assert_grade_is_true(view)
        await vm.assert_at_rest(view)


async def test_commands_and_acks_played_back_later_do_nothing(stack: Stack) -> None:
    async with ledger(stack, "replayed") as vm:
        started = len(stack.proxy.journal)
        first = await vm.run_to_end()
        recorded = [
            (passage.path.split("/")[2], message)
            for passage in stack.proxy.journal[started:]
            if passage.method == "POST"
            for message in passage.messages
            if "signature" in message
        ]
        assert {message["kind"] for _, message in recorded} >= {"quiesce", "resume", "ready", "resumed"}
        for queue, message in recorded:
            await put(stack, queue, json.dumps(message))
        view = await vm.run_to_end()
        assert outcome(view) == outcome(first) == BEST, view["reasons"]
        assert vm.lines() == ["pre 1", "post 1"] * 2
        await vm.assert_at_rest(first, view)


async def test_requests_that_fail_at_random_are_borne_and_no_script_runs_twice(stack: Stack) -> None:
    vms = [await plain_vm(stack, f"storm-{number}") for number in range(3)]
    rules = [
        stack.proxy.add(Rule(match=Match(), fault=fault, times=None, chance=0.04, status=status))
        for fault, status in (
            (Fault.RESET, 0),
            (Fault.RESET_AFTER, 0),
            (Fault.REFUSE, 500),
            (Fault.REFUSE_AFTER, 503),
        )
    ]
    settings = {"attempts": 3, "on_guest_failure": "continue"}
    views = await asyncio.gather(*(vm.run_to_end(vm.guest_processing(**settings)) for vm in vms))
    for rule in rules:
        stack.proxy.remove(rule)
    for vm, view in zip(vms, views, strict=True):
        assert view["outcome"] in ("succeeded", "degraded"), view["reasons"]
        vm.assert_hooks_in_pairs()
        await vm.assert_at_rest(view)


async def test_the_sweep_mends_a_saga_whose_ack_and_watch_were_both_lost(stack: Stack) -> None:
    vm = await plain_vm(stack, "swept")
    ack = stack.proxy.add(losing(kind="ready", generation=1))
    watch = stack.proxy.add(Rule(match=Match(members={"watch": 1}), fault=Fault.LOSE))
    settings = vm.guest_processing(attempts=2, arming_timeout_ms=5_000)
    view = await vm.run_to_end(settings)
    stack.proxy.remove(ack)
    stack.proxy.remove(watch)
    assert outcome(view) == BEST, view["reasons"]
    assert view["generation"] == 2
    assert vm.lines() == ["pre 2", "post 2"]
    await vm.assert_at_rest(view)


async def test_no_agent_stays_whatever_was_lost(stack: Stack) -> None:
    await assert_all_agents_leave(*machines_of(stack))


async def seen(stack: Stack, **members: Any) -> bool:
    return stack.proxy.seen(**members) > 0
