"""Groups of VMs over the whole app: one instant for all, by rule for the rest, or for none; whatever dies."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.compute import tags
from shared.engine.queue_names import GROUPS, STEPS
from shared.engine.views import moment
from shared.policy.documents import read_run
from shared.policy.selection import VmSummary
from shared.protocol import QUIESCE, RESUME
from shared.storage.memory import MemoryQueues
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, T0, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

pytestmark = pytest.mark.asyncio

NAMES = ("db-1", "db-2", "web-1")
VMS = [vm_id(name) for name in NAMES]
SUB = "00000000-0000-0000-0000-000000000001"
REST = {"on_member_failure": "rest"}


async def started(
    house: House, *names: str, group: Mapping[str, Any] | None = None, key: str = "", **members: Any
) -> str:
    vms = [vm_id(name) for name in names or NAMES]
    groups = [{"name": "shop", "vms": vms} | dict(group or {})]
    document = {"vms": vms, "guest_processing": SCRIPTS, "groups": groups} | members
    return await house.app.policies.start(read_run(document), "http", key)


def watched(house: House) -> House:
    """Have each snapshot remember which guests were held when it was taken, and by which of their holds."""
    is_held = house.compute.guest_is_held

    def holds(disk: str) -> Any:
        if not is_held(disk):
            return {}
        return {guest.vm_id: guest.times_held for guest in house.guests.values() if guest.held}

    house.compute.guest_is_held = holds
    return house


class MostHeld:
    """Looks after each bit of work at how many guests are held."""

    def __init__(self, house: House) -> None:
        self.most, work = 0, house.work

        async def watching() -> bool:
            worked = await work()
            self.most = max(self.most, sum(1 for guest in house.guests.values() if guest.held))
            return worked

        house.work = watching  # type: ignore[method-assign]


async def outcomes(house: House, run: str) -> dict[str, str]:
    return {vm["name"]: vm["outcome"] for vm in (await house.app.reading.run(run))["vms"]}


async def group(house: House, run: str) -> dict[str, Any]:
    [shown] = (await house.app.reading.run(run))["groups"]
    return dict(shown)


async def assert_claims_are_true(house: House, run: str, *names: str) -> int:
    """Check every claim of one instant against what was held at each snapshot; give how many claim one."""
    claims = 0
    for name in names or NAMES:
        view = await house.view(run, name)
        told = (
            house.interruptions.at,
            house.interruptions.when,
            house.interruptions.seen[-1:],
            view["reasons"],
        )
        assert view["phase"] == "done", told
        assert not house.guest(vm_id(name)).held, told
        mark = view["group"]["recovery_point"] if view["group"] else None
        if not view["recovery_point"] or not mark or not mark["one_instant"]:
            continue
        claims += 1
        taken = [
            house.compute.snapshots[point["snapshot"]]
            for member in mark["members"]
            for point in (await house.view(run, member.rpartition("/")[2]))["recovery_point"]
        ]
        assert len(taken) == 3 * len(mark["members"]), told  # each of them kept its recovery point
        holds: list[Any] = [snapshot.held for snapshot in taken]
        for vm in mark["members"]:
            assert {each.get(vm) for each in holds} == {holds[0][vm]}, told
        instants = [snapshot.time_created for snapshot in taken]
        assert mark["skew_ms"] == max(instants) - min(instants), told
    return claims


async def test_all_are_held_at_once_and_their_recovery_points_are_of_one_instant() -> None:
    house = watched(House())
    most = MostHeld(house)
    run = await started(house)
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "succeeded")
    assert most.most == 3
    shown = await group(house, run)
    assert (shown["state"], shown["one_instant"], shown["waits_for"], shown["skew_ms"]) == (
        "proved",
        True,
        None,
        0,
    )
    assert [(one["name"], one["reached"], one["fell"]) for one in shown["members"]] == [
        (name, "proved", None) for name in NAMES
    ]
    assert "All 3 of its VMs were held from before the first" in shown["sentence"]
    assert await assert_claims_are_true(house, run) == 3
    assert house.failures == []
    assert house.messages(GROUPS) == []


async def test_every_recovery_point_and_every_snapshot_says_that_it_shares_the_instant() -> None:
    house = House()
    run = await started(house)
    await house.settle()

    points = [each.record async for each in house.points.of_vms(VMS)]
    assert [(point.run_id, point.group and point.group.one_instant) for point in points] == [(run, True)] * 3
    assert {point.group.members for point in points if point.group} == {tuple(VMS)}
    for snapshot in house.compute.snapshots.values():
        assert snapshot.tags[tags.GROUP] == "shop"
        assert snapshot.tags[tags.GROUP_MEMBERS] == "db-1,db-2,web-1"
        assert (snapshot.tags[tags.GROUP_SKEW_MS], snapshot.tags[tags.ONE_INSTANT]) == ("0", "true")


async def test_a_vm_by_itself_has_no_group_and_no_tag_of_one() -> None:
    house = House()
    run = await house.ask()
    await house.settle()

    assert (await house.app.reading.run(run))["groups"] == []
    assert (await house.view(run))["group"] is None
    assert not any(tags.GROUP in snapshot.tags for snapshot in house.compute.snapshots.values())


async def test_where_all_stand_or_fall_one_pre_script_that_fails_costs_all_their_recovery_points() -> None:
    house = watched(House())
    house.guest(vm_id("web-1")).script_fails = True
    run = await started(house)
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "failed")
    shown = await group(house, run)
    assert (shown["state"], shown["one_instant"]) == ("broken", False)
    assert "web-1: " in shown["sentence"]
    assert await assert_claims_are_true(house, run) == 0
    assert house.compute.snapshots == {}
    view = await house.view(run, "db-1")
    assert view["problem"]["cause"] == "group_broke"
    assert "web-1" in view["problem"]["sentence"]


async def test_where_the_rest_goes_on_one_pre_script_that_fails_costs_one() -> None:
    house = watched(House())
    house.guest(vm_id("web-1")).script_fails = True
    run = await started(house, group=REST)
    await house.settle()

    assert await outcomes(house, run) == {"db-1": "succeeded", "db-2": "succeeded", "web-1": "failed"}
    shown = await group(house, run)
    assert (shown["state"], shown["one_instant"]) == ("proved", True)
    assert "The 2 VMs that were left were held" in shown["sentence"]
    [fallen] = [member for member in shown["members"] if member["fell"]]
    assert fallen["name"] == "web-1"
    assert await assert_claims_are_true(house, run) == 2
    mark = (await house.view(run, "db-1"))["group"]["recovery_point"]
    assert mark["members"] == VMS[:2]


async def test_a_member_that_nobody_hears_of_is_waited_for_no_longer_than_the_held_time_out() -> None:
    house = watched(House())
    house.guest(vm_id("web-1")).deaf_to.add(QUIESCE)
    run = await started(house, group=REST | {"held_timeout_ms": 8_000})
    await house.settle()

    result = await outcomes(house, run)
    assert (result["db-1"], result["db-2"]) == ("succeeded", "succeeded")
    assert await assert_claims_are_true(house, run) == 2
    assert 8_000 <= house.guest(vm_id("db-1")).longest_hold_ms < 12_000
    assert all(guest.longest_hold_ms <= 30_000 for guest in house.guests.values())


async def test_a_snapshot_that_fails_once_takes_all_into_another_attempt() -> None:
    house = watched(House())
    house.compute.failing_disks.add("web-1-os")

    async def only_once() -> None:
        house.compute.failing_disks.clear()

    house.compute.after_capture = only_once
    run = await started(house, guest_processing=SCRIPTS | {"attempts": 2})
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "succeeded")
    assert (await group(house, run))["attempt"] == 2
    assert await assert_claims_are_true(house, run) == 3


@pytest.mark.parametrize("lost", [GROUPS, STEPS])
async def test_messages_to_members_that_are_lost_are_asked_for_again(lost: str) -> None:
    house = watched(House())
    work, gone = house.work, list[str]()

    async def losing() -> bool:
        for message in house.messages(lost):
            if lost == STEPS and '"watch": 0' in message.text:
                continue
            if len(gone) < 12 and '"watch"' not in message.text.replace('"watch": 1', ""):
                gone.append(message.text)
                await house._delete(lost, message)
        return await work()

    house.work = losing  # type: ignore[method-assign]
    run = await started(house)
    await house.settle()

    assert gone
    assert await outcomes(house, run) == dict.fromkeys(NAMES, "succeeded")
    assert await assert_claims_are_true(house, run) == 3


async def test_two_groups_that_need_more_places_than_there_are_do_not_wait_for_each_other() -> None:
    house = watched(House())
    most = MostHeld(house)
    names = [f"vm-{number}" for number in range(6)]
    vms = [vm_id(name) for name in names]
    run = await house.app.policies.start(
        read_run(
            {
                "vms": vms,
                "guest_processing": SCRIPTS,
                "groups": [{"name": "even", "vms": vms[::2]}, {"name": "odd", "vms": vms[1::2]}],
                "concurrency": {"held": 4, "admission_timeout_ms": 600_000},
            }
        ),
        "http",
        "",
    )
    await house.settle()

    assert set((await outcomes(house, run)).values()) == {"succeeded"}
    assert most.most == 3
    assert await assert_claims_are_true(house, run, *names) == 6


async def test_vms_of_a_group_begin_one_after_another_where_vms_begin_in_turns() -> None:
    house = watched(House())
    names = [f"vm-{number}" for number in range(7)]
    vms = [vm_id(name) for name in names]
    run = await house.app.policies.start(
        read_run(
            {
                "vms": vms,
                "guest_processing": SCRIPTS,
                "groups": [{"name": "even", "vms": vms[2::2]}, {"name": "odd", "vms": vms[1::2]}],
                "concurrency": {"vms": 3},
            }
        ),
        "http",
        "",
    )
    await house.settle()

    assert set((await outcomes(house, run)).values()) == {"succeeded"}
    assert await assert_claims_are_true(house, run, *names) == 6
    views = [await house.view(run, name) for name in names]
    assert all(view["generation"] == 1 for view in views)
    assert all(
        view["ended_at"] < (moment(T0 + 120_000) or "") for view in views
    )  # nobody waited for a time-out


async def test_the_background_copies_of_a_group_keep_no_other_vm_waiting() -> None:
    house = House()
    house.compute.copied_percent = 50.0
    names = ("db-1", "db-2", "web-1")
    group_of_two = {"vms": [vm_id("db-1"), vm_id("db-2")]}
    run = await started(house, *names, group=group_of_two, concurrency={"vms": 2})
    await house.settle(T0 + 60_000)

    phases = {vm["name"]: vm["phase"] for vm in (await house.app.reading.run(run))["vms"]}
    assert phases == dict.fromkeys(names, "completing")


async def test_a_group_of_which_one_vm_is_in_the_run_is_said_to_be_alone_and_its_vm_goes_its_way() -> None:
    house = House()
    await house.app.policies.put("shop", {"vms": VMS, "groups": [{"name": "shop", "vms": VMS}]}, None)
    run = await house.app.policies.start(read_run({"policy": "shop", "vms": [VMS[0]]}), "http", "")
    await house.settle()

    assert await outcomes(house, run) == {"db-1": "succeeded"}
    shown = await group(house, run)
    assert (shown["state"], shown["one_instant"]) == ("alone", False)
    assert shown["sentence"] == "Only db-1 of its VMs is in the run: it goes its way alone."
    assert (await house.view(run))["group"] is None


async def test_a_run_of_some_of_a_groups_vms_holds_those_together() -> None:
    house = watched(House())
    await house.app.policies.put("shop", {"vms": VMS, "groups": [{"name": "shop", "vms": VMS}]}, None)
    run = await house.app.policies.start(read_run({"policy": "shop", "vms": VMS[:2]}), "http", "")
    await house.settle()

    assert await assert_claims_are_true(house, run, *NAMES[:2]) == 2


async def test_more_vms_than_may_be_held_belong_to_no_instant_and_are_told_why() -> None:
    house = House()
    document = {
        "vms": VMS,
        "groups": [{"name": "all", "selection": {"include": [{"names": ["*"]}]}}],
        "concurrency": {"held": 2},
    }
    run = await house.app.policies.start(read_run(document), "http", "")
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "failed")
    shown = await group(house, run)
    assert (shown["state"], shown["group"]) == ("broken", "all")
    assert "concurrency.held lets no more than 2 be held together" in shown["sentence"]
    assert all(guest.times_held == 0 for guest in house.guests.values())


async def test_the_failed_vms_of_a_group_are_tried_again_together() -> None:
    house = watched(House())
    house.guest(vm_id("web-1")).script_fails = True
    run = await started(house)
    await house.settle()
    house.guests.clear()  # all is well in those that come after
    again = await house.app.retrying.retry(run, "")
    await house.settle()

    assert await assert_claims_are_true(house, again) == 3


async def test_a_group_by_tags_is_found_when_the_vms_are_listed() -> None:
    house = watched(House())
    house.compute.vms = [
        VmSummary(id=vm_id(name), name=name, resource_group="app", subscription=SUB, tags=(("app", app),))
        for name, app in (("db-1", "shop"), ("web-1", "shop"), ("db-2", "blog"))
    ]
    rule = {"subscriptions": [SUB], "names": ["*"]}
    shop = {"include": [{"tags": {"tag": "app", "equals": "shop"}}]}
    policy = {
        "selection": {"include": [rule]},
        "guest_processing": SCRIPTS,
        "groups": [{"name": "shop", "selection": shop}],
    }
    await house.app.policies.put("all", policy, None)
    run = await house.app.policies.start(read_run({"policy": "all"}), "http", "")
    assert [one["state"] for one in (await house.app.reading.run(run))["groups"]] == ["selecting"]
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "succeeded")
    assert [member["name"] for member in (await group(house, run))["members"]] == ["db-1", "web-1"]
    assert await assert_claims_are_true(house, run) == 2
    named = await house.app.policies.start(read_run({"policy": "all", "vms": [VMS[0], VMS[2]]}), "http", "")
    await house.settle(house.clock() + 1)
    assert [member["name"] for member in (await group(house, named))["members"]] == ["db-1", "web-1"]


async def test_no_member_is_tried_again_alone_in_its_run() -> None:
    house = House()
    house.guest(vm_id("web-1")).deaf_to |= {QUIESCE, RESUME}
    retry = {"attempts": 2, "delay_ms": 1_000}
    run = await started(house, retry=retry, guest_processing=SCRIPTS | {"attempts": 1})
    await house.settle()

    view = await house.app.reading.run(run)
    assert [vm["try"] for vm in view["vms"]] == [1, 1, 1]


async def test_cancelling_a_run_lets_all_members_go() -> None:
    house = House()
    run = await started(house)
    house.guest(vm_id("web-1")).deaf_to.add(QUIESCE)
    await house.settle(T0 + 3_000)
    assert house.guest(vm_id("db-1")).held
    await house.app.runs.cancel(run)
    await house.settle()

    assert set(await outcomes(house, run)) == set(NAMES)
    assert "succeeded" not in (await outcomes(house, run)).values()
    assert not any(guest.held for guest in house.guests.values())
    assert house.compute.snapshots == {}


async def test_a_rehearsal_holds_its_group_together_and_snapshots_nothing() -> None:
    house = House()
    most = MostHeld(house)
    document = {"vms": VMS, "guest_processing": SCRIPTS, "groups": [{"name": "shop", "vms": VMS}]}
    run = await house.app.policies.start(read_run(document), "http", "", rehearsal=True)
    await house.settle()

    assert await outcomes(house, run) == dict.fromkeys(NAMES, "rehearsed")
    assert most.most == 3
    shown = await group(house, run)
    assert (shown["state"], shown["one_instant"], shown["skew_ms"]) == ("proved", True, None)
    assert house.compute.snapshots == {}


async def operations() -> int:
    house = House()
    await started(house, *NAMES[:2])
    await house.settle()
    return len(house.interruptions.seen)


@pytest.mark.parametrize(
    ("first", "when", "lost_for_ms"),
    [(1, When.BEFORE, 0), (2, When.AFTER, 0), (3, When.BEFORE, 600_000), (1, When.AFTER, 600_000)],
)
async def test_whichever_operation_is_an_instances_last_all_end_and_no_claim_is_false(
    first: int, when: When, lost_for_ms: int
) -> None:
    claims = 0
    for number in range(first, await operations() + 1, 3):
        house = watched(House(Interruptions(number, when), lost_for_ms=lost_for_ms))
        try:
            run = await started(house, *NAMES[:2], key="once")
        except AppDied:
            house.interruptions.revive()
            house.app = house.another_instance()
            run = await started(house, *NAMES[:2], key="once")
        await house.settle()
        told = (number, when, house.interruptions.seen[number - 1])
        claims += await assert_claims_are_true(house, run, *NAMES[:2])
        assert all(guest.longest_hold_ms <= 30_000 for guest in house.guests.values()), told
        kept = {
            point["snapshot"]
            for name in NAMES[:2]
            for point in (await house.view(run, name))["recovery_point"]
        }
        assert kept == set(house.compute.snapshots), told
    assert claims > 0


async def test_a_message_that_no_group_knows_harms_nobody() -> None:
    house = House()
    for text in (
        '{"run": "r", "group": "g"}',
        '{"run": "r", "group": "g", "saga": "s", "attempt": 1, "barrier": "held"}',
        '{"run": "r", "group": "g", "saga": "s", "attempt": 1, "barrier": "dance"}',
        '{"run": "r", "group": "g", "saga": "s", "attempt": 1}',
        '{"run": "r", "group": "g", "saga": "s", "why": "x", "again": "no"}',
        "[]",
    ):
        await MemoryQueues.put(house.queues, GROUPS, text, delay_s=0, expires_in_s=-1)
    await house.settle()
    assert json.loads(house.delivered[0][1]) == {"run": "r", "group": "g"}
    assert house.messages(f"{GROUPS}-poison") == []
