"""Stored policies and their schedules."""

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.engine.due import DueRuns
from shared.engine.times import next_time
from shared.policy.documents import RunDocument, read_run
from shared.policy.fields import DocumentError
from shared.policy.schedules import Schedule
from shared.storage.errors import IdempotencyMismatch, PolicyChanged, PolicyNotFound
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import T0, VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

HOUR_MS = 3_600_000
HOURLY = {"vms": [VM], "schedule": {"cron": "0 * * * *"}, "guest_processing": {"enabled": False}}
#: The first full hour after ``T0``, which is 2027-01-15 08:00 UTC.
DUE = T0 + HOUR_MS


async def with_policies(*names: str, document: dict[str, Any] = HOURLY) -> House:
    house = House()
    for name in names or ("hourly",):
        await house.app.policies.put(name, document, None)
    return house


async def test_a_policy_runs_when_its_time_has_come_and_not_before() -> None:
    house = await with_policies()
    house.clock.now = DUE - 1
    assert await house.app.policies.start_due() == []
    house.clock.now = DUE
    [run] = await house.app.policies.start_due()
    assert await house.app.policies.start_due() == []
    record = await house.runs.get(run)
    assert (record.policy_name, record.requested_by, record.vm_count) == ("hourly", "schedule", 1)
    assert await house.policies.next_due("hourly") == DUE + HOUR_MS


async def test_its_run_goes_through() -> None:
    house = await with_policies()
    house.clock.now = DUE
    [run] = await house.app.policies.start_due()
    await house.settle()
    view = await house.app.reading.run(run)
    assert (view["policy"], view["vms"][0]["outcome"]) == ("hourly", "succeeded")


async def test_two_instances_that_see_it_due_at_once_start_one_run() -> None:
    house = await with_policies()
    house.clock.now = DUE
    one, other = house.another_instance(), house.another_instance()
    first, second = await asyncio.gather(one.policies.start_due(), other.policies.start_due())
    assert len(set(first + second)) == 1
    assert await house.policies.next_due("hourly") == DUE + HOUR_MS
    await house.settle()
    assert len(house.compute.snapshots) == 3


async def test_one_that_was_missed_several_times_runs_once() -> None:
    house = await with_policies()
    house.clock.now = DUE + 5 * HOUR_MS + 7
    assert len(await house.app.policies.start_due()) == 1
    assert await house.app.policies.start_due() == []
    assert await house.policies.next_due("hourly") == DUE + 6 * HOUR_MS


@pytest.mark.parametrize("when", When)
async def test_it_runs_once_even_if_the_app_dies_at_any_point_of_starting_it(when: When) -> None:
    for number in range(1, 20):
        house = await with_policies()
        house.clock.now = DUE
        house.interruptions = house.tables._interruptions = house.queues._interruptions = Interruptions(
            number, when
        )
        try:
            await house.app.policies.start_due()
        except AppDied:
            house.interruptions.revive()
            house.app = house.another_instance()
            house.clock.now += 60_000
            assert len(await house.app.policies.start_due()) <= 1
        await house.settle()
        runs = {name for name, row in house.tables._tables["runs"] if row == "run"}
        assert len(runs) == 1, (number, house.interruptions.seen)
        [run] = runs
        assert (await house.app.reading.run(run))["vms"][0]["outcome"] == "succeeded"


async def test_a_policy_changed_between_two_instances_starting_it_runs_once() -> None:
    house = await with_policies()
    house.clock.now = DUE
    dues = [due async for due in house.policies.due(DUE)]
    [run] = await house.app.policies.start_due()
    await house.app.policies.put("hourly", {**HOURLY, "vms": [vm_id("db-2")]}, None)
    # An instance that had read the list of due ones before goes on only now.
    [due] = dues
    other = DueRuns(house.policies, house.app.runs, house.clock)
    assert await other.take(due, house.clock()) == run


async def test_a_policy_that_cannot_be_read_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await with_policies("a", "b", "c")
    await house.policies.put("a", {"vms": "of an older version"}, dues={"default": DUE})
    house.clock.now = DUE
    runs = await house.app.policies.start_due()
    names = [(await house.runs.get(run)).policy_name for run in runs]
    assert names == ["b", "c"]
    assert "policy a: no run by schedule default: vms: " in caplog.text


async def test_a_policy_removed_meanwhile_does_not_run() -> None:
    house = await with_policies()
    house.clock.now = DUE
    await house.app.policies.delete("hourly", None)
    assert await house.app.policies.start_due() == []


async def test_no_users_key_can_stand_in_for_a_scheduled_run() -> None:
    house = await with_policies()
    for key in (f"schedule hourly {DUE}", f"schedule\thourly\t{DUE}"):
        await house.app.policies.start(read_run({"vms": [vm_id("db-9")]}), "http", key)
    house.clock.now = DUE
    [run] = await house.app.policies.start_due()
    assert (await house.runs.get(run)).policy_name == "hourly"


async def test_a_policy_without_a_schedule_is_never_due() -> None:
    house = await with_policies(document={"vms": [VM]})
    house.clock.now = DUE + 1_000 * HOUR_MS
    assert await house.app.policies.start_due() == []


