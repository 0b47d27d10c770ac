"""Several schedules of a policy: each by itself, late, missed, blacked out, paused, changed meanwhile."""

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.engine import times
from shared.policy.schedules import DAY_MS, Blackout, Schedule, Weekday
from shared.storage.policies import DueSchedule
from tests.unit.engine.house import T0, VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
#: The first full hour after ``T0``, which is Friday, 2027-01-15 08:00 UTC.
DUE = T0 + HOUR_MS
HOURLY: dict[str, Any] = {"name": "hourly", "cron": "0 * * * *"}


def policy(*schedules: dict[str, Any]) -> dict[str, Any]:
    return {"vms": [VM], "guest_processing": {"handlers": "auto"}, "schedules": list(schedules)}


async def with_schedules(*schedules: dict[str, Any]) -> House:
    house = House()
    await house.app.policies.put("p", policy(*schedules), None)
    return house


async def row(house: House, schedule: str = "hourly") -> DueSchedule:
    [found] = [each async for each in house.policies.schedules("p") if each.schedule == schedule]
    return found


async def test_each_schedule_starts_its_own_run_with_its_own_settings() -> None:
    crash = {"guest_processing": {"enabled": False}}
    house = await with_schedules(HOURLY | crash, {"name": "nightly", "cron": "0 9 * * *"})
    house.clock.now = DUE
    runs = await house.app.policies.start_due()
    assert len(runs) == 2
    settings = {(await house.runs.get(run)).settings["schedule"]: run for run in runs}
    assert set(settings) == {"hourly", "nightly"}
    await house.settle(DUE + MINUTE_MS)
    enabled = {
        name: (await house.app.reading.vm(run, "db-1"))["guest_processing"]["enabled"]
        for name, run in settings.items()
    }
    assert enabled == {"hourly": False, "nightly": True}
    assert (await row(house)).last_run == settings["hourly"]
    assert (await row(house, "nightly")).next_due == DUE + DAY_MS


async def test_instances_that_look_at_once_start_each_schedule_once() -> None:
    house = await with_schedules(HOURLY, {"name": "other", "cron": "0 * * * *"})
    house.clock.now = DUE
    others = [house.another_instance() for _ in range(3)]
    found = await asyncio.gather(*(other.policies.start_due() for other in others))
    assert len({run for runs in found for run in runs}) == 2


async def test_a_missed_time_starts_late_and_once_and_what_was_passed_over_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await with_schedules(HOURLY | {"start_within_ms": HOUR_MS})
    house.clock.now = DUE + 3 * HOUR_MS + 20 * MINUTE_MS
    [run] = await house.app.policies.start_due()
    assert await house.app.policies.start_due() == []
    due = await row(house)
    assert (due.last_run, due.missed_at, due.next_due) == (run, DUE, DUE + 4 * HOUR_MS)
    assert due.missed_why.startswith("3 times passed while nobody looked")
    assert "started 1200 s late" in caplog.text
    assert "stillframe missed run: policy p, schedule hourly" in caplog.text


async def test_a_time_that_is_too_late_is_skipped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    house = await with_schedules({**HOURLY, "cron": "0 9 * * *", "start_within_ms": HOUR_MS})
    house.clock.now = DUE + HOUR_MS + 1_000
    assert await house.app.policies.start_due() == []
    assert await house.app.policies.start_due() == []
    due = await row(house)
    assert (due.last_run, due.missed_at, due.next_due) == ("", DUE, DUE + DAY_MS)
    assert due.missed_why == "3601 s late, and start_within_ms allows 3600 s"
    assert caplog.text.count("stillframe missed run") == 1


async def test_a_time_in_a_blackout_is_skipped_and_told() -> None:
    house = await with_schedules(HOURLY | {"blackout": [{"days": ["fri"], "from": "08:30", "to": "09:30"}]})
    house.clock.now = DUE
    assert await house.app.policies.start_due() == []
    due = await row(house)
    assert (due.missed_at, due.missed_why) == (DUE, "it lies in the blackout fri 08:30-09:30")
    house.clock.now = DUE + HOUR_MS
    assert len(await house.app.policies.start_due()) == 1


async def test_a_run_in_time_is_not_kept_by_a_blackout_that_begins_while_the_timer_comes() -> None:
    house = await with_schedules(HOURLY | {"blackout": [{"from": "09:01", "to": "09:30"}]})
    house.clock.now = DUE + MINUTE_MS + 1_000
    assert len(await house.app.policies.start_due()) == 1
    late = await with_schedules(HOURLY | {"blackout": [{"from": "09:01", "to": "09:30"}]})
    late.clock.now = DUE + 10 * MINUTE_MS
    assert await late.app.policies.start_due() == []


