"""Recovery points found, held, deleted, retained and compared with Azure, on a whole stack."""

from dataclasses import replace
from typing import Any

import pytest

from local.stack.api import ApiError
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import SOON_S, Machine, invoke, kept_ids, left_in_poison_queues, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NEVER = "0 0 0 1 1 *"
OPTIONS = StackOptions(
    settings={"STILLFRAME_RETENTION_TIMER": NEVER, "STILLFRAME_RECONCILIATION_TIMER": NEVER}  # by hand alone
)


def policy(vm: Machine, **more: Any) -> dict[str, Any]:
    return {"vms": [vm.id], "guest_processing": {"enabled": False}, "retention": {"keep_last": 2}, **more}


async def taken(stack: Stack, vm: Machine, name: str) -> dict[str, Any]:
    """Run a policy once; give the view of its VM."""
    return await vm.ended(await stack.api.start_run({"policy": name}))


async def get(stack: Stack, path: str) -> Any:
    return (await stack.api.call("GET", path))[2]


async def points(stack: Stack, query: str) -> list[dict[str, Any]]:
    return list((await get(stack, f"/api/recovery-points?{query}"))["items"])


async def refused(stack: Stack, method: str, path: str, body: Any = None) -> int:
    with pytest.raises(ApiError) as refusal:
        await stack.api.call(method, path, body)
    return refusal.value.status


def ids(*views: dict[str, Any]) -> set[str]:
    return {each.lower() for view in views for each in kept_ids(view)}


def strange(stack: Stack, like: dict[str, Any], suffix: str, tags: dict[str, str]) -> str:
    """Put a snapshot into Azure whose name is nearly one of ours."""
    known = stack.world.resources.snapshots[kept_ids(like)[0].lower()]
    name = known.id.name + suffix
    mine = replace(known, id=replace(known.id, path=("snapshots", name)), tags=tags)
    stack.world.resources.snapshots[mine.id.key] = mine
    return mine.id.key


async def until_left(vm: Machine, wanted: set[str]) -> None:
    async def left() -> bool:
        return vm.snapshots() == wanted

    await until(left, within_s=SOON_S, what=f"{vm.name}: only {wanted} left in Azure")


