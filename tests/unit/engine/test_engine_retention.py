"""Retention over the catalogue: what goes, what stays, and what is left alone."""

from dataclasses import replace
from typing import Any

import pytest

from shared.compute.errors import Denied, Throttled
from shared.engine.deleting import TOMBSTONE_MS
from shared.engine.queue_names import POINTS, PointMessage, PointTask
from shared.engine.retaining import MOST_AT_ONCE, PAGE, WAITING
from shared.saga.consistency import Grade
from shared.saga.names import restore_point_id
from shared.saga.state import Outcome
from shared.storage.errors import PointChanged, PointNotFound
from shared.storage.point_records import Hold, PointRecord, PointState
from shared.storage.points import StoredPoint
from tests.unit.engine.fake_compute import GROUP, Snapshot, vm_id
from tests.unit.engine.house import DAY_MS, T0, VM, House
from tests.unit.engine.interruptions import Interruptions, When

NIGHTLY = {"vms": [VM], "guest_processing": {"enabled": False}, "retention": {"keep_last": 2}}


def snapshot_of(name: str, disk: str = "os") -> str:
    return f"{GROUP}/providers/Microsoft.Compute/snapshots/sf-{name}-g1-{disk}"


async def seed(
    house: House,
    name: str,
    age_days: float,
    *,
    vm: str = VM,
    policy: str = "nightly",
    snapshots: tuple[str, ...] = ("os", "lun0"),
    **changes: Any,
) -> PointRecord:
    """Put a recovery point of some age into catalogue and Azure, as its saga would have."""
    created = T0 - round(age_days * DAY_MS)
    values: dict[str, Any] = {
        "point_id": name,
        "vm_id": vm,
        "policy": policy,
        "run_id": f"run-of-{name}",
        "generation": 1,
        "outcome": Outcome.SUCCEEDED,
        "grade": Grade.CRASH,
        "created": created,
        "recorded": created,
        "resources": tuple(snapshot_of(name, disk) for disk in snapshots),
    }
    record = PointRecord(**{**values, **changes})
    await house.points.record(record, {"of": name})
    tags = {
        "stillframe-policy": policy,
        "stillframe-run": record.run_id,
        "stillframe-saga": name,
        "stillframe-generation": "1",
    }
    for resource in record.resources:
        house.compute.snapshots[resource] = Snapshot(created, dict(tags), held=False)
    return record


async def house_with(count: int, *, interruptions: Interruptions | None = None, **policy: Any) -> House:
    """Give a house whose policy keeps two, with so many nightly points ``p0`` (the newest), ``p1``, ..."""
    house = House(interruptions)
    await house.app.policies.put("nightly", NIGHTLY | policy, None)
    for age in range(count):
        await seed(house, f"p{age}", age)
    return house


async def retain(house: House) -> None:
    await house.functions["retention"](None)
    await house.settle(house.clock() + 5 * 60_000)


async def states(house: House, vm: str = VM) -> dict[str, str]:
    return {point.record.point_id: point.record.state.value async for point in house.points.of_vms([vm])}


def in_azure(house: House) -> set[str]:
    return {name.rpartition("/")[2].split("-")[1] for name in house.compute.snapshots}


async def test_what_no_rule_wants_is_deleted_and_its_record_says_why() -> None:
    house = await house_with(4)
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}
    assert await states(house) == {"p0": "available", "p1": "available", "p2": "deleted", "p3": "deleted"}
    gone = (await house.points.get("p3")).record
    assert (gone.why, gone.changed) == ("3 newer good ones", T0)
    before = dict(house.compute.snapshots)
    await retain(house)
    assert house.compute.snapshots == before


async def test_only_the_points_of_the_policy_itself_are_touched() -> None:
    house = await house_with(4)
    other = vm_id("db-2")
    for age in range(4):
        await seed(house, f"theirs{age}", age + 10, policy="weekly")
        await seed(house, f"adhoc{age}", age + 10, policy="")
        await seed(house, f"other{age}", age + 10, vm=other)
    stranger = snapshot_of("stranger")
    house.compute.snapshots[stranger] = Snapshot(T0, {"stillframe-policy": "nightly"}, held=False)
    await retain(house)
    theirs = {f"{whose}{age}" for whose in ("theirs", "adhoc") for age in range(4)}
    assert in_azure(house) == {"p0", "p1", "other0", "other1", "stranger"} | theirs


