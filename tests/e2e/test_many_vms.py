"""Many VMs in one run."""

from collections import Counter
from pathlib import Path

import pytest

from local.stack.stack import Stack
from tests.e2e.scene import BEST, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VMS = 50


@pytest.mark.timeout(300)
async def test_fifty_vms_in_one_run_all_end_with_their_grade(stack: Stack) -> None:
    vms = [await plain_vm(stack, f"many-{number}", data_disks=number % 2) for number in range(VMS)]
    # Fifty guests share this machine's processors; that they are slow is not what is looked for.
    patience = {"freeze_budget_ms": 180_000, "quiesce_timeout_ms": 120_000}
    guest = vms[0].guest_processing(**patience)
    for script in (
        guest["pre_script"],
        guest["post_script"],
    ):  # they note where they run; no guest has another's
        script["content"] = Path(script.pop("path")).read_text()
    run_id = await stack.api.start_run({"vms": [vm.id for vm in vms], "guest_processing": guest})
    run = await stack.api.ended(run_id, within_s=240)
    assert run["vms_ended"] == VMS
    told = Counter((entry["outcome"], entry["grade"]) for entry in run["vms"])
    assert told == {BEST: VMS}, [entry["why"] for entry in run["vms"]]
    for vm in vms:
        view = await vm.view(run_id)
        assert vm.lines() == ["pre 1", "post 1"], view["reasons"]
        await vm.assert_at_rest(view)
