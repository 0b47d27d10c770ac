"""Records against Azure, both ways: what is found, what is mended, and that nothing is deleted by that."""

import json
from dataclasses import replace

import azure.functions as func
import pytest

from shared.compute.errors import Throttled
from shared.engine.queue_names import POINTS, BadMessageError, PointMessage, PointTask
from shared.engine.reconciling import PAGE, YOUNG_MS, NotAnOrphan
from shared.engine.views import moment
from shared.saga.state import Outcome
from shared.storage.errors import FindingNotFound
from shared.storage.findings import Finding, FindingKind
from shared.storage.point_records import PointState
from shared.storage.points import Scope
from tests.unit.engine.fake_compute import GROUP, Snapshot
from tests.unit.engine.house import DAY_MS, T0, VM, House
from tests.unit.engine.test_engine_retention import seed, snapshot_of, states

SUBSCRIPTION = GROUP.split("/")[2]


async def house_with(count: int) -> House:
    house = House()
    await house.points.note_scopes([Scope(SUBSCRIPTION, "app")])
    for age in range(count):
        await seed(house, f"p{age}", age)
    return house


async def reconcile(house: House) -> list[Finding]:
    await house.functions["reconciliation"](None)
    await house.settle(house.clock() + 60_000)
    return await house.app.reconciling.findings(limit=1_000)


def told(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(each.kind.value, each.resource_id.rpartition("/")[2]) for each in findings}


def stray(house: House, name: str, saga: str, made: int = T0 - DAY_MS) -> str:
    resource = snapshot_of(name)
    tags = {"stillframe-saga": saga, "stillframe-policy": "nightly"}
    house.compute.snapshots[resource] = Snapshot(made, tags, held=False)
    return resource


async def test_where_all_agrees_nothing_is_found() -> None:
    house = await house_with(PAGE + 3)
    before = dict(house.compute.snapshots)
    assert await reconcile(house) == []
    assert house.compute.snapshots == before
    lists = [text for queue, text in house.delivered if queue == POINTS and '"list"' in text]
    looks = [text for queue, text in house.delivered if queue == POINTS and '"look"' in text]
    assert (len(lists), len(looks)) == (PAGE + 3, 2)  # two snapshots a page of the list


async def test_what_was_found_is_shown_by_health_which_stays_healthy() -> None:
    house = await house_with(2)
    request = func.HttpRequest(method="GET", url="/api/health", body=b"")
    before = json.loads((await house.functions["health"](request)).get_body())
    assert (before["findings"]["count"], before["findings"]["oldest"]) == (0, None)
    del house.compute.snapshots[snapshot_of("p0")]
    await reconcile(house)
    first_seen = moment(house.clock())
    house.clock.now += DAY_MS
    stray(house, "left", "f" * 20)
    found = {finding.kind: finding for finding in await reconcile(house)}
    answer = await house.functions["health"](request)
    document = json.loads(answer.get_body())

    assert (answer.status_code, document["status"], document["problems"]) == (200, "healthy", [])
    assert document["findings"]["kinds"] == {"orphan": 1, "missing": 1, "mismatch": 0}
    assert document["findings"]["oldest"]["finding"] == found[FindingKind.MISSING].finding_id
    since = document["findings"]["oldest"]["first_seen"]
    assert since <= first_seen
    told = f"records and Azure do not agree: 2 findings of reconciliation, the oldest since {since}"
    assert document["attention"] == [told]
    assert document["findings"]["begun_at"] == moment((await house.app.reconciling.passes()).last)


async def test_a_point_that_azure_does_not_tell_about_keeps_no_other_from_being_compared() -> None:
    house = await house_with(PAGE + 3)
    for age in (0, PAGE + 1):
        del house.compute.snapshots[snapshot_of(f"p{age}")]
    house.compute.errors["look_at"] = [Throttled("TooManyRequests", "later")] * 2
    house.compute.errors["list_kept"] = [Throttled("TooManyRequests", "later")]
    await reconcile(house)
    looks = [text for queue, text in house.delivered if queue == POINTS and '"look"' in text]
    assert len(looks) == 2
    assert (await states(house))[f"p{PAGE + 1}"] == "missing"


async def test_a_snapshot_that_no_record_names_is_an_orphan_and_stays_until_somebody_decides() -> None:
    house = await house_with(2)
    orphan = stray(house, "stranger", "0123456789abcdef0123")
    generation = orphan.replace("stranger", "p0-again")
    house.compute.snapshots[generation] = Snapshot(T0, {"stillframe-saga": "p0"}, held=False)
    odd = stray(house, "odd", "no/such\\saga?#")
    found = await reconcile(house)
    assert told(found) == {("orphan", each.rpartition("/")[2]) for each in (orphan, generation, odd)}
    assert {orphan, generation, odd} <= set(house.compute.snapshots)
    assert {each.detail for each in found} == {
        "no record and no saga of that id are known; if records were lost, rebuild them first",
        "the recovery point p0 is made of others (generation 1)",
        "its tag names a saga that there cannot be",
    }


async def test_what_has_no_tags_of_ours_is_nobodys_business() -> None:
    house = await house_with(1)
    house.compute.snapshots[snapshot_of("mine")] = Snapshot(T0 - DAY_MS, {"owner": "dba"}, held=False)
    house.compute.snapshots[snapshot_of("half")] = Snapshot(
        T0 - DAY_MS, {"stillframe-policy": "x"}, held=False
    )
    assert await reconcile(house) == []


