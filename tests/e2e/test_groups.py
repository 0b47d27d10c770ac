"""Three VMs that share one instant: proved by restoring all three, or given up by rule, and always let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from local.stack.stack import Stack, StackOptions, real_disks
from tests.e2e.grouped import start
from tests.e2e.scene import BEST, RUN_WITHIN_S, Machine, ledger, outcome, windows

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions()


@asynccontextmanager
async def three(stack: Stack, name: str) -> AsyncIterator[list[Machine]]:
    async with AsyncExitStack() as entered:
        yield [await entered.enter_async_context(ledger(stack, f"{name}-{number}")) for number in range(3)]


async def ended(vms: list[Machine], run_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    run = await vms[0].stack.api.ended(run_id, within_s=RUN_WITHIN_S)
    return run, list(await asyncio.gather(*(vm.view(run_id) for vm in vms)))


@pytest.mark.timeout(400)
async def test_three_vms_share_one_instant_and_each_says_so(stack: Stack) -> None:
    async with three(stack, "shop") as vms:
        run, views = await ended(vms, await start(vms))
        if not real_disks():  # nothing but scripts can be held: no instant is claimed
            assert [view["group"]["recovery_point"]["one_instant"] for view in views] == [False] * 3
            return
        assert [outcome(view) for view in views] == [BEST] * 3, [view["reasons"] for view in views]
        [group] = run["groups"]
        assert (group["state"], group["one_instant"]) == ("proved", True), group
        for vm, view in zip(vms, views, strict=True):
            mark = view["group"]["recovery_point"]
            assert (mark["one_instant"], mark["skew_ms"]) == (True, group["skew_ms"])
            assert sorted(mark["members"]) == sorted(each.id for each in vms)
            point = (await stack.api.call("GET", f"/api/recovery-points/{view['saga']}"))[2]
            assert point["group"] == mark
            await vm.assert_grade_is_true(view)
            assert vm.lines() == ["pre 1", "post 1"]
            await vm.assert_at_rest(view)
        held_from = max(view["evidence"]["all_held_at"] for view in views)
        held_until = min(view["evidence"]["resume_ordered_at"] for view in views)
        sent = [each["put_sent_at"] for view in views for each in view["evidence"]["captures"]]
        seen = [each["succeeded_seen_at"] for view in views for each in view["evidence"]["captures"]]
        assert min(sent) >= min(view["evidence"]["all_held_at"] for view in views)
        assert max(seen) <= held_until
        assert held_from < held_until
        assert all(len(windows(view)) == 1 for view in views)
        for view in views:
            tags = [each.tags for each in snapshots_of(stack, view)]
            assert {tag["stillframe-one-instant"] for tag in tags} == {"true"}
            assert {tag["stillframe-group"] for tag in tags} == {"shop"}


@pytest.mark.timeout(300)
async def test_where_all_stand_or_fall_a_pre_script_that_fails_leaves_nothing(stack: Stack) -> None:
    async with three(stack, "all") as vms:
        run, views = await ended(vms, await start(vms, broken=vms[1]))
        assert [view["outcome"] for view in views] == ["failed"] * 3, [view["reasons"] for view in views]
        [group] = run["groups"]
        assert (group["state"], group["one_instant"]) == ("broken", False)
        assert f"{vms[1].name}: " in group["sentence"]
        for vm, view in zip(vms, views, strict=True):
            await vm.assert_at_rest(view)


@pytest.mark.world
@pytest.mark.timeout(300)
async def test_where_the_rest_goes_on_a_pre_script_that_fails_costs_one(stack: Stack) -> None:
    async with three(stack, "rest") as vms:
        run, views = await ended(vms, await start(vms, broken=vms[1], on_member_failure="rest"))
        assert [outcome(view) for view in views] == [BEST, ("failed", None), BEST]
        [group] = run["groups"]
        assert (group["state"], group["one_instant"]) == ("proved", True)
        assert [bool(member["fell"]) for member in group["members"]] == [False, True, False]
        for vm, view in zip(vms, views, strict=True):
            if view["recovery_point"]:
                assert len(view["group"]["recovery_point"]["members"]) == 2
                await vm.assert_grade_is_true(view)
            await vm.assert_at_rest(view)


def snapshots_of(stack: Stack, view: dict[str, Any]) -> list[Any]:
    kept = {point["snapshot"].lower() for point in view["recovery_point"]}
    return [each for each in stack.world.resources.snapshots.values() if str(each.id).lower() in kept]
