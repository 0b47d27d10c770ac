"""What of a saga comes into the catalogue, and when."""

from dataclasses import replace

import pytest

from shared.saga.state import Outcome, Phase, SnapshotCopy
from shared.storage.point_records import PointState
from shared.storage.points import Scope
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import T0, VM, House
from tests.unit.engine.interruptions import AppDied


async def test_the_catalogue_says_of_a_point_what_the_saga_and_the_snapshots_tags_say() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    [stored] = [point async for point in house.points.of_all()]
    record = stored.record
    assert (record.point_id, record.vm_id, record.run_id, record.policy) == (view["saga"], VM, run, "")
    assert (record.outcome, record.grade, record.generation) == ("succeeded", "application", 1)
    assert record.state is PointState.AVAILABLE
    assert record.freeze_window_ms == view["freeze_window_ms"]
    assert record.evidence_sha256 == view["evidence_sha256"]
    assert list(record.reasons) == view["reasons"]
    assert await house.points.evidence(record.point_id) == view["evidence"]
    snapshots = house.compute.snapshots
    assert set(record.resources) == set(snapshots)
    assert record.created == min(snapshot.time_created for snapshot in snapshots.values())
    assert T0 <= record.created <= record.recorded


async def test_a_saga_that_kept_nothing_has_no_point_but_its_group_is_looked_through_for_leftovers() -> None:
    house = House()
    house.compute.failing_disks.add("db-1-os")
    await house.ask(attempts=1)
    await house.settle()
    assert [point async for point in house.points.of_all()] == []
    assert [scope.resource_group for scope in await house.points.scopes()] == ["app"]


async def test_what_a_failed_saga_kept_is_in_the_catalogue_too_as_failed() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    state = (await house.sagas.load((await house.view(run))["saga"])).state
    odd = replace(
        state,
        spec=replace(state.spec, saga_id="poisoned"),
        outcome=Outcome.FAILED,
        grade=None,
        evidence=None,
        recovery_point=(SnapshotCopy("/subscriptions/s/resourceGroups/g/x/snapshots/a"),),
    )
    assert house.app.sweeping._catalogue is not None
    await house.app.sweeping._catalogue.saga_ended(odd)
    record = (await house.points.get("poisoned")).record
    assert (record.outcome, record.grade, record.created) == ("failed", "crash", state.ended_at)
    assert Scope("s", "g") in await house.points.scopes()


@pytest.mark.parametrize("lost", ["message", "nothing"])
async def test_an_end_that_is_not_in_the_catalogue_is_not_in_the_run_and_the_sweep_mends_both(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    run = await house.ask()
    transact, failing = house.tables.transact, [True]

    async def refusing(table, operations):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if table == "points" and failing[0]:
            raise AppDied(table)
        return await transact(table, operations)

    monkeypatch.setattr(house.tables, "transact", refusing)
    for _ in range(400):
        if not await house.work():
            house.clock.now = house._next_time() or house.clock.now
        view = await house.view(run)
        if view["phase"] == Phase.DONE and house.failures:
            break
    assert (await house.app.reading.run(run))["state"] == "running"
    failing[0] = False
    if lost == "message":
        for queue in house.functions:
            house.queues._queues[queue].clear()
    await house.settle()
    assert (await house.app.reading.run(run))["state"] == "ended"
    assert [point.record.run_id async for point in house.points.of_all()] == [run]


async def test_points_of_many_vms_are_listed_by_each() -> None:
    house = House()
    vms = [vm_id(f"db-{number}") for number in range(1, 4)]
    await house.ask(*vms)
    await house.settle()
    for vm in vms:
        assert [point.record.vm_id async for point in house.points.of_vms([vm])] == [vm]