async def test_a_policy_without_retention_deletes_nothing_and_one_that_was_removed_neither() -> None:
    house = await house_with(4, retention=None)
    await retain(house)
    await house.app.policies.put("nightly", NIGHTLY, None)
    message = PointMessage(PointTask.RETAIN, "nightly")
    await house.app.policies.delete("nightly", None)
    await retain(house)
    await house.app.point_tasks.take(message)  # was under way when the policy was removed
    assert len(in_azure(house)) == 4


async def test_a_policy_that_cannot_be_read_keeps_no_other_from_its_retention() -> None:
    house = await house_with(4)
    await house.policies.put("broken", {"vms": "?"}, None)
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}


async def test_the_held_stay_until_their_hold_ends() -> None:
    house = await house_with(4)
    until = T0 + DAY_MS
    await house.app.points.hold("p3", Hold(reason="audit", since=T0, until=until))
    await retain(house)
    assert in_azure(house) == {"p0", "p1", "p3"}
    house.clock.now = until
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}


async def test_what_somebody_is_using_stays_whole_and_goes_when_it_is_free() -> None:
    house = await house_with(4)
    house.compute.in_use.add(snapshot_of("p3", "lun0"))
    await retain(house)
    assert in_azure(house) == {"p0", "p1", "p3"}
    assert len([name for name in house.compute.snapshots if "-p3-" in name]) == 2
    assert (await states(house))["p3"] == "available"
    house.compute.in_use.clear()
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}


async def test_what_comes_into_use_after_the_decision_is_given_back_with_the_reason() -> None:
    house = await house_with(4)
    await house.functions["retention"](None)
    [message] = house.queues.receive(POINTS)
    await house._deliver(POINTS, message)
    assert (await states(house))["p3"] == "deleting"
    house.compute.in_use.add(snapshot_of("p3"))
    await house.settle(T0 + 60_000)
    record = (await house.points.get("p3")).record
    assert record.state is PointState.AVAILABLE
    assert record.why == "not deleted: sf-p3-g1-os: it is in use"
    assert in_azure(house) == {"p0", "p1", "p3"}


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("stillframe-saga", "another"),
        ("stillframe-policy", "weekly"),
        ("stillframe-run", ""),
        ("stillframe-generation", "2"),
    ],
)
async def test_what_does_not_carry_the_records_tags_is_not_deleted(tag: str, value: str) -> None:
    house = await house_with(4)
    house.compute.snapshots[snapshot_of("p3")].tags[tag] = value
    await retain(house)
    assert in_azure(house) == {"p0", "p1", "p3"}
    decided, _ = await house.app.retaining.preview("nightly", size=10)
    [last] = [each for each in decided[0].decisions if each.stored.record.point_id == "p3"]
    assert (last.verdict.keep, last.goes) == (False, False)
    assert tag in last.obstacles[0]


async def test_a_restore_point_of_another_generation_is_not_deleted_and_its_own_is() -> None:
    house = await house_with(2)
    mine, other = restore_point_id(VM, None, "rp1", 1), restore_point_id(VM, None, "rp2", 2)
    await seed(house, "rp1", 10, snapshots=(), resources=(mine,))
    await seed(house, "rp2", 11, snapshots=(), resources=(other,))
    await retain(house)
    assert mine not in house.compute.snapshots
    assert other in house.compute.snapshots


async def test_the_newest_good_one_stays_though_only_poor_ones_came_since() -> None:
    house = await house_with(0, retention={"keep_days": 3})
    for age in range(5):
        await seed(house, f"poor{age}", age, outcome=Outcome.DEGRADED)
    await seed(house, "good", 50, grade=Grade.APPLICATION)
    await seed(house, "better-forgotten", 60, grade=Grade.APPLICATION)
    await retain(house)
    assert in_azure(house) == {"poor0", "poor1", "poor2", "good"}


