"""Runs over some of a VM's disks, through the real triggers and use cases."""

from typing import Any

from shared.engine.run_settings import read_settings
from shared.policy.disks import ALL_DISKS
from shared.policy.documents import read_run
from shared.policy.snapshots import MOST_BESIDE_SHAPE, MOST_TAGS
from tests.unit.engine.house import SCRIPTS, VM, House


async def ended(house: House, **document: Any) -> dict[str, Any]:
    asked = read_run({"vms": [VM], "guest_processing": SCRIPTS, **document})
    run = await house.app.policies.start(asked, "http", "")
    await house.settle()
    assert house.failures == []
    return await house.view(run)


async def test_what_is_left_out_is_in_the_view_and_on_every_snapshot() -> None:
    house = House()
    view = await ended(house, disks={"exclude": [{"luns": [1]}]}, snapshots={"name": "%diskName%"})

    assert (view["outcome"], view["grade"]) == ("succeeded", "application")
    names = [each["snapshot"].rpartition("/")[2] for each in view["recovery_point"]]
    end = f"-{view['saga']}-g1-"
    assert names == [f"db-1-os{end}os", f"db-1-data-0{end}0"]
    [out] = view["left_out"]
    assert (out["name"], out["lun"], out["why"]) == ("db-1-data-1", 1, "disks.exclude names it")
    assert any("db-1-data-1" in reason for reason in view["reasons"])
    assert {each.tags["stillframe-left-out"] for each in house.compute.snapshots.values()} == {"1"}


async def test_a_stored_policy_selects_as_a_request_does() -> None:
    house = House()
    policy = {"vms": [VM], "guest_processing": SCRIPTS, "disks": {"include": [{"kinds": ["data"]}]}}
    await house.app.policies.put("data-only", policy, None)
    run = await house.app.policies.start(read_run({"policy": "data-only"}), "http", "")
    await house.settle()
    view = await house.view(run)
    assert len(view["recovery_point"]) == 2
    assert [out["lun"] for out in view["left_out"]] == [None]


async def test_a_selection_of_nothing_makes_nothing_and_touches_no_guest() -> None:
    house = House()
    view = await ended(house, disks={"include": [{"names": ["none-such"]}]})
    assert (view["outcome"], view["problem"]["cause"]) == ("failed", "nothing_selected")
    assert len(view["left_out"]) == 3
    assert house.compute.snapshots == {}
    assert house.compute.bootstraps == []


async def test_a_run_that_an_earlier_version_wrote_means_all_disks() -> None:
    house = House()
    run = await house.ask()
    record = await house.runs.get(run)
    del record.settings["disks"]
    assert read_settings(record).disks == ALL_DISKS


async def test_with_many_tags_of_the_operator_a_snapshot_has_no_more_than_azure_takes() -> None:
    for count, told in ((MOST_BESIDE_SHAPE, True), (MOST_TAGS, False)):
        house = House()
        many = {f"tag{number}": "x" for number in range(count)}
        await ended(house, snapshots={"tags": many})
        assert house.compute.snapshots
        for snapshot in house.compute.snapshots.values():
            assert many.items() <= snapshot.tags.items()
            assert len(snapshot.tags) <= 50
            assert ("stillframe-restore" in snapshot.tags) is told