async def test_a_bad_policy_is_not_stored() -> None:
    house = await with_policies()
    bad = {"vms": [VM], "schedule": {"cron": "61 * * * *"}}
    with pytest.raises(DocumentError) as caught:
        await house.app.policies.put("hourly", bad, None)
    assert caught.value.field == "schedule.cron"
    assert (await house.app.policies.get("hourly")).document == HOURLY
    assert await house.policies.next_due("hourly") == DUE


async def test_a_policy_can_be_guarded_against_other_writers() -> None:
    house = await with_policies()
    etag = (await house.app.policies.get("hourly")).etag
    stored = await house.app.policies.put("hourly", HOURLY, etag)
    with pytest.raises(PolicyChanged):
        await house.app.policies.put("hourly", HOURLY, etag)
    with pytest.raises(PolicyChanged):
        await house.app.policies.delete("hourly", etag)
    await house.app.policies.delete("hourly", stored.etag)
    with pytest.raises(PolicyNotFound):
        await house.app.policies.get("hourly")


async def test_a_run_of_a_policy_may_name_some_of_its_vms_and_no_others() -> None:
    house = await with_policies(document={"vms": [VM, vm_id("db-2")]})
    run = await house.app.policies.start(RunDocument(policy="hourly", vms=(VM.upper(),)), "http", "")
    assert (await house.runs.get(run)).vm_count == 1
    with pytest.raises(DocumentError) as caught:
        await house.app.policies.start(
            RunDocument(policy="hourly", vms=(VM, vm_id("db-3"))), "http", "another"
        )
    assert caught.value.field == "vms[1]"


async def test_a_run_of_an_unknown_policy_is_refused_and_claims_no_key() -> None:
    house = await with_policies()
    with pytest.raises(PolicyNotFound):
        await house.app.policies.start(RunDocument(policy="nobody"), "http", "k")
    run = await house.app.policies.start(RunDocument(policy="hourly"), "http", "k")
    with pytest.raises(IdempotencyMismatch):
        await house.app.policies.start(RunDocument(policy="hourly", vms=(VM,)), "http", "k")
    assert await house.app.policies.start(RunDocument(policy="hourly"), "http", "k") == run


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize(
    ("cron", "zone", "now", "then"),
    [
        ("0 2 * * *", "UTC", "2026-05-01T01:59:59", "2026-05-01T02:00:00"),
        ("0 2 * * *", "UTC", "2026-05-01T02:00:00", "2026-05-02T02:00:00"),
        ("*/15 * * * *", "UTC", "2026-05-01T02:00:01", "2026-05-01T02:15:00"),
        ("30 22 * * 1-5", "UTC", "2026-05-01T23:00:00", "2026-05-04T22:30:00"),
        ("30 22 * * MON", "UTC", "2026-05-01T23:00:00", "2026-05-04T22:30:00"),
        ("0 0 1 * *", "UTC", "2026-05-01T00:00:00", "2026-06-01T00:00:00"),
        ("0 0 L * *", "UTC", "2026-02-10T00:00:00", "2026-02-28T00:00:00"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 2 * * *", BERLIN, "2026-05-01T01:00:00", "2026-05-01T02:00:00"),
        ("0 2 * * *", "Asia/Kolkata", "2026-05-01T01:00:00", "2026-05-01T02:00:00"),
    ],
)
def test_the_next_time_is_the_one_that_the_zones_clock_shows(
    cron: str, zone: str, now: str, then: str
) -> None:
    assert next_time(Schedule(cron=cron, time_zone=zone), at(now, zone)) == at(then, zone)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "then_utc"),
    [
        # 2026-03-29 02:00-03:00 does not exist in Berlin: it comes right after.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("30 2 * * *", BERLIN, "2026-03-29T01:00:00", "2026-03-30T00:30:00"),
        # 2026-10-25 02:00-03:00 comes twice in Berlin: once is enough.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", BERLIN, "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("30 2 * * *", NEW_YORK, "2026-03-08T06:00:00", "2026-03-08T07:00:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01T05:30:00", "2026-11-02T06:30:00"),
        # Every hour is every hour, twice or not.
        ("0 * * * *", BERLIN, "2026-10-25T00:00:00", "2026-10-25T01:00:00"),
        ("0 3 * * *", BERLIN, "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
    ],
)
def test_daylight_saving_leaves_no_time_out_and_none_comes_twice(
    cron: str, zone: str, now: str, then_utc: str
) -> None:
    assert next_time(Schedule(cron=cron, time_zone=zone), at(now)) == at(then_utc)


@pytest.mark.parametrize(
    "cron",
    ["61 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 9", "*/0 * * * *", "5-1 * * * *",
     "a b c d e", "0 0 31 2 *", "0 0 30 2 *", "- - - - -", "1,,2 * * * *"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_refused_by_its_field(cron: str) -> None:
    with pytest.raises(DocumentError) as caught:
        next_time(Schedule(cron=cron), T0)
    assert caught.value.field == "schedule.cron"


@pytest.mark.parametrize(
    "zone",
    ["Berlin", "europe", "Europe", "../UTC", "/etc/passwd", "UTC\0", "Mars/Base", "+02:00", "tzdata.zi"],
)
def test_what_is_no_time_zone_is_refused_by_its_field(zone: str) -> None:
    with pytest.raises(DocumentError) as caught:
        next_time(Schedule(cron="0 0 * * *", time_zone=zone), T0)
    assert caught.value.field == "schedule.time_zone"
