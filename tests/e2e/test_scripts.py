"""Scripts from the policy to the guest: delivered, told of their run, tried again; other ones by a tag."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from local.stack.stack import Stack, StackOptions, real_disks
from shared.policy.script_fields import LARGEST_INLINE
from tests.e2e.scene import BEST, Machine, assert_all_agents_leave, machines_of, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions()

#: Notes what it was told; fails the first time.
PRE = """#!/bin/sh
runtime="$STILLFRAME_STATE_DIR/.."
echo "$1|$2|$COLOUR|$STILLFRAME_DISK_LUNS" >> "$runtime/told"
echo "$STILLFRAME_PHASE $STILLFRAME_GENERATION" >> "$runtime/trace"
[ "$(wc -l < "$runtime/told")" -ge 2 ] || { echo "not yet"; exit 75; }
echo "holding" >&2
"""
POST = '#!/bin/sh\necho "$STILLFRAME_PHASE $STILLFRAME_GENERATION" >> "$STILLFRAME_STATE_DIR/../trace"\n'


def settings(vm: Machine, **more: Any) -> dict[str, Any]:
    return vm.guest_processing(pre_script=None, post_script=None) | more


async def test_delivered_scripts_are_told_of_their_run_and_tried_again(stack: Stack) -> None:
    vm = await plain_vm(stack, "delivered", data_disks=2)
    long_post = POST + "#" * LARGEST_INLINE  # lies in the guests' storage
    guest = settings(
        vm,
        pre_script={
            "content": PRE,
            "sha256": hashlib.sha256(PRE.encode()).hexdigest(),
            "arguments": ["%vmName%", "%diskNames% 100%%"],
            "environment": {"COLOUR": "%resourceGroup%"},
            "retries": 2,
            "retry_delay_ms": 10,
            "stderr": "warn",
        },
        post_script={"content": long_post},
    )

    view = await vm.run_to_end(guest)

    assert outcome(view) == BEST, view["reasons"]
    names = ",".join(disk.name for disk in vm.spec.disks)
    told = (vm.guest.runtime / "told").read_text().splitlines()
    assert told == [f"delivered|{names} 100%|stillframe-vms|os,0,1"] * 2
    assert vm.lines() == ["pre 1", "pre 1", "post 1"]
    report = view["evidence"]["quiesced"]["script"]
    assert (report["path"], report["attempts"], report["exit_code"]) == ("pre.sh", 2, 0)
    assert [(warning["kind"], warning["code"]) for warning in view["warnings"]] == [("script", "stderr")]
    assert view["guest_processing"]["post_script"]["content"] == "", "a stored script is not repeated"
    assert list(vm.guest.agent_state.glob("script-*")) == []
    await vm.assert_at_rest(view)


async def test_a_vm_with_a_tag_gets_the_settings_of_its_override(stack: Stack) -> None:
    tagged, plain = await plain_vm(stack, "tagged"), await plain_vm(stack, "plain")
    spec = stack.world.resources.vms[tagged.id.lower()].spec
    stack.world.put_vm(replace(spec, tags={"Role": "replica"}))
    usual = settings(
        plain, linux={"pre_script": {"path": plain.hook("pre")}, "post_script": {"path": plain.hook("post")}}
    )
    without = {"pre_script": None, "post_script": None, "enabled": False}
    guest = usual | {"overrides": [{"tags": {"role": "replica"}, "guest_processing": without}]}

    run_id = await stack.api.start_run({"vms": [tagged.id, plain.id], "guest_processing": guest})
    views = {vm.name: await vm.ended(run_id) for vm in (tagged, plain)}

    assert outcome(views["plain"]) == BEST, views["plain"]["reasons"]
    assert outcome(views["tagged"]) == ("succeeded", "crash")
    assert (plain.lines(), tagged.lines()) == (["pre 1", "post 1"], [])
    assert not views["tagged"]["guest_processing"]["enabled"]
    await tagged.assert_at_rest(views["tagged"])
    await plain.assert_at_rest(views["plain"])


async def test_a_script_outside_the_allowed_folders_is_not_run(stack: Stack) -> None:
    vm = await plain_vm(stack, "outside")
    guest = settings(vm, pre_script={"path": "/bin/true"}, post_script={"path": "/bin/true"}, attempts=1)

    view = await vm.run_to_end(guest | {"on_guest_failure": "fail"})

    assert view["outcome"] == "failed"
    assert any("script_outside" in reason for reason in view["reasons"])
    await vm.assert_at_rest(view)


async def test_no_agent_stays_when_its_session_is_over(stack: Stack) -> None:
    assert real_disks() or BEST[1] == "crash"
    await assert_all_agents_leave(*machines_of(stack))
