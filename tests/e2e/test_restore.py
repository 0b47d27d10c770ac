"""From a recovery point to a VM whose application is well: the command line against the simulated Azure."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local.arm.faults import Fault
from local.stack.stack import GROUP, Stack, StackOptions
from local.world.restore import Verdict, check_disks
from tests.e2e.commands import Ended
from tests.e2e.scene import BEST, Machine, ledger, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = StackOptions()
#: The command acts as whoever is signed in; no role of the app lets it make disks or VMs.
PEOPLE_ASK_TOO = True
TARGET = "restored"
RESTORE_POINT = {"recovery_point": "restore_point"}


def subnet(stack: Stack) -> str:
    group = f"/subscriptions/{stack.world.subscription_id}/resourceGroups/{TARGET}"
    return f"{group}/providers/Microsoft.Network/virtualNetworks/v/subnets/apart"


async def restore(stack: Stack, point: str, *arguments: str, app: bool = True) -> Ended:
    """Run the command; without ``app`` nothing tells it where the app is."""
    stack.world.add_group(TARGET)
    given = {"HOME": "/nonexistent", "STILLFRAME_ARM_ENDPOINT": stack.arm_url, "COLUMNS": "100"}
    known = {"STILLFRAME_URL": stack.api.base} if app else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "restore", point, "--group", TARGET, *arguments),
        cwd=ROOT,
        env=os.environ | given | known,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return Ended(process.returncode or 0, out.decode(), err.decode())


def made(stack: Stack) -> set[str]:
    """Give what there is in the group that is restored into."""
    resources = stack.world.resources
    everything = [*resources.disks, *resources.vms, *resources.nics]
    return {each.rpartition("/")[2] for each in everything if f"/resourcegroups/{TARGET}/" in each}


async def application_of_restored(stack: Stack, machine: Machine, name: str) -> Verdict:
    """Take the disks of a restored VM, by their LUNs, and let the application on them check itself."""
    key = f"/subscriptions/{stack.world.subscription_id}/resourceGroups/{TARGET}/providers/Microsoft.Compute"
    vm = stack.world.resources.vms[f"{key}/virtualMachines/{name}".lower()]
    by_lun = {disk.lun: disk.name for disk in vm.spec.disks}
    return await check_disks(
        stack.disks, machine.spec, {disk.name: by_lun[disk.lun] for disk in machine.spec.disks}
    )


def forget_vm(stack: Stack, machine: Machine) -> None:
    """Let Azure have the VM and its disks no more; its snapshots stay."""
    resources = stack.world.resources
    del resources.vms[machine.id.lower()]
    for key in [key for key, disk in resources.disks.items() if disk.vm and disk.vm.id.name == machine.name]:
        del resources.disks[key]


@pytest.mark.world
async def test_a_restored_vm_has_the_disks_of_its_recovery_point_and_its_application_is_well(
    stack: Stack,
) -> None:
    async with ledger(stack, "ledger") as vm:
        view = await vm.run_to_end()
        assert outcome(view) == BEST, view["reasons"]
        wish = ("--subnet", subnet(stack), "--min-grade", "application")

        shown = await restore(stack, view["saga"], *wish)
        assert shown.code == 0, shown.err
        assert "Nothing was made" in shown.err
        assert made(stack) == set()

        done = await restore(stack, view["saga"], *wish, "--yes", "-o", "json")
        assert done.code == 0, done.err
        assert done.json["restored"]
        new = "ledger-restored"
        assert made(stack) == {new, f"{new}-os", f"{new}-lun0", f"{new}-lun1", f"{new}-nic"}
        verdict = await application_of_restored(stack, vm, new)
        assert verdict.whole, verdict.reason
        assert verdict.transfers > 0

        before = len(list(stack.world.journal.select(method="PUT")))
        again = await restore(stack, view["saga"], *wish, "--yes")
        assert again.code == 0, again.err
        assert len(list(stack.world.journal.select(method="PUT"))) == before
        assert await vm.writes()


@pytest.mark.world
async def test_with_app_and_vm_lost_the_tags_alone_lead_to_the_same_vm(stack: Stack) -> None:
    async with ledger(stack, "lost") as vm:
        described = stack.world.resources.vms[vm.id.lower()].spec
        cached = tuple(
            replace(disk, caching="ReadOnly", sku="StandardSSD_LRS") if disk.lun == 0 else disk
            for disk in described.disks
        )
        stack.world.put_vm(
            replace(
                described, disks=cached, size="Standard_E4s_v5", security_type="TrustedLaunch", zones=("2",)
            )
        )
        view = await vm.run_to_end()
        assert outcome(view) == BEST, view["reasons"]
        forget_vm(stack, vm)

        apart = ("--from", f"{stack.world.subscription_id}/{GROUP}", "--subnet", subnet(stack))
        done = await restore(stack, view["saga"], *apart, "--name", "back", "--yes", app=False)
        assert done.code == 0, done.err
        verdict = await application_of_restored(stack, vm, "back")
        assert verdict.whole, verdict.reason
        prefix = f"/subscriptions/{stack.world.subscription_id}/resourceGroups/{TARGET}"
        back = stack.world.resources.vms[f"{prefix}/providers/Microsoft.Compute/virtualMachines/back".lower()]
        assert (back.spec.size, back.spec.security_type, back.spec.zones) == (
            "Standard_E4s_v5",
            "TrustedLaunch",
            ("2",),
        )
        assert {disk.lun: (disk.caching, disk.sku) for disk in back.spec.disks} == {
            None: ("ReadWrite", "Premium_LRS"),
            0: ("ReadOnly", "StandardSSD_LRS"),
            1: ("None", "Premium_LRS"),
        }


@pytest.mark.world
async def test_a_vm_restore_point_is_restored_and_its_application_is_well(stack: Stack) -> None:
    async with ledger(stack, "whole") as vm:
        view = await vm.run_to_end(snapshots=RESTORE_POINT)
        assert outcome(view) == ("succeeded", "application"), view["reasons"]
        apart = ("--from", f"{stack.world.subscription_id}/{GROUP}", "--subnet", subnet(stack))
        wish = ("--min-grade", "application", "--name", "whole-2", "--yes")
        done = await restore(stack, view["saga"], *apart, *wish, app=False)
        assert done.code == 0, done.err
        verdict = await application_of_restored(stack, vm, "whole-2")
        assert verdict.whole, verdict.reason


async def test_a_weak_recovery_point_is_refused_and_nothing_is_made(stack: Stack) -> None:
    vm = await plain_vm(stack, "weak")
    view = await vm.run_to_end({"enabled": False})
    before = made(stack)
    wish = ("--subnet", subnet(stack), "--yes")
    refused = await restore(stack, view["saga"], *wish, "--min-grade", "application")
    assert refused.code == 2
    assert "is graded crash: below application" in refused.err
    assert made(stack) == before

    lost = stack.world.resources.snapshots.pop(view["recovery_point"][1]["snapshot"].lower())
    refused = await restore(stack, view["saga"], *wish)
    assert refused.code == 2
    assert "these are not there: LUN 0" in refused.err
    assert made(stack) == before
    stack.world.resources.snapshots[lost.id.key] = lost


async def test_a_restore_that_fails_says_what_it_left_goes_on_when_repeated_and_cleans_up_if_asked(
    stack: Stack,
) -> None:
    vm = await plain_vm(stack, "faulty")
    view = await vm.run_to_end({"enabled": False})
    before = made(stack)
    wish = ("--subnet", subnet(stack), "--yes", "--name", "again")
    full = ("SkuNotAvailable", "There is no room for this size.")
    fault = Fault(method="PUT", path_contains="virtualMachines/again", operation_fails=full)

    stack.world.faults.add(fault, 1)
    failed = await restore(stack, view["saga"], *wish, "--clean-up")
    assert failed.code == 3
    assert "SkuNotAvailable" in failed.err
    assert "Nothing of it is left." in failed.err
    assert made(stack) == before

    stack.world.faults.add(fault, 1)
    failed = await restore(stack, view["saga"], *wish)
    assert failed.code == 3
    left = {"again-os", "again-lun0", "again-nic"}
    assert made(stack) == before | left
    assert all(f"/{name}\n" in failed.err for name in left)
    assert "virtualMachines/again\n" not in failed.err

    done = await restore(stack, view["saga"], *wish)
    assert done.code == 0, done.err
    assert made(stack) == before | left | {"again"}
    taken = await restore(stack, (await vm.run_to_end({"enabled": False}))["saga"], *wish)
    assert taken.code == 2
    assert "is not of this restore" in taken.err
