"""The catalogue rebuilt from what Azure still tells: as it was where that is known, and never by guessing."""

from dataclasses import replace
from typing import Any

import pytest

from shared.compute.kept import Kept
from shared.engine.rebuilding import HOLD_REASON, Action, Found
from shared.policy.documents import read_run
from shared.saga.names import restore_point_id
from shared.saga.state import Outcome
from shared.storage.point_records import Hold, PointRecord
from shared.storage.points import Scope
from tests.unit.engine.fake_compute import GROUP, Snapshot
from tests.unit.engine.house import DAY_MS, SCRIPTS, T0, VM, House
from tests.unit.engine.test_engine_retention import NIGHTLY, seed, snapshot_of, states

SCOPE = Scope(GROUP.split("/")[2], "app")


async def rebuilt(house: House, *, apply: bool = True, hold_until: int | None = None) -> list[Found]:
    found: list[Found] = []
    marker = ""
    while True:
        page, marker = await house.app.rebuilding.page(
            SCOPE, apply=apply, hold_until=hold_until, marker=marker
        )
        found += page
        if not marker:
            return found


async def all_points(house: House) -> list[PointRecord]:
    return [point.record async for point in house.points.of_all()]


async def with_points(runs: int = 2) -> tuple[House, list[PointRecord]]:
    """Make recovery points as the app makes them, a day apart."""
    house = House()
    await house.app.policies.put("nightly", NIGHTLY | {"guest_processing": SCRIPTS}, None)
    for _ in range(runs):
        house.guests.clear()  # each run has an agent of its own
        await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
        await house.settle()
        house.clock.now += DAY_MS
    made = await all_points(house)
    assert len(made) == runs
    return house, made


def lose(house: House, *tables: str) -> None:
    """Lose tables; the app goes on with what it remembers of scopes, and forgets sagas."""
    for table in tables:
        house.tables._tables.pop(table, None)
    house.app = house.another_instance()


async def test_what_tags_tell_of_a_point_is_rebuilt_and_what_they_cannot_is_said() -> None:
    house, before = await with_points()
    lose(house, "points", "sagas")
    shown = await rebuilt(house, apply=False)
    assert {each.action for each in shown} == {Action.CREATE}
    assert await all_points(house) == []

    await rebuilt(house)
    after = await all_points(house)
    for was, now in zip(before, after, strict=True):
        known = ("point_id", "vm_id", "policy", "run_id", "generation", "outcome", "grade", "created")
        more = ("freeze_window_ms", "evidence_sha256", "warnings", "copies", "state")
        for name in (*known, *more):
            assert getattr(now, name) == getattr(was, name), name
        assert set(now.resources) == set(was.resources)
        assert (now.rebuilt, now.lacking) == (True, ())
        assert now.hold == Hold(reason=HOLD_REASON, since=house.clock())
        assert "evidence and the reasons for its grade are lost" in now.reasons[0]
        assert await house.points.evidence(now.point_id) is None
    assert {each.action for each in await rebuilt(house)} == {Action.KNOWN}
    assert await all_points(house) == after
    assert await house.points.scopes() == [SCOPE]


async def test_where_the_saga_is_known_the_record_is_as_it_was_with_its_evidence() -> None:
    house, before = await with_points()
    evidence = await house.points.evidence(before[0].point_id)
    lose(house, "points")
    await rebuilt(house)
    assert await all_points(house) == before
    assert await house.points.evidence(before[0].point_id) == evidence


async def test_a_record_that_is_there_is_never_overwritten() -> None:
    house, before = await with_points()
    stored = await house.points.get(before[0].point_id)
    await house.points.change(stored, replace(stored.record, hold=Hold(reason="audit", since=T0)))
    kept = await all_points(house)
    lose(house, "sagas")
    assert {each.action for each in await rebuilt(house)} == {Action.KNOWN}
    assert await all_points(house) == kept


async def test_a_point_of_which_a_snapshot_is_gone_is_rebuilt_as_lacking_and_is_not_good() -> None:
    house, [before] = await with_points(1)
    gone = next(each for each in before.resources if each.endswith("-1"))
    del house.compute.snapshots[gone]
    lose(house, "points", "sagas")
    await rebuilt(house)
    [after] = await all_points(house)
    assert after.lacking == ("1",)
    assert set(after.resources) == set(before.resources) - {gone}


async def test_retention_takes_nothing_because_records_came_back() -> None:
    house, before = await with_points(4)
    lose(house, "points", "sagas")
    old = [await seed(house, f"older{age}", age) for age in (20, 21)]
    until = house.clock() + DAY_MS
    await rebuilt(house, hold_until=until)
    await house.app.retaining.begin_for("nightly")
    await house.settle()
    there = await states(house)
    assert {there[each.point_id] for each in (*before, *old)} == {"available"}

    house.clock.now = until + 1  # the hold has ended: from now on they are points as all others
    await house.app.retaining.begin_for("nightly")
    await house.settle()
    there = await states(house)
    assert [there[each.point_id] for each in before] == ["available", "available", "deleted", "deleted"]
    assert {there[each.point_id] for each in old} == {"deleted"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"stillframe-grade": ""}, "never graded"),
        ({"stillframe-vm": ""}, "no tag says whose disks"),
        ({"stillframe-vm": "a/b"}, "no tag says whose disks"),
        ({"stillframe-policy": "No Policy!"}, "a policy that there cannot be"),
        ({"stillframe-saga": "no/such\\saga?#"}, "a saga that there cannot be"),
    ],
)
async def test_no_record_is_made_of_tags_that_do_not_say_enough(changed: dict[str, str], why: str) -> None:
    house, _ = await with_points(1)
    lose(house, "points", "sagas")
    for snapshot in house.compute.snapshots.values():
        snapshot.tags |= changed
    found = await rebuilt(house)
    assert {each.action for each in found} == {Action.SKIP}
    assert all(why in each.why for each in found)
    assert await all_points(house) == []