async def until_state(stack: Stack, point: str, state: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    async def so() -> bool:
        shown.update(await get(stack, f"/api/recovery-points/{point}"))
        return bool(shown["state"] == state)

    await until(so, within_s=SOON_S, what=f"{point} {state}")
    return shown


async def test_retention_deletes_what_no_rule_wants_and_nothing_else(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "kept"), await plain_vm(stack, "beside")
    await stack.api.call("PUT", "/api/policies/kept", policy(vm))
    await stack.api.call("PUT", "/api/policies/beside", policy(other))
    views = [await taken(stack, vm, "kept") for _ in range(5)]
    theirs = await taken(stack, other, "beside")
    by_hand = await vm.run_to_end({"enabled": False})

    listed = await points(stack, "vm=KEPT&policy=kept")
    assert [point["point"] for point in listed] == [view["saga"] for view in reversed(views)]
    third = listed[2]["created_at"]
    found = await points(stack, f"vm=kept&since={third}&until={listed[1]['created_at']}")
    assert [point["point"] for point in found] == [views[2]["saga"]]
    whole = await get(stack, listed[2]["href"])
    assert (whole["evidence_sha256"], set(whole["resources"])) == (
        views[2]["evidence_sha256"],
        set(kept_ids(views[2])),
    )
    assert whole["evidence"] == views[2]["evidence"]

    oldest = f"/api/recovery-points/{views[0]['saga']}"
    await stack.api.call("POST", f"{oldest}/hold", {"reason": "the audit"})
    copies = {
        strange(stack, views[1], "-copy", {}),
        strange(stack, views[1], "-mine", {"stillframe-policy": "kept", "owner": "dba"}),
    }
    before = vm.snapshots() | other.snapshots()
    preview = await get(stack, "/api/retention/kept")
    [of_vm] = preview["items"]
    told = {point["point"]: (point["decision"], point["why"]) for point in of_vm["points"]}
    assert told[views[0]["saga"]] == ("keep", ["held: the audit"])
    assert told[views[1]["saga"]] == ("delete", ["3 newer good ones"])
    assert told[views[2]["saga"]] == ("delete", ["2 newer good ones"])
    assert (of_vm["keeps"], of_vm["deletes"]) == (3, 2)
    assert vm.snapshots() | other.snapshots() == before

    await invoke(stack, "retention")
    await until_left(vm, ids(views[0], *views[3:], by_hand) | copies)
    assert other.snapshots() == ids(theirs)
    gone = await until_state(stack, views[1]["saga"], "deleted")
    assert gone["why"] == "3 newer good ones"
    await until_state(stack, views[2]["saga"], "deleted")
    assert [point["point"] for point in await points(stack, "policy=kept")] == [
        views[number]["saga"] for number in (4, 3, 0)
    ]

    await stack.api.call("POST", f"{oldest}/release")
    await stack.api.call("POST", "/api/retention/kept/apply")
    await until_left(vm, ids(*views[3:], by_hand) | copies)
    await invoke(stack, "retention")
    await stack.api.call("DELETE", "/api/policies/kept")
    await invoke(stack, "retention")
    assert await left_in_poison_queues(stack) == {}
    assert vm.snapshots() == ids(*views[3:], by_hand) | copies


async def test_a_person_deletes_what_is_neither_held_nor_in_use_nor_the_newest(stack: Stack) -> None:
    vm = await plain_vm(stack, "by-hand")
    await stack.api.call("PUT", "/api/policies/by-hand", policy(vm))
    older, newer = [await taken(stack, vm, "by-hand") for _ in range(2)]
    mine, newest = (f"/api/recovery-points/{view['saga']}" for view in (older, newer))
    assert await refused(stack, "DELETE", newest) == 409
    until_then = {"reason": "law", "until": "2099-01-01T00:00:00Z", "immutable": True}
    _, _, held = await stack.api.call("POST", f"{newest}/hold", until_then)
    assert held["hold"]["until"] == "2099-01-01T00:00:00.000Z"
    assert await refused(stack, "POST", f"{newest}/release") == 409
    assert await refused(stack, "DELETE", f"{newest}?newest=allow") == 409

    snapshots = stack.world.resources.snapshots
    used = kept_ids(older)[0].lower()
    snapshots[used] = replace(snapshots[used], disk_state="ActiveSAS")
    status, _, shown = await stack.api.call("DELETE", mine)
    assert (status, shown["state"]) == (202, "deleting")
    shown = await until_state(stack, older["saga"], "available")
    assert "ActiveSAS" in shown["why"]
    assert vm.snapshots() == ids(older, newer)
    snapshots[used] = replace(snapshots[used], disk_state="Unattached")
    await stack.api.call("DELETE", mine)
    await until_state(stack, older["saga"], "deleted")
    assert vm.snapshots() == ids(newer)
    assert await refused(stack, "GET", "/api/recovery-points/nobody") == 404


async def test_restore_points_are_retained_too(stack: Stack) -> None:
    vm = await plain_vm(stack, "points")
    rules = {"retention": {"keep_last": 1}, "snapshots": {"recovery_point": "restore_point"}}
    await stack.api.call("PUT", "/api/policies/points", policy(vm, **rules))
    older, newer = [await taken(stack, vm, "points") for _ in range(2)]
    assert vm.snapshots() == ids(older, newer)
    await stack.api.call("POST", "/api/retention/points/apply")
    await until_left(vm, ids(newer))
    await until_state(stack, older["saga"], "deleted")


async def test_records_and_azure_are_compared_both_ways(stack: Stack) -> None:
    vm = await plain_vm(stack, "compared")
    await stack.api.call("PUT", "/api/policies/compared", policy(vm))
    first, second = [await taken(stack, vm, "compared") for _ in range(2)]
    lost = kept_ids(first)[0].lower()
    del stack.world.resources.snapshots[lost]
    like = stack.world.resources.snapshots[kept_ids(second)[0].lower()]
    orphan = strange(stack, second, "-again", dict(like.tags))
    foreign = strange(stack, second, "-copy", {"owner": "dba"})
    await stack.api.call("POST", "/api/reconciliation")

    async def found() -> bool:
        items = (await get(stack, "/api/reconciliation"))["items"]
        mine = {(item["kind"], item["resource"].lower()) for item in items if item["policy"] == "compared"}
        return mine == {("missing", lost), ("orphan", orphan)}

    await until(found, within_s=SOON_S, what="both findings")
    shown = await until_state(stack, first["saga"], "missing")
    assert [each.lower() for each in shown["missing"]] == [lost]
    assert {orphan, foreign} <= vm.snapshots()
    orphans = (await get(stack, "/api/reconciliation?kind=orphan"))["items"]
    for item in orphans:
        if item["resource"].lower() == orphan:
            await stack.api.call("DELETE", item["href"])
    await until_left(vm, (ids(first, second) - {lost}) | {foreign})