async def test_before_others_go_for_its_sake_the_newest_good_one_is_looked_for() -> None:
    house = await house_with(4, retention={"keep_last": 1})
    for disk in ("os", "lun0"):
        del house.compute.snapshots[snapshot_of("p0", disk)]  # by hand, and nobody knows it yet
    del house.compute.snapshots[snapshot_of("p1", "lun0")]
    await retain(house)
    assert {"p2"} <= in_azure(house)
    assert "p3" not in in_azure(house)
    found = await states(house)
    assert (found["p0"], found["p1"], found["p2"]) == ("missing", "missing", "available")
    assert "gone, and not deleted by Stillframe" in (await house.points.get("p1")).record.why


async def test_the_dry_run_says_what_then_happens_and_does_nothing() -> None:
    house = await house_with(5)
    await house.app.points.hold("p4", Hold(reason="audit", since=T0))
    house.compute.in_use.add(snapshot_of("p3"))
    before, mark = dict(house.compute.snapshots), house.queues._number
    [decided], place = await house.app.retaining.preview("nightly", size=10)
    assert (house.compute.snapshots, house.queues._number, place) == (before, mark, "")
    going = {each.stored.record.point_id for each in decided.decisions if each.goes}
    assert going == {"p2"}
    why = {each.stored.record.point_id: (each.verdict.why, each.obstacles) for each in decided.decisions}
    assert why["p2"] == (("2 newer good ones",), ())
    assert why["p3"] == (("3 newer good ones",), ("sf-p3-g1-os: it is in use",))
    assert why["p4"] == (("held: audit",), ())
    await retain(house)
    assert in_azure(house) == {"p0", "p1", "p2", "p3", "p4"} - going


async def test_many_vms_are_many_messages_and_many_points_of_a_vm_many_passes() -> None:
    house = House()
    vms = [vm_id(f"vm-{number:02}") for number in range(2 * PAGE + 1)]
    await house.app.policies.put("nightly", NIGHTLY | {"vms": vms}, None)
    for number, vm in enumerate(vms):
        for age in range(3):
            await seed(house, f"v{number}a{age}", age, vm=vm, snapshots=("os",))
    for age in range(10, 14 + MOST_AT_ONCE):
        await seed(house, f"old{age}", age, vm=vms[0], snapshots=("os",))
    await retain(house)
    tasks = [text for queue, text in house.delivered if queue == POINTS and '"retain"' in text]
    assert len(tasks) == 3
    stay = {f"v{number}a{age}" for number in range(len(vms)) for age in range(2)}
    assert in_azure(house) == stay | {"v0a2"} | {f"old{age}" for age in range(10, 14)}
    [of_first] = [
        each for each in (await house.app.retaining.preview("nightly", size=100))[0] if each.vm_id == vms[0]
    ]
    assert sum(each.goes for each in of_first.decisions) == 5
    await retain(house)
    assert in_azure(house) == stay


@pytest.mark.parametrize("when", When)
async def test_wherever_the_app_dies_retention_deletes_the_same_in_the_end(when: When) -> None:
    whole = await house_with(5)
    mark = len(whole.interruptions.seen)
    await retain(whole)
    for number in range(mark + 1, len(whole.interruptions.seen) + 1):
        house = await house_with(5, interruptions=Interruptions(number, when))
        for _ in range(2):  # a timer that died is not repeated: the next one comes
            try:
                await retain(house)
            except Exception:  # noqa: BLE001 - the host goes on after whatever a timer raised
                house._restart(RuntimeError("died in the timer"))
            house.clock.now += 3_600_000
        told = (number, house.interruptions.seen[number - 1])
        assert in_azure(house) == {"p0", "p1"}, told
        gone = dict.fromkeys(("p2", "p3", "p4"), "deleted")
        assert await states(house) == {"p0": "available", "p1": "available"} | gone, told


