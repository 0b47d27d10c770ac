"""Which recovery points retention keeps, and what it says about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.fields import DocumentError, Fields
from shared.policy.retention import Candidate, Retention, Verdict, plan, protected, read_retention
from shared.saga.consistency import Grade
from shared.saga.state import Outcome

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NUMBERS = ("keep_last", "keep_days", "daily", "weekly", "monthly", "yearly", "minimum")


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def point(
    name: str,
    at: datetime,
    outcome: Outcome = Outcome.SUCCEEDED,
    grade: Grade = Grade.APPLICATION,
    *,
    whole: bool = True,
    held: str = "",
) -> Candidate:
    return Candidate(point_id=name, created=ms(at), outcome=outcome, grade=grade, whole=whole, held=held)


def nightly(count: int) -> list[Candidate]:
    """Give a good point of each of the last nights, newest first, named by its age in days."""
    return [point(f"{age:03}", NOW - age * DAY - timedelta(hours=9)) for age in range(count)]


def kept(points: list[Candidate], rules: Retention, zone: ZoneInfo = BERLIN) -> list[str]:
    return [verdict.candidate.point_id for verdict in plan(points, rules, zone, ms(NOW)) if verdict.keep]


def why(points: list[Candidate], rules: Retention, name: str) -> tuple[str, ...]:
    [verdict] = [each for each in plan(points, rules, BERLIN, ms(NOW)) if each.candidate.point_id == name]
    return verdict.why


def test_the_last_ones_and_the_young_ones_stay() -> None:
    points = nightly(20)
    assert kept(points, Retention(keep_last=3)) == ["000", "001", "002"]
    assert kept(points, Retention(keep_days=4)) == ["000", "001", "002", "003"]
    assert kept(points, Retention(keep_last=1, keep_days=2)) == ["000", "001"]
    assert why(points, Retention(keep_last=3), "001") == ("one of the last 3 good ones",)
    assert why(points, Retention(keep_days=4), "010") == ("older than 4 days, 10 newer good ones",)


def test_grandfather_father_and_son_are_the_newest_of_their_day_week_month_and_year() -> None:
    points = nightly(500)
    rules = Retention(daily=2, weekly=2, monthly=3, yearly=2)
    reasons = {
        each.candidate.point_id: each.why for each in plan(points, rules, BERLIN, ms(NOW)) if each.keep
    }
    assert reasons == {
        "000": (
            "the newest good one",
            "kept as daily of 2026-11-27",
            "kept as weekly of 2026-W48",
            "kept as monthly of 2026-11",
            "kept as yearly of 2026",
            "one of the 1 that always stay",
        ),
        "001": ("kept as daily of 2026-11-26",),
        "005": ("kept as weekly of 2026-W47",),
        "027": ("kept as monthly of 2026-10",),
        "058": ("kept as monthly of 2026-09",),
        "331": ("kept as yearly of 2025",),
    }
    assert why(points, rules, "100") == (
        "100 newer good ones, not the one that is kept as daily or weekly or monthly or yearly",
    )


def test_the_day_is_that_of_the_policys_time_zone_and_a_day_of_25_hours_is_one_day() -> None:
    # In Berlin the 25th of October 2026 lasts from 22:00 UTC of the 24th to 23:00 UTC of the 25th.
    begin, end = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)
    second = timedelta(seconds=1)
    points = [
        point("after", end),
        point("last", end - second),
        point("first", begin),
        point("before", begin - second),
    ]
    rules = Retention(daily=10)
    assert kept(points, rules) == ["after", "last", "before"]
    assert why(points, rules, "last") == ("kept as daily of 2026-10-25",)
    # By UTC the first and the one before are of the same day, and so are the last and the one after.
    assert kept(points, rules, ZoneInfo("UTC")) == ["after", "first"]


def test_the_week_and_the_year_turn_by_the_iso_calendar_and_by_the_calendar() -> None:
    points = [
        point("friday", datetime(2027, 1, 1, 12, tzinfo=UTC)),
        point("thursday", datetime(2026, 12, 31, 12, tzinfo=UTC)),
    ]
    assert kept(points, Retention(weekly=5)) == ["friday"]
    assert why(points, Retention(weekly=5), "friday")[1] == "kept as weekly of 2026-W53"
    assert kept(points, Retention(yearly=5)) == ["friday", "thursday"]


def test_a_point_of_a_clock_that_goes_ahead_is_young_only_where_days_count() -> None:
    points = [point("tomorrow", NOW + DAY), point("today", NOW)]
    assert kept(points, Retention(keep_days=1)) == ["tomorrow", "today"]
    assert kept(points, Retention(keep_last=1)) == ["tomorrow"]


def test_days_without_a_point_use_up_no_place() -> None:
    points = [point("new", NOW), point("old", NOW - 100 * DAY), point("older", NOW - 200 * DAY)]
    assert kept(points, Retention(daily=2)) == ["new", "old"]


def test_of_a_day_the_best_grade_stays_and_of_these_the_newest() -> None:
    points = [
        point("23h", NOW, grade=Grade.CRASH),
        point("02h-again", NOW - timedelta(hours=5)),
        point("02h", NOW - timedelta(hours=6)),
        point("01h", NOW - timedelta(hours=7), grade=Grade.CRASH),
    ]
    assert kept(points, Retention(daily=1)) == ["23h", "02h-again"]
    assert why(points, Retention(daily=1), "02h-again") == (
        "the newest good one, of those graded application",
        "kept as daily of 2026-11-27",
    )
    assert why(points, Retention(daily=1), "23h")[0] == "the newest good one"


def test_what_is_less_than_asked_for_takes_no_good_ones_place() -> None:
    poor = [point(f"poor{age}", NOW - age * DAY, Outcome.DEGRADED, Grade.CRASH) for age in range(10)]
    good = [point(f"good{age}", NOW - (20 + age) * DAY) for age in range(3)]
    assert kept([*poor, *good], Retention(daily=3)) == ["good0", "good1", "good2"]
    assert kept([*poor, *good], Retention(daily=5)) == ["poor0", "poor1", "good0", "good1", "good2"]
    assert kept([*poor, *good], Retention(keep_last=2)) == ["poor0", "poor1", "good0", "good1"]
    assert why([*poor, *good], Retention(keep_last=2), "poor9") == (
        "0 newer good ones, less than the policy asks for",
    )


def test_a_vm_that_never_had_a_good_point_keeps_the_best_that_there_is() -> None:
    poor = [point(f"poor{age}", NOW - age * DAY, Outcome.DEGRADED, Grade.CRASH) for age in range(5)]
    poor[3] = replace(poor[3], grade=Grade.FILESYSTEM)
    broken = point("broken", NOW + DAY, whole=False)
    assert kept([*poor, broken], Retention(keep_days=1, minimum=2))[1:] == ["poor0", "poor1", "poor3"]
    assert kept([broken], Retention(monthly=1)) == ["broken"]


def test_what_is_missing_in_part_is_not_good_however_it_came_out() -> None:
    points = [point("broken", NOW, whole=False), *nightly(3)]
    assert "the newest good one" in why(points, Retention(keep_last=1), "000")
    assert why(points, Retention(keep_days=1, keep_last=1), "broken") == (
        "newer than the last 1 good ones",
        "younger than 1 days",
    )


def test_the_held_stay_and_it_is_said_why() -> None:
    points = [*nightly(5), point("audit", NOW - 400 * DAY, held="the audit of 2025")]
    assert kept(points, Retention(keep_last=1)) == ["000", "audit"]
    assert why(points, Retention(keep_last=1), "audit") == ("held: the audit of 2025",)


def test_no_points_need_no_verdict() -> None:
    assert plan([], Retention(keep_last=1), BERLIN, ms(NOW)) == []
    assert protected([]) == frozenset()


points_of_a_vm = st.lists(
    st.builds(
        Candidate,
        point_id=st.uuids().map(str),
        # Few instants, so that several are of one day, week, or even of one instant.
        created=st.integers(0, 900).map(lambda halves: ms(NOW) - halves * 43_200_000),
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.DEGRADED, Outcome.FAILED]),
        grade=st.sampled_from(Grade),
        whole=st.booleans() | st.just(value=True),
        held=st.just("") | st.just("") | st.just("audit"),
    ),
    max_size=40,
    unique_by=lambda each: each.point_id,
)
some_rules = st.builds(
    Retention,
    keep_last=st.integers(0, 5),
    keep_days=st.integers(0, 30),
    daily=st.integers(0, 5),
    weekly=st.integers(0, 5),
    monthly=st.integers(0, 5),
    yearly=st.integers(0, 3),
    minimum=st.integers(1, 5),
)
zones = st.sampled_from([BERLIN, ZoneInfo("UTC"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/St_Johns")])


def those(verdicts: list[Verdict]) -> set[str]:
    return {verdict.candidate.point_id for verdict in verdicts if verdict.keep}


@given(points_of_a_vm, some_rules, zones)
def test_what_must_never_be_deleted_never_is(
    points: list[Candidate], rules: Retention, zone: ZoneInfo
) -> None:
    stay = those(plan(points, rules, zone, ms(NOW)))
    good = [each for each in points if each.good]
    assert sum(each.point_id in stay for each in good) >= min(rules.minimum, len(good))
    assert len(stay) >= min(rules.minimum, sum(each.whole for each in points))
    assert {each.point_id for each in points if each.held} <= stay
    assert protected(points) <= stay
    if good:
        newest = max(each.created for each in good)
        assert any(each.created == newest and each.point_id in stay for each in good)
        best = min(good, key=lambda each: list(Grade).index(each.grade)).grade
        of_best = [each for each in good if each.grade is best]
        newest = max(each.created for each in of_best)
        assert any(each.created == newest and each.point_id in stay for each in of_best)
    elif points:
        assert stay


@given(points_of_a_vm, some_rules, zones, st.sampled_from(NUMBERS), st.integers(1, 10))
def test_a_more_generous_rule_never_deletes_more(
    points: list[Candidate], rules: Retention, zone: ZoneInfo, name: str, more: int
) -> None:
    generous = replace(rules, **{name: getattr(rules, name) + more})
    assert those(plan(points, rules, zone, ms(NOW))) <= those(plan(points, generous, zone, ms(NOW)))


@given(points_of_a_vm, some_rules, zones)
def test_doing_it_twice_deletes_nothing_more(
    points: list[Candidate], rules: Retention, zone: ZoneInfo
) -> None:
    stay = those(plan(points, rules, zone, ms(NOW)))
    left = [each for each in points if each.point_id in stay]
    assert those(plan(left, rules, zone, ms(NOW))) == stay


@given(points_of_a_vm, some_rules, zones, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(
    points: list[Candidate], rules: Retention, zone: ZoneInfo, chance: object
) -> None:
    shuffled = list(points)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(shuffled, rules, zone, ms(NOW)) == plan(points, rules, zone, ms(NOW))


@given(points_of_a_vm, some_rules, zones)
def test_every_verdict_says_why_and_every_point_has_one(
    points: list[Candidate], rules: Retention, zone: ZoneInfo
) -> None:
    verdicts = plan(points, rules, zone, ms(NOW))
    assert sorted(each.candidate.point_id for each in verdicts) == sorted(each.point_id for each in points)
    assert all(each.why and all(each.why) for each in verdicts)


@given(points_of_a_vm, some_rules, zones, points_of_a_vm)
def test_a_poor_point_more_takes_no_good_one_away(
    points: list[Candidate], rules: Retention, zone: ZoneInfo, more: list[Candidate]
) -> None:
    known = {each.point_id for each in points}
    poor = [replace(each, outcome=Outcome.DEGRADED) for each in more if each.point_id not in known]
    good = {each.point_id for each in points if each.good}
    before = those(plan(points, rules, zone, ms(NOW))) & good
    assert before <= those(plan([*points, *poor], rules, zone, ms(NOW)))


def read(section: object) -> Retention | None:
    return read_retention(Fields({"retention": section}, "", ("retention",)))


def test_a_policy_without_the_section_keeps_everything() -> None:
    assert read(None) is None
    assert read({"keep_last": 7}) == Retention(keep_last=7)
    assert read({"daily": 7, "monthly": 12, "minimum": 3, "time_zone": "Europe/Berlin"}) == Retention(
        daily=7, monthly=12, minimum=3, time_zone="Europe/Berlin"
    )


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ([], "retention"),
        ({}, "retention"),
        ({"minimum": 3}, "retention"),
        ({"keep_last": 0}, "retention"),
        ({"keep_last": -1}, "retention.keep_last"),
        ({"keep_last": True}, "retention.keep_last"),
        ({"keep_last": 1.0}, "retention.keep_last"),
        ({"keep_last": 10_001}, "retention.keep_last"),
        ({"keep_days": "30"}, "retention.keep_days"),
        ({"keep_days": 36_501}, "retention.keep_days"),
        ({"dayly": 7}, "retention.dayly"),
        ({"daily": None}, "retention.daily"),
        ({"keep_last": 7, "minimum": 0}, "retention.minimum"),
        ({"keep_last": 7, "time_zone": ""}, "retention.time_zone"),
        ({"keep_last": 7, "time_zone": 1}, "retention.time_zone"),
    ],
)
def test_a_wrong_section_is_refused_by_the_fields_name(section: object, field: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(section)
    assert refused.value.field == field