async def test_a_paused_schedule_has_no_time_and_misses_none() -> None:
    house = await with_schedules(HOURLY | {"paused": True})
    house.clock.now = DUE + DAY_MS
    assert await house.app.policies.start_due() == []
    assert (await row(house)).missed_at is None
    await house.app.policies.put("p", policy(HOURLY), None)
    assert (await row(house)).next_due == DUE + DAY_MS + HOUR_MS


async def test_a_time_that_has_come_is_not_lost_when_its_policy_is_put_before_anybody_looks() -> None:
    house = await with_schedules(HOURLY)
    house.clock.now = DUE + 1_000
    await house.app.policies.put("p", policy(HOURLY) | {"description": "changed"}, None)
    assert len(await house.app.policies.start_due()) == 1
    house.clock.now = DUE + HOUR_MS + 1_000
    await house.app.policies.put("p", policy(HOURLY | {"cron": "30 * * * *"}), None)
    assert await house.app.policies.start_due() == []


async def test_a_schedule_that_is_taken_out_or_renamed_does_not_run() -> None:
    house = await with_schedules(HOURLY)
    await house.app.policies.put("p", policy(HOURLY | {"name": "other"}), None)
    house.clock.now = DUE
    [run] = await house.app.policies.start_due()
    assert (await house.runs.get(run)).settings["schedule"] == "other"


async def test_a_clock_that_steps_back_starts_no_time_twice_and_one_that_steps_ahead_starts_one() -> None:
    house = await with_schedules(HOURLY)
    house.clock.now = DUE
    assert len(await house.app.policies.start_due()) == 1
    house.clock.now = DUE - 10 * MINUTE_MS
    assert await house.app.policies.start_due() == []
    assert (await row(house)).next_due == DUE + HOUR_MS
    house.clock.now = DUE + 30 * DAY_MS
    assert len(await house.app.policies.start_due()) == 1


@pytest.mark.parametrize("when", When)
async def test_a_run_that_began_in_time_is_not_missed_because_the_app_died_before_it_was_noted(
    when: When,
) -> None:
    for number in range(1, 14):
        house = await with_schedules(HOURLY | {"start_within_ms": 2 * MINUTE_MS})
        house.clock.now = DUE
        house.interruptions = house.tables._interruptions = Interruptions(number, when)
        house.queues._interruptions = house.interruptions
        try:
            await house.app.policies.start_due()
        except AppDied:
            house.interruptions.revive()
            house.app = house.another_instance()
        house.clock.now = DUE + 5 * MINUTE_MS
        await house.app.policies.start_due()
        runs = {name for name, kind in house.tables._tables["runs"] if kind == "run"}
        due = await row(house)
        # One or the other: it ran, or it is said to be missed.
        assert (len(runs), due.missed_at is None) in ((1, True), (0, False)), number
        assert due.next_due == DUE + HOUR_MS


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "then_utc"),
    [
        # Lord Howe moves by half an hour: 2026-10-04 02:00 becomes 02:30, 2027-04-04 02:00 becomes 01:30.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00", "2026-10-03T15:30:00"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:30:00", "2026-10-04T15:15:00"),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-03T12:00:00", "2027-04-03T14:45:00"),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-03T14:45:00", "2027-04-04T15:15:00"),
    ],
)
def test_zones_that_move_by_half_an_hour_leave_nothing_out_and_repeat_nothing(
    cron: str, zone: str, now: str, then_utc: str
) -> None:
    assert times.next_time(Schedule(cron=cron, time_zone=zone), at(now)) == at(then_utc)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
CRONS = st.sampled_from(["30 2 * * *", "0 * * * *", "*/20 * * * *", "15 1 * * 0", "0 3 1 * *"])


@given(CRONS, ZONES, st.integers(T0, T0 + 400 * DAY_MS), st.integers(0, 3 * DAY_MS))
def test_what_has_passed_is_every_time_from_the_first_to_now_and_none_after(
    cron: str, zone: str, start: int, further: int
) -> None:
    schedule = Schedule(cron=cron, time_zone=zone)
    due = times.next_time(schedule, start)
    passed = times.passed(schedule, due, due + further)
    assert due <= passed.last <= due + further < times.next_time(schedule, passed.last)
    assert (passed.before == 0) == (passed.last == due)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1439), st.integers(1, 1440))
def test_a_blackout_covers_as_many_minutes_of_a_week_as_it_says(start: int, end: int) -> None:
    if start == end:
        return
    one = Blackout(days=(Weekday.SAT,), start=start, end=end)
    monday = at("2027-01-11T00:00:00")
    covered = [
        one.covers(datetime.fromtimestamp((monday + each * MINUTE_MS) / 1000, ZoneInfo("UTC")))
        for each in range(7 * 1440)
    ]
    assert sum(covered) == (end - start if start < end else 1440 - start + end)
    begins = 5 * 1440 + start
    assert covered[begins]
    assert not covered[begins - 1]