async def test_azure_that_asks_for_patience_is_asked_again_and_what_it_refuses_is_told() -> None:
    house = await house_with(3)
    house.compute.errors["delete"] = [Throttled("TooManyRequests", "later")]
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}

    house = await house_with(3)
    house.compute.errors["delete"] = [
        Denied("AuthorizationFailed", "no"),
        Denied("AuthorizationFailed", "no"),
    ]
    await retain(house)
    record = (await house.points.get("p2")).record
    assert record.state is PointState.DELETING
    assert "AuthorizationFailed: no" in record.why
    house.clock.now += 3_600_000
    await retain(house)
    assert in_azure(house) == {"p0", "p1"}


async def test_what_must_stay_though_nobody_wants_it_stands_in_nobodys_way() -> None:
    house = await house_with(4 + 2 * MOST_AT_ONCE)
    odd = [f"p{age}" for age in range(4, 4 + 2 * MOST_AT_ONCE)]  # the oldest
    for name in odd:
        house.compute.snapshots[snapshot_of(name)].tags["stillframe-run"] = "another"
    await retain(house)
    assert in_azure(house) == {"p0", "p1", *odd}


async def test_of_many_that_are_to_go_the_oldest_go_first_and_the_others_are_told_to_wait() -> None:
    house = await house_with(3 + MOST_AT_ONCE)
    [decided], _ = await house.app.retaining.preview("nightly", size=10)
    waiting = [each.stored.record.point_id for each in decided.decisions if each.obstacles == WAITING]
    assert waiting == ["p2"]
    assert sum(each.goes for each in decided.decisions) == MOST_AT_ONCE


async def test_a_vm_that_azure_does_not_tell_about_keeps_no_other_waiting_and_is_asked_again_later() -> None:
    house = House()
    vms = [vm_id(f"vm-{number:02}") for number in range(2 * PAGE + 1)]
    await house.app.policies.put("nightly", NIGHTLY | {"vms": vms}, None)
    for number, vm in enumerate(vms):
        for age in range(3):
            await seed(house, f"v{number}a{age}", age, vm=vm, snapshots=("os",))
    house.compute.errors["look_at"] = [Throttled("TooManyRequests", "later")] * 5
    await retain(house)
    tasks = [text for queue, text in house.delivered if queue == POINTS and '"retain"' in text]
    assert len(tasks) == 3
    assert len([name for name in in_azure(house) if name.endswith("a2")]) == 5
    await retain(house)
    assert not [name for name in in_azure(house) if name.endswith("a2")]


async def test_a_deletion_whose_message_is_lost_goes_on_with_a_later_pass() -> None:
    house = await house_with(3)
    await house.functions["retention"](None)
    [message] = house.queues.receive(POINTS)
    await house._deliver(POINTS, message)
    house.queues._queues[POINTS].clear()
    await retain(house)
    assert (await states(house))["p2"] == "deleting"
    house.clock.now += 3_600_000
    await retain(house)
    assert (await states(house))["p2"] == "deleted"


async def test_the_record_of_what_was_deleted_is_kept_for_ninety_days() -> None:
    house = await house_with(3)
    await retain(house)
    house.clock.now += TOMBSTONE_MS - 3_600_000
    await retain(house)
    assert (await house.points.get("p2")).record.state is PointState.DELETED
    house.clock.now += 2 * 3_600_000
    await retain(house)
    with pytest.raises(PointNotFound):
        await house.points.get("p2")


async def test_a_hold_that_comes_between_the_decision_and_the_deletion_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = await house_with(3)
    begin = house.app.retaining._deleting.begin

    async def too_late(stored: StoredPoint, why: str) -> StoredPoint:
        await house.app.points.hold(stored.record.point_id, Hold(reason="audit", since=T0))
        return await begin(stored, why)

    monkeypatch.setattr(type(house.app.retaining._deleting), "begin", lambda _self, *args: too_late(*args))
    await retain(house)
    assert in_azure(house) == {"p0", "p1", "p2"}
    assert (await states(house))["p2"] == "available"


async def test_a_point_that_changes_under_a_deletion_is_not_overwritten() -> None:
    house = await house_with(1)
    stored = await house.points.get("p0")
    await house.points.change(stored, replace(stored.record, hold=Hold(reason="audit", since=T0)))
    with pytest.raises(PointChanged):
        await house.app.retaining._deleting.begin(stored, "no reason")
