"""Runs whose VMs are selected in Azure: page by page, whole or said to be partial, started once."""

from typing import Any

import pytest

from shared.compute.errors import Denied, NotFound, Unavailable
from shared.engine.queue_names import RUNS
from shared.policy.documents import read_run
from shared.policy.fields import DocumentError
from shared.policy.selection import Scope, VmSummary, summary_of_id
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

SUB = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"
PLAIN = {"enabled": False}


def vm(name: str, *, subscription: str = SUB, **tags: str) -> VmSummary:
    summary = summary_of_id(vm_id(name).replace(SUB, subscription))
    return VmSummary(
        id=summary.id,
        name=name,
        resource_group=summary.resource_group,
        subscription=subscription,
        location="westeurope",
        os="Linux",
        tags=tuple(sorted(tags.items())),
    )


def policy(*subscriptions: str, **more: Any) -> dict[str, Any]:
    rule = {"subscriptions": list(subscriptions or (SUB,)), "tags": {"tag": "env", "equals": "prod"}}
    return {"selection": {"include": [rule]}, "guest_processing": PLAIN, **more}


async def with_vms(*vms: VmSummary, document: dict[str, Any] | None = None, page: int = 50) -> House:
    house = House()
    house.compute.vms, house.compute.page_size = list(vms), page
    await house.app.policies.put("nightly", document or policy(), None)
    return house


async def run_of(house: House, **asked: Any) -> dict[str, Any]:
    run = await house.app.policies.start(read_run({"policy": "nightly", **asked}), "http", "")
    await house.settle()
    return await house.app.reading.run(run)


def names(view: dict[str, Any]) -> set[str]:
    return {one["name"] for one in view["vms"]}


async def test_a_run_takes_the_vms_that_have_the_tag_then_and_says_which_rule_it_was() -> None:
    house = await with_vms(vm("a", env="prod"), vm("b", env="test"), vm("c", Env="prod"), page=1)
    view = await run_of(house)
    assert names(view) == {"a", "c"}
    assert (view["state"], view["vm_count"], view["vms_ended"]) == ("ended", 2, 2)
    assert view["selection"] == {
        "state": "complete",
        "sentence": "2 VMs were selected.",
        "excluded": 0,
        "unread": [],
    }
    assert {one["selected_by"] for one in view["vms"]} == {"selection.include[0]"}
    house.compute.vms.append(vm("d", env="prod"))
    assert names(await run_of(house)) == {"a", "c", "d"}


async def test_a_run_that_selects_nothing_ends_and_says_so() -> None:
    view = await run_of(await with_vms(vm("b", env="test")))
    assert (view["state"], view["vm_count"]) == ("ended", 0)
    assert view["selection"]["state"] == "empty"


async def test_a_subscription_that_cannot_be_read_is_told_and_the_others_run() -> None:
    house = await with_vms(
        vm("a", env="prod"), vm("z", subscription=OTHER, env="prod"), document=policy(SUB, OTHER)
    )
    house.compute.unlistable[Scope(OTHER)] = Denied("AuthorizationFailed", "no right to read")
    view = await run_of(house)
    assert names(view) == {"a"}
    assert view["selection"]["state"] == "partial"
    assert view["selection"]["unread"] == [
        {"scope": f"/subscriptions/{OTHER}", "code": "AuthorizationFailed", "why": "no right to read"}
    ]


async def test_what_fails_again_and_again_is_given_up_told_and_gone_past() -> None:
    house = await with_vms(
        vm("z", subscription=OTHER, env="prod"), vm("a", env="prod"), document=policy(SUB, OTHER)
    )
    house.compute.unlistable[Scope(SUB)] = Unavailable("ServerBusy", "later")
    view = await run_of(house)
    assert names(view) == {"z"}
    assert [one["code"] for one in view["selection"]["unread"]] == ["GivenUp"]


async def test_what_fails_for_a_while_is_read_in_the_end() -> None:
    house = await with_vms(vm("a", env="prod"))
    house.compute.errors["list_vms"] = [Unavailable("ServerBusy", "later")] * 3
    view = await run_of(house)
    assert (names(view), view["selection"]["state"]) == ({"a"}, "complete")


