"""What was kept, looked at and listed in the simulator through the SDK."""

from dataclasses import replace

import pytest

from local.arm.faults import Fault
from local.arm.settings import SimSettings
from shared.compute.errors import Refused
from shared.compute.kept import Kept, Owner
from shared.saga.names import restore_point_id
from tests.integration.compute.conftest import SAGA, SNAPSHOTS, Azure, serving
from tests.integration.compute.test_region_copies import QUICK, follow, order
from tests.integration.compute.test_restore_points import facts_of, take

OWNER = Owner("nightly", "r1", SAGA, 1)


async def captured(azure: Azure) -> list[str]:
    captures = await azure.capture(await azure.targets())
    assert all(capture.captured for capture in captures)
    return [capture.snapshot_id for capture in captures]


def change(azure: Azure, snapshot_id: str, **changes: object) -> None:
    known = azure.world.resources.snapshots[snapshot_id.lower()]
    azure.world.resources.snapshots[snapshot_id.lower()] = replace(known, **changes)  # type: ignore[arg-type]


async def test_a_snapshot_is_seen_with_its_time_and_our_tags_alone(azure: Azure) -> None:
    [first, *_] = await captured(azure)
    change(azure, first, tags={**OWNER.tags(), "owner": "dba"})
    kept = await azure.compute.look_at(first)
    assert kept is not None
    assert (kept.resource_id.lower(), kept.tags, kept.in_use) == (first.lower(), OWNER.tags(), "")
    assert kept.created is not None
    assert kept.disagrees(OWNER) == ""
    assert "'nightly'" in kept.disagrees(replace(OWNER, policy="weekly"))
    assert await azure.compute.look_at(f"{first}-missing") is None


async def test_a_snapshot_that_somebody_may_be_reading_is_in_use_and_azure_would_not_delete_it(
    azure: Azure,
) -> None:
    [first, *_] = await captured(azure)
    change(azure, first, disk_state="ActiveSAS")
    kept = await azure.compute.look_at(first)
    assert kept is not None
    assert "ActiveSAS" in kept.in_use
    with pytest.raises(Refused):
        await azure.compute.delete(first, SAGA)
    change(azure, first, disk_state="Unattached")
    await azure.compute.delete(first, SAGA)
    assert await azure.compute.look_at(first) is None


async def test_a_group_is_listed_page_by_page_without_loss() -> None:
    async with serving(settings=SimSettings(capture_gap_s=0.0, page_size=2)) as azure:
        ids = await captured(azure)
        foreign = azure.world.resources.snapshots[ids[0].lower()]
        mine = replace(foreign, id=replace(foreign.id, path=("snapshots", "mine")), tags={"owner": "dba"})
        azure.world.resources.snapshots[mine.id.key] = mine
        subscription, found, marker, pages = ids[0].split("/")[2], [], "", 0
        while True:
            page, marker = await azure.compute.list_kept(subscription, SNAPSHOTS, marker)
            found += [kept.resource_id.lower() for kept in page]
            pages += 1
            if not marker:
                break
    assert sorted(found) == sorted(each.lower() for each in ids)
    assert pages == 3, "two of snapshots, one of restore points"


async def test_the_restore_points_of_a_group_are_listed_too_by_their_sagas() -> None:
    async with serving(settings=SimSettings(capture_gap_s=0.0, page_size=1)) as azure:
        facts = await facts_of(azure)
        _, report = await take(azure)
        await azure.compute.tag(report.point_id, OWNER.tags() | {"stillframe-grade": "crash"})
        found: list[Kept] = []
        marker = ""
        while True:
            group = report.point_id.split("/")[4]
            page, marker = await azure.compute.list_kept(facts.vm_id.split("/")[2], group, marker)
            found += page
            if not marker:
                break
    [kept] = found
    assert (kept.resource_id.lower(), kept.saga_id, kept.tags) == (report.point_id.lower(), SAGA, {})
    assert kept.vm_id.lower() == facts.vm_id.lower()
    assert kept.collection_tags == OWNER.tags() | {"stillframe-grade": "crash"}
    assert kept.created is not None
    assert kept.disagrees(OWNER) == ""
    assert "not sf-" in kept.disagrees(replace(OWNER, generation=2))


async def test_a_copy_from_another_region_is_told_from_its_source() -> None:
    async with serving(settings=QUICK) as azure:
        [first, *_] = await captured(azure)
        await follow(azure, [order(first)])
        page, _ = await azure.compute.list_kept(azure.world.subscription_id, SNAPSHOTS)
    copies = {kept.resource_id.rpartition("/")[2] for kept in page if kept.is_copy}
    assert copies == {order(first).copy.snapshot_id.rpartition("/")[2]}
    assert len(page) == 4


async def test_a_group_that_is_gone_has_nothing(azure: Azure) -> None:
    gone = {"error": {"code": "ResourceGroupNotFound", "message": "there is no such group"}}
    azure.fault(Fault(method="GET", path_contains="/snapshots", status=404, body=gone))
    assert await azure.compute.list_kept(azure.world.subscription_id, "no-such-group") == ((), "")


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.invalid/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/snapshots",
        "{door}@elsewhere.invalid/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/snapshots",
        "{door}/subscriptions/{s}/resourceGroups/other/providers/Microsoft.Compute/snapshots?$skiptoken=2",
        "{door}/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/disks",
        "disks",
        "not a link",
        "http://[",
    ],
)
async def test_a_page_that_lies_elsewhere_is_not_asked_for(azure: Azure, link: str) -> None:
    place = {
        "s": azure.world.subscription_id,
        "g": SNAPSHOTS,
        "door": azure.compute._pool.endpoint.rstrip("/"),
    }
    before = len(list(azure.world.journal.select()))
    with pytest.raises(Refused):
        await azure.compute.list_kept(place["s"], SNAPSHOTS, link.format(**place))
    assert len(list(azure.world.journal.select())) == before


async def test_a_restore_point_is_its_owners_by_its_name(azure: Azure) -> None:
    vm = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/{SAGA}"
    missing = restore_point_id(vm.replace("/s/", f"/{azure.world.subscription_id}/"), None, SAGA, 1)
    assert await azure.compute.look_at(missing) is None