async def test_what_was_made_just_now_or_by_a_saga_that_goes_on_is_no_orphan() -> None:
    house = await house_with(0)
    house.compute.copied_percent = 50.0
    await house.ask()
    await house.settle(T0 + 30_000)
    assert len(house.compute.snapshots) == 3
    stray(house, "young", "nobody", house.clock() - YOUNG_MS + 60_000)
    assert await reconcile(house) == []


async def test_what_a_saga_left_behind_is_an_orphan() -> None:
    house = await house_with(0)
    run = await house.ask()
    await house.settle()
    saga = (await house.view(run))["saga"]
    await house.points.forget(await house.points.get(saga))
    stored = await house.sagas.load(saga)
    left = replace(stored.state, recovery_point=(), outcome=Outcome.FAILED)
    await house.sagas.save(stored, left, cause="test", outbox=(), history=())
    found = await reconcile(house)
    assert {each.detail for each in found} == {"left behind: its saga ended as failed without it"}
    assert len(found) == 3


async def test_a_recovery_point_that_was_never_recorded_is_recorded() -> None:
    house = await house_with(0)
    run = await house.ask()
    await house.settle()
    saga = (await house.view(run))["saga"]
    before = await house.points.get(saga)
    await house.points.forget(before)
    assert await reconcile(house) == []
    assert (await house.points.get(saga)).record == before.record


async def test_a_record_whose_snapshots_are_gone_says_so_and_says_when_they_are_back() -> None:
    house = await house_with(2)
    lost = snapshot_of("p1", "lun0")
    kept = house.compute.snapshots.pop(lost)
    assert told(await reconcile(house)) == {("missing", "sf-p1-g1-lun0")}
    record = (await house.points.get("p1")).record
    assert (record.state, record.missing) == (PointState.MISSING, (lost,))
    assert record.why == "gone, and not deleted by Stillframe: sf-p1-g1-lun0"

    house.compute.snapshots[lost] = kept
    house.clock.now += DAY_MS
    await reconcile(house)
    record = (await house.points.get("p1")).record
    assert (record.state, record.missing) == (PointState.AVAILABLE, ())
    house.clock.now += DAY_MS
    assert await reconcile(house) == [], "what the comparison before did not see is closed"


async def test_tags_that_are_not_the_records_are_told() -> None:
    house = await house_with(1)
    house.compute.snapshots[snapshot_of("p0")].tags["stillframe-policy"] = "weekly"
    [found] = await reconcile(house)
    assert (found.kind, found.point_id, found.policy) == (FindingKind.MISMATCH, "p0", "nightly")
    assert "'weekly'" in found.detail


async def test_a_finding_keeps_the_time_of_its_first_sight() -> None:
    house = await house_with(0)
    stray(house, "stranger", "nobody")
    [first] = await reconcile(house)
    house.clock.now += DAY_MS
    [again] = await reconcile(house)
    assert (again.first_seen, again.last_seen) == (first.first_seen, first.last_seen + DAY_MS)


async def test_what_the_record_says_to_be_deleted_and_is_there_is_an_orphan() -> None:
    house = await house_with(2)
    back = dict(house.compute.snapshots)
    await house.app.points.delete("p1")
    await house.settle(T0 + 60_000)
    house.compute.snapshots.update(back)
    assert told(await reconcile(house)) == {("orphan", "sf-p1-g1-os"), ("orphan", "sf-p1-g1-lun0")}


async def test_a_deletion_that_lost_its_message_goes_on_though_there_is_no_policy() -> None:
    house = await house_with(2)
    await house.app.points.delete("p1")
    house.queues._queues[POINTS].clear()
    house.clock.now += 3_600_000
    await reconcile(house)
    assert (await states(house, VM))["p1"] == "deleted"


async def test_an_orphan_is_deleted_by_who_says_so_and_nothing_else_is() -> None:
    house = await house_with(2)
    stray(house, "stranger", "nobody")
    del house.compute.snapshots[snapshot_of("p1", "lun0")]
    for finding in await reconcile(house):
        if finding.kind is FindingKind.ORPHAN:
            await house.app.reconciling.delete_orphan(finding.finding_id)
        else:
            with pytest.raises(NotAnOrphan):
                await house.app.reconciling.delete_orphan(finding.finding_id)
    assert snapshot_of("stranger") not in house.compute.snapshots
    assert snapshot_of("p1") in house.compute.snapshots
    with pytest.raises(FindingNotFound):
        await house.app.reconciling.delete_orphan("0" * 20)


async def test_an_orphan_that_is_in_use_or_became_somebodys_is_not_deleted() -> None:
    house = await house_with(0)
    used, tagged = stray(house, "used", "nobody"), stray(house, "tagged", "another")
    found = {each.resource_id: each.finding_id for each in await reconcile(house)}
    house.compute.in_use.add(used)
    await seed(house, "p9", 1)
    house.compute.snapshots[tagged].tags["stillframe-saga"] = "p9"
    for resource in (used, tagged):
        with pytest.raises(NotAnOrphan):
            await house.app.reconciling.delete_orphan(found[resource])
        assert resource in house.compute.snapshots


@pytest.mark.parametrize("subject", ["nowhere", "/group", "subscription/"])
async def test_a_message_that_names_no_resource_group_is_none(subject: str) -> None:
    with pytest.raises(BadMessageError):
        await House().app.point_tasks.take(PointMessage(PointTask.LIST, subject))
