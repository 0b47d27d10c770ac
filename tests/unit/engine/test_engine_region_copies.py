"""Runs whose snapshots are copied to other regions, through the real triggers and use cases."""

from typing import Any

import pytest

from shared.policy.documents import read_run
from tests.unit.engine.house import SCRIPTS, VM, House
from tests.unit.engine.interruptions import Interruptions, When
from tests.unit.triggers.contract import faults

HOUR_MS = 3_600_000
REGIONS = [{"region": "northeurope"}, {"region": "swedencentral", "resource_group": "far-away"}]


async def ask(house: House, **snapshots: Any) -> str:
    document = {
        "vms": [VM],
        "guest_processing": SCRIPTS,
        "snapshots": {"copy_to": REGIONS, "tags": {"owner": "dba"}, **snapshots},
    }
    return await house.app.policies.start(read_run(document), "http", "")


async def test_every_snapshot_is_copied_to_every_region_and_the_copies_say_whose_they_are() -> None:
    house = House()
    house.compute.region_copy_ms = 2 * HOUR_MS
    run = await ask(house)
    await house.settle(until=house.clock() + HOUR_MS)
    view = await house.view(run)
    assert (view["phase"], view["outcome"], view["grade"]) == ("copying", None, "application")
    assert [copy["completion_percent"] for copy in view["copies"]] == [50.0] * 3 + [0.0] * 3
    assert faults("Vm", view) == []

    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["problem"]) == ("succeeded", None)
    assert [copy["completion_percent"] for copy in view["copies"]] == [100.0] * 6
    for copy in view["copies"]:
        tags = house.compute.snapshots[copy["snapshot"]].tags
        assert (tags["owner"], tags["stillframe-saga"], tags["stillframe-grade"]) == (
            "dba",
            view["saga"],
            "application",
        )
    assert len(house.compute.snapshots) == 9
    assert house.failures == []


async def test_a_region_that_refuses_is_a_warning_and_a_problem_of_a_run_that_succeeded() -> None:
    house = House()
    house.compute.closed_regions = {"northeurope"}
    run = await ask(house)
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["grade"], len(view["recovery_point"])) == ("succeeded", "application", 3)
    assert (view["problem"]["cause"], view["problem"]["code"]) == ("copy_failed", "denied")
    assert [warning["kind"] for warning in view["warnings"]] == ["copy"] * 3
    assert [copy["error"] for copy in view["copies"]] == ["denied"] * 3 + [None] * 3
    assert len(house.compute.snapshots) == 6
    assert faults("Vm", view) == []


async def test_copies_have_a_deadline_of_their_own() -> None:
    house = House()
    house.compute.region_copy_ms = 48 * HOUR_MS
    run = await ask(house, copy_timeout_ms=HOUR_MS)
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["problem"]["code"]) == ("succeeded", "copy_late")
    assert len(house.compute.snapshots) == 6, "those that go on are kept"


async def test_cancelling_while_copies_go_on_leaves_nothing() -> None:
    house = House()
    house.compute.region_copy_ms = 2 * HOUR_MS
    run = await ask(house)
    await house.settle(until=house.clock() + HOUR_MS)
    await house.app.runs.cancel(run)
    await house.settle()
    assert (await house.view(run))["outcome"] == "cancelled"
    assert house.compute.snapshots == {}


@pytest.mark.parametrize("when", When)
async def test_an_app_that_dies_at_any_operation_of_copying_makes_every_copy_once(when: When) -> None:
    whole = House()
    await ask(whole)
    await whole.settle()
    first = whole.interruptions.seen.index("copy to a region") + 1
    assert whole.interruptions.seen.count("copy to a region") == 2, "a region after the other"
    for number in range(first - 1, len(whole.interruptions.seen) + 1):
        house = House(Interruptions(number, when))
        run = await ask(house)
        await house.settle()
        view = await house.view(run)
        assert (view["outcome"], view["grade"]) == ("succeeded", "application"), number
        assert {copy["snapshot"] for copy in view["copies"]} < set(house.compute.snapshots), number
        assert len(house.compute.snapshots) == 9, number


async def test_the_catalogue_knows_the_copies_and_deletes_them_with_their_recovery_point() -> None:
    house = House()
    run = await ask(house)
    await house.settle()
    view = await house.view(run)
    stored = await house.points.get(view["saga"])
    assert list(stored.record.copies) == [copy["snapshot"] for copy in view["copies"]]
    await house.functions["reconciliation"](None)
    await house.settle(house.clock() + 60_000)
    assert await house.app.reconciling.findings(limit=10) == [], "a copy is no orphan"
    await house.app.points.delete(view["saga"], newest=True)
    await house.settle(house.clock() + 60_000)
    assert house.compute.snapshots == {}
