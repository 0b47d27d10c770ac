"""Recovery points that are VM restore points: inside our own freeze, and left to the platform."""

from dataclasses import replace
from typing import Any

import pytest

from local.stack.stack import Stack, StackOptions
from tests.e2e.scene import Machine, events, kept_ids, ledger, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions()
RESTORE_POINT: dict[str, Any] = {"recovery_point": "restore_point"}


async def windows_vm(stack: Stack, name: str, *, reaches: str | None = None) -> Machine:
    """Add a VM that Azure calls a Windows one; its restore points come to ``reaches``."""
    vm = await plain_vm(stack, name)
    described = stack.world.resources.vms[vm.id.lower()].spec
    stack.world.put_vm(replace(described, os_type="Windows", restore_point_consistency=reaches))
    return vm


@pytest.mark.world
async def test_a_ledger_is_held_by_the_agent_while_azure_makes_a_restore_point_of_it(stack: Stack) -> None:
    async with ledger(stack, "point") as vm:
        first = await vm.run_to_end(snapshots=RESTORE_POINT)
        assert outcome(first) == ("succeeded", "application"), first["reasons"]
        assert vm.lines() == ["pre 1", "post 1"]
        assert first["evidence"]["restore_point"]["asked"] == "CrashConsistent"
        await vm.assert_grade_is_true(first)

        second = await vm.run_to_end(snapshots=RESTORE_POINT)
        assert outcome(second) == ("succeeded", "application"), second["reasons"]
        assert kept_ids(first) != kept_ids(second)
        await vm.assert_at_rest(first, second)


async def test_the_platform_holds_a_windows_vm_and_no_agent_is_started(stack: Stack) -> None:
    vm = await windows_vm(stack, "windows")
    view = await vm.run_to_end({}, snapshots=RESTORE_POINT)

    assert outcome(view) == ("succeeded", "application"), view["reasons"]
    assert "Resumed" not in events(view)
    assert not vm.has_agent()
    await vm.assert_at_rest(view)


async def test_a_silent_fallback_of_the_platform_leaves_nothing_where_the_policy_is_strict(
    stack: Stack,
) -> None:
    vm = await windows_vm(stack, "strict", reaches="FileSystemConsistent")
    view = await vm.run_to_end({}, snapshots=RESTORE_POINT)

    assert outcome(view) == ("failed", None)
    assert "FileSystemConsistent" in view["reasons"][-1]
    await vm.assert_at_rest(view)


async def test_a_silent_fallback_of_the_platform_is_kept_and_told_where_the_policy_is_lenient(
    stack: Stack,
) -> None:
    vm = await windows_vm(stack, "lenient", reaches="CrashConsistent")
    view = await vm.run_to_end({"on_guest_failure": "continue"}, snapshots=RESTORE_POINT)

    assert outcome(view) == ("degraded", "crash")
    assert [warning["code"] for warning in view["warnings"]] == ["lower_consistency"]
    await vm.assert_at_rest(view)
