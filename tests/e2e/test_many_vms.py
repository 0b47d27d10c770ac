"""Many VMs in one run."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from local.stack.stack import Stack
from tests.e2e.scene import BEST, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VMS = 50


def delivered(guest: dict[str, Any]) -> dict[str, Any]:
    """Send the scripts along: they note where they run, and no guest has those of another."""
    for script in (guest["pre_script"], guest["post_script"]):
        script["content"] = Path(script.pop("path")).read_text()
    return guest


@pytest.mark.timeout(300)
async def test_fifty_vms_in_one_run_all_end_with_their_grade(stack: Stack) -> None:
    vms = [await plain_vm(stack, f"many-{number}", data_disks=number % 2) for number in range(VMS)]
    # Fifty guests share this machine's processors; that they are slow is not what is looked for.
    patience = {"freeze_budget_ms": 180_000, "quiesce_timeout_ms": 120_000}
    guest = delivered(vms[0].guest_processing(**patience))
    run_id = await stack.api.start_run({"vms": [vm.id for vm in vms], "guest_processing": guest})
    run = await stack.api.ended(run_id, within_s=240)
    assert run["vms_ended"] == VMS
    told = Counter((entry["outcome"], entry["grade"]) for entry in run["vms"])
    assert told == {BEST: VMS}, [entry["why"] for entry in run["vms"]]
    for vm in vms:
        view = await vm.view(run_id)
        assert vm.lines() == ["pre 1", "post 1"], view["reasons"]
        await vm.assert_at_rest(view)
