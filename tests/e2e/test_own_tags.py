"""Tags of the VMs themselves, listed by Azure and read in preflight, in a run of a stored policy."""

from dataclasses import replace

import pytest

from local.stack.stack import GROUP, Stack, StackOptions, real_disks
from local.stack.waiting import until
from tests.e2e.scene import SOON_S, Machine, ledger_vm, outcome, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(settings={"STILLFRAME_SCHEDULES_TIMER": "0 0 0 1 1 *"})
ALLOWED = ["exclude", "guest-processing", "application-aware", "priority"]


async def tagged(stack: Stack, machine: Machine, tags: dict[str, str]) -> Machine:
    [spec] = [vm.spec for vm in stack.world.resources.vms.values() if vm.spec.name == machine.name]
    stack.world.put_vm(replace(spec, tags={f"Stillframe:{name}": value for name, value in tags.items()}))
    return machine


async def test_tags_of_vms_count_where_they_may_and_the_others_are_told(stack: Stack) -> None:
    ledger = await tagged(
        stack, await ledger_vm(stack, "tag-ledger"), {"application-aware": "require", "priority": "1"}
    )
    off = await tagged(stack, await plain_vm(stack, "tag-off"), {"guest-processing": "off", "priority": "90"})
    empty = await tagged(
        stack, await plain_vm(stack, "tag-empty"), {"application-aware": "Require", "guest-procesing": "off"}
    )
    out = await tagged(stack, await plain_vm(stack, "tag-out"), {"exclude": "true"})
    hooks = ledger.guest_processing()
    scripts = {name: hooks.pop(name) for name in ("pre_script", "post_script")}
    policy = {
        "selection": {
            "include": [
                {
                    "subscriptions": [stack.world.subscription_id],
                    "resource_groups": [GROUP],
                    "names": ["tag-*"],
                }
            ]
        },
        "allow_tags": ALLOWED,
        "guest_processing": {
            **hooks,
            "overrides": [{"tags": {"STILLFRAME:PRIORITY": "1"}, "guest_processing": scripts}],
        },
        "concurrency": {"vms": 1, "order": "priority"},
    }
    await stack.api.call("PUT", "/api/policies/tagged", policy)

    _, _, preview = await stack.api.call("GET", "/api/policies/tagged/preview")
    seen = {one["name"]: one for one in preview["selected"]}
    assert {name: one["priority"] for name, one in seen.items()} == {
        "tag-ledger": 1, "tag-empty": 50, "tag-off": 90,
    }  # fmt: skip
    assert [one["code"] for one in seen["tag-empty"]["tags"]] == ["unknown_tag"]
    assert [one["name"] for one in preview["excluded"]] == ["tag-out"]
    _, _, before = await stack.api.call("GET", f"/api/preflight?vm={empty.id}&policy=tagged")
    assert {"unknown_tag", "application_unknown"} <= {check["code"] for check in before["checks"]}

    run_id = await stack.api.start_run({"policy": "tagged"})

    async def selected() -> bool:
        return bool((await stack.api.run(run_id))["selection"]["state"] == "complete")

    await until(selected, within_s=SOON_S, what="the run's VMs")
    views = {vm.name: await vm.ended(run_id) for vm in (ledger, empty, off)}
    began = sorted(views, key=lambda name: views[name]["started_at"])

    assert began == ["tag-ledger", "tag-empty", "tag-off"]
    if real_disks():
        assert outcome(views["tag-ledger"]) == ("succeeded", "application")
    else:  # no filesystem can be held: a script alone proves nothing, and nothing less is kept
        assert views["tag-ledger"]["problem"]["cause"] == "application_required"
    assert outcome(views["tag-off"]) == ("succeeded", "crash")
    assert views["tag-empty"]["outcome"] == "failed"
    assert views["tag-empty"]["problem"]["cause"] == "application_required"
    assert [warning["code"] for warning in views["tag-empty"]["warnings"]] == ["unknown_tag"]
    assert empty.snapshots() == out.snapshots() == set()
    for vm in (ledger, empty, off):
        await vm.assert_at_rest(views[vm.name])
