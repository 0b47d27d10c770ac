"""Many VMs selected by their tags: a run that no single invocation goes through, and every VM of it ends."""

import json
from collections import Counter

import pytest

from bench.fan_out import TAG, invocations_of, make_vms, options, start, until_ended
from local.stack.app_host import ROOT
from local.stack.stack import Stack
from tests.e2e.scene import left_in_poison_queues

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

OPTIONS = options(gap_s=0.01, page_size=20)
VMS = 150


def time_out_ms() -> int:
    """Give what host.json allows an invocation."""
    hours, minutes, seconds = json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000


def lists_begun(stack: Stack) -> int:
    """Count how often a list of snapshots was asked for from its beginning."""
    asked = [each for each in stack.world.journal.select(method="GET") if each.path.endswith("/snapshots")]
    return sum(1 for each in asked if "$skiptoken" not in each.query)


async def test_a_hundred_and_fifty_vms_selected_by_tags_all_end_in_many_short_invocations(
    stack: Stack,
) -> None:
    count = make_vms(stack, VMS)
    run = await start(stack)
    await until_ended(stack, run, count, within_s=500)

    view = await stack.api.run(run)
    resources = stack.world.resources
    wanted = {str(vm.id).lower() for vm in resources.vms.values() if vm.spec.tags == TAG}
    assert {vm["vm"].lower() for vm in view["vms"]} == wanted
    assert Counter((vm["outcome"], vm["grade"]) for vm in view["vms"]) == {("succeeded", "crash"): count}
    snapshotted = Counter(str(snapshot.disk.id).lower() for snapshot in resources.snapshots.values())
    assert snapshotted == {
        str(disk.id).lower(): 1
        for disk in resources.disks.values()
        if disk.vm is not None and str(disk.vm.id).lower() in wanted
    }
    ran = {each.function: each for each in invocations_of(stack.host.log)}
    assert ran["run_task"].count >= 1 + -(-count // 100), "the selection, and a page of the VMs each"
    assert ran["saga_step"].count >= count
    assert max(each.longest_ms for each in ran.values()) < time_out_ms()
    assert {name: each.failed for name, each in ran.items() if each.failed} == {}
    assert await left_in_poison_queues(stack) == {}
    assert lists_begun(stack) < count // 2, "all of them share the list of the snapshots in their group"
