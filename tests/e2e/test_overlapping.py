"""Two runs that have one VM at the same time: it is held for one after the other, and neither fails."""

import asyncio

import pytest

from local.stack.stack import Stack
from tests.e2e.scene import BEST, ledger, outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

RUNS = 3


async def test_overlapping_runs_hold_one_vm_one_after_the_other(stack: Stack) -> None:
    async with ledger(stack, "twice") as vm:
        guest = vm.guest_processing(attempts=1)
        runs = await asyncio.gather(*(vm.start_run(guest) for _ in range(RUNS)))
        views = [await vm.ended(run) for run in runs]
        for view in views:
            assert outcome(view) == BEST, view["reasons"]
        assert len(set(runs)) == RUNS
        assert vm.lines() == ["pre 1", "post 1"] * RUNS, "never held for two of them at once"
        await vm.assert_at_rest(*views)