async def test_named_vms_that_do_not_exist_are_in_the_run_and_exclusions_by_tag_are_asked_of_azure() -> None:
    document = policy(vms=[vm_id("gone"), vm_id("kept"), vm_id("out")])
    document["selection"] = {"exclude": [{"tags": {"tag": "backup", "equals": "no"}}]}
    house = await with_vms(vm("kept"), vm("out", backup="no"), document=document)
    view = await run_of(house)
    assert names(view) == {"gone", "kept"}
    assert view["selection"]["excluded"] == 1


async def test_names_and_groups_alone_need_no_question_to_azure() -> None:
    document = {
        "vms": [vm_id("a"), vm_id("b-old")],
        "selection": {"exclude": [{"names": ["*-OLD"]}]},
        "guest_processing": PLAIN,
    }
    house = await with_vms(document=document)
    house.compute.errors["list_vms"] = [Denied("X", "not to be asked")]
    view = await run_of(house)
    assert (names(view), view["selection"]) == ({"a"}, None)


async def test_some_of_the_selected_vms_can_be_named_and_no_others() -> None:
    house = await with_vms(vm("a", env="prod"), vm("b", env="test"), vm("c", env="prod"))
    assert names(await run_of(house, vms=[vm_id("A")])) == {"A"}
    for other in ("b", "nobody"):
        with pytest.raises(DocumentError) as caught:
            await run_of(house, vms=[vm_id("a"), vm_id(other)])
        assert caught.value.field == "vms[1]"


async def test_a_run_cancelled_while_its_vms_are_selected_starts_none() -> None:
    house = await with_vms(*(vm(f"vm-{n}", env="prod") for n in range(20)), page=5)
    run = await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
    await house.app.runs.cancel(run)
    await house.settle()
    view = await house.app.reading.run(run)
    assert view["state"] == "ended"
    assert {one["outcome"] for one in view["vms"]} <= {"cancelled"}
    assert house.compute.snapshots == {}


async def test_a_selection_whose_message_was_lost_is_begun_again_by_the_sweep() -> None:
    house = await with_vms(vm("a", env="prod"))
    run = await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
    for message in house.messages(RUNS):
        await house._delete(RUNS, message)
    await house.settle()
    assert names(await house.app.reading.run(run)) == {"a"}


@pytest.mark.parametrize("when", When)
async def test_every_vm_is_in_the_run_once_wherever_the_app_dies(when: When) -> None:
    for number in range(1, 40, 3):
        house = await with_vms(*(vm(f"vm-{n}", env="prod") for n in range(5)), page=2)
        run = await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
        house.interruptions = house.tables._interruptions = Interruptions(number, when)
        house.queues._interruptions = house.compute.interruptions = house.interruptions
        try:
            await house.settle()
        except AppDied:
            house.interruptions.revive()
            await house.settle()
        view = await house.app.reading.run(run)
        assert (view["state"], view["vm_count"], len(view["vms"])) == ("ended", 5, 5), number
        assert {one["outcome"] for one in view["vms"]} == {"succeeded"}, number


async def test_selected_vms_take_their_turns_in_the_order_of_their_names() -> None:
    house = await with_vms(
        *(vm(name, env="prod") for name in ("c", "a", "b")),
        document=policy(concurrency={"vms": 1, "order": "name"}),
    )
    view = await run_of(house)
    ended = {one["name"]: one["ended_at"] for one in view["vms"]}
    assert {one["outcome"] for one in view["vms"]} == {"succeeded"}
    assert ended["a"] <= ended["b"] <= ended["c"]


async def test_a_retry_is_over_the_vms_that_failed_and_selects_nothing_anew() -> None:
    house = await with_vms(vm("a", env="prod"), vm("b", env="prod"))
    house.compute.errors["read_facts"] = [NotFound("ResourceNotFound", "no such VM")]
    view = await run_of(house)
    [failed] = [one["name"] for one in view["vms"] if one["outcome"] == "failed"]
    again = await house.app.retrying.retry(view["run"], "")
    await house.settle()

    view = await house.app.reading.run(again)
    assert (names(view), view["vm_count"]) == ({failed}, 1)