async def test_numbers_and_words_that_strangers_wrote_into_tags_do_no_harm() -> None:
    house, [before] = await with_points(1)
    lose(house, "points", "sagas")
    odd: dict[str, str] = {
        "stillframe-warnings": "many",
        "stillframe-freeze-window-ms": "-3",
        "stillframe-evidence": "<script>",
        "stillframe-outcome": "perfect",
        "stillframe-grade": "platinum",
        "stillframe-run": "../..",
    }
    for snapshot in house.compute.snapshots.values():
        snapshot.tags |= odd
    await rebuilt(house)
    [after] = await all_points(house)
    assert (after.warnings, after.freeze_window_ms, after.evidence_sha256) == (0, None, "")
    assert (after.outcome, after.grade.value, after.run_id) == (Outcome.DEGRADED, "crash", "")
    assert after.point_id == before.point_id


async def test_what_a_failed_generation_left_is_no_part_of_the_point() -> None:
    house, [before] = await with_points(1)
    lose(house, "points", "sagas")
    like = before.resources[0]
    older = like.replace("-g1-", "-g0-")
    tags = {**house.compute.snapshots[like].tags, "stillframe-generation": "0"}
    del tags["stillframe-grade"]
    house.compute.snapshots[older] = Snapshot(T0, tags, held=False)
    await rebuilt(house)
    [after] = await all_points(house)
    assert set(after.resources) == set(before.resources)


async def test_a_saga_that_goes_on_and_one_that_kept_nothing_get_no_record() -> None:
    house = House()
    await house.ask()
    while not house.compute.snapshots:
        assert await house.work()
    assert {(each.action, each.why) for each in await rebuilt(house)} == {(Action.SKIP, "its saga goes on")}
    await house.settle()
    assert len(await all_points(house)) == 1


async def test_what_is_left_of_a_saga_that_kept_nothing_gets_no_record() -> None:
    house = House()
    house.compute.failing_disks.add("db-1-os")
    run = await house.ask(attempts=1)
    await house.settle()
    tags = {"stillframe-saga": (await house.view(run))["saga"], "stillframe-grade": "crash"}
    house.compute.snapshots[snapshot_of("left")] = Snapshot(T0, tags, held=False)
    assert {each.why for each in await rebuilt(house)} == {"its saga ended as failed without it"}
    assert await all_points(house) == []


class Listed:
    """Lists what a test says."""

    def __init__(self, *kept: Kept) -> None:
        self.kept = kept

    async def list_kept(self, *_: Any) -> tuple[tuple[Kept, ...], str]:
        return self.kept, ""


def point_of(saga: str, tags: dict[str, str]) -> Kept:
    made = restore_point_id(VM, "app", saga, 2)
    return Kept(resource_id=made, tags={}, created=T0 - DAY_MS, vm_id=VM, collection_tags=tags)


async def test_of_restore_points_the_collection_tells_of_the_newest_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, newest, older = House(), "a" * 20, "b" * 20
    tags = {
        "stillframe-saga": newest,
        "stillframe-generation": "2",
        "stillframe-policy": "nightly",
        "stillframe-grade": "application",
        "stillframe-outcome": "succeeded",
    }
    listed = Listed(point_of(newest, tags), point_of(older, tags))
    monkeypatch.setattr(house.app.rebuilding, "_compute", listed)
    await rebuilt(house)
    found = {each.point_id: each for each in await all_points(house)}
    assert (found[newest].grade.value, found[newest].policy) == ("application", "nightly")
    assert (found[older].grade.value, found[older].policy) == ("crash", "")
    assert "not known" in found[older].reasons[1]
    assert {each.vm_id for each in found.values()} == {VM}


async def test_copies_in_another_region_are_joined_to_their_point(monkeypatch: pytest.MonkeyPatch) -> None:
    house, [before] = await with_points(1)
    mine = [await house.compute.look_at(each) for each in before.resources]
    originals = [each for each in mine if each is not None]
    lose(house, "points", "sagas")
    copies = [
        replace(each, resource_id=each.resource_id.replace("/sf-", "/sf-northeurope-"), is_copy=True)
        for each in originals
    ]
    monkeypatch.setattr(house.app.rebuilding, "_compute", Listed(*copies))
    await rebuilt(house)
    [there] = await all_points(house)
    assert (there.resources, len(there.copies), there.lacking) == ((), 3, ("os", "0", "1"))
    monkeypatch.setattr(house.app.rebuilding, "_compute", Listed(*originals))
    assert [each.action for each in await rebuilt(house)] == [Action.EXTEND]
    [there] = await all_points(house)
    assert (set(there.resources), len(there.copies), there.lacking) == (set(before.resources), 3, ())
