"""Which recovery points of a VM are kept, and why: pure, over what is known of the points.

A point is *good* if it came out as its policy asked (`succeeded`) and all of it is there. One that is less
than asked for (`degraded`, `failed`), or of which something is missing, takes no good one's place.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from shared.policy.fields import DocumentError, Fields
from shared.saga.consistency import Grade
from shared.saga.state import Outcome

_DAY_MS = 24 * 3_600_000
_RULES = ("keep_last", "keep_days", "daily", "weekly", "monthly", "yearly")
MOST_KEPT = 10_000
MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long recovery points are kept: a point that any rule wants stays. 0 is a rule that wants nothing.

    ``daily`` to ``yearly`` keep the best point of that many days, ISO weeks, months, years in which there are
    points, by the calendar of ``time_zone`` (IANA). ``minimum`` good ones stay whatever the rules say.
    """

    keep_last: int = 0
    keep_days: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    minimum: int = 1
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What retention looks at of a recovery point. ``created`` is ms since the epoch; ``held`` says why."""

    point_id: str
    created: int
    outcome: Outcome
    grade: Grade
    whole: bool = True
    held: str = ""

    @property
    def good(self) -> bool:
        """Whether it came out as its policy asked, and all of it is there."""
        return self.whole and self.outcome is Outcome.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a recovery point is kept, and why, in words."""

    candidate: Candidate
    keep: bool
    why: tuple[str, ...]


def read_retention(fields: Fields) -> Retention | None:
    """Read the section ``retention`` of a policy; None where there is none: then everything is kept.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not fields.has("retention"):
        return None
    section = Fields(fields.raw("retention"), fields.at("retention"), (*_RULES, "minimum", "time_zone"))
    most = {"keep_days": MOST_DAYS}
    rules = {name: section.whole(name, 0, least=0, most=most.get(name, MOST_KEPT)) for name in _RULES}
    if not any(rules.values()):
        problem = (
            f"expected at least one of {', '.join(_RULES)} above 0, or no retention, which keeps everything"
        )
        raise DocumentError(section.path, problem)
    return Retention(
        **rules,
        minimum=section.whole("minimum", 1, least=1, most=MOST_KEPT),
        time_zone=section.text("time_zone", "UTC", longest=64),
    )


def plan(points: Iterable[Candidate], rules: Retention, zone: tzinfo, now: int) -> list[Verdict]:
    """Say of each point of one VM and policy whether it is kept, newest first. ``now`` is ms since the epoch.

    ``zone`` is the time zone that ``rules`` name.
    """
    ordered = _newest_first(points)
    why: dict[str, list[str]] = {point.point_id: [] for point in ordered}
    for keeps in (_held, _protected, _last, _days, _calendar, _minimum):
        for point, reason in keeps(_Asked(ordered, rules, zone, now)):
            why[point.point_id].append(reason)
    return [
        Verdict(
            point, bool(why[point.point_id]), tuple(why[point.point_id]) or (_nobody(point, ordered, rules),)
        )
        for point in ordered
    ]


def protected(points: Iterable[Candidate]) -> frozenset[str]:
    """Give the ids of those that no rule may take: the newest good one, and the newest of the best grade."""
    return frozenset(point.point_id for point, _ in _guarded(_newest_first(points)))


@dataclass(frozen=True, slots=True)
class _Asked:
    points: Sequence[Candidate]
    rules: Retention
    zone: tzinfo
    now: int
    good: Sequence[Candidate] = field(init=False)
    poor: Sequence[Candidate] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "good", [point for point in self.points if point.good])
        object.__setattr__(self, "poor", [point for point in self.points if not point.good])


_Kept = Iterable[tuple[Candidate, str]]


def _held(asked: _Asked) -> _Kept:
    return [(point, f"held: {point.held}") for point in asked.points if point.held]


def _protected(asked: _Asked) -> _Kept:
    return _guarded(asked.points)


def _guarded(points: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
    """Where there is no good one, the best of the others stand in for it."""
    for these, what in (
        ([point for point in points if point.good], "good one"),
        ([point for point in points if point.whole], "one, as there is no good one"),
        (list(points), "one, as there is none that is whole"),
    ):
        if these:
            newest, best = these[0], min(these, key=_worst_last)
            found = [(newest, f"the newest {what}")]
            if best is not newest:
                found.append((best, f"the newest {what}, of those graded {best.grade}"))
            return found
    return []


def _last(asked: _Asked) -> _Kept:
    """Keep the last good ones, and as many others at most as are newer than these."""
    most = asked.rules.keep_last
    if not most:
        return []
    good = asked.good[:most]
    oldest = good[-1].created if len(good) == most else None
    others = [point for point in asked.poor if oldest is None or point.created > oldest][:most]
    return [
        *((point, f"one of the last {most} good ones") for point in good),
        *((point, f"newer than the last {most} good ones") for point in others),
    ]


def _days(asked: _Asked) -> _Kept:
    days = asked.rules.keep_days
    if not days:
        return []
    young = [point for point in asked.points if asked.now - point.created < days * _DAY_MS]
    return [(point, f"younger than {days} days") for point in young]


def _calendar(asked: _Asked) -> _Kept:
    rules = asked.rules
    periods: tuple[tuple[str, int, Callable[[date], str]], ...] = (
        ("daily", rules.daily, date.isoformat),
        ("weekly", rules.weekly, _week),
        ("monthly", rules.monthly, lambda day: f"{day:%Y-%m}"),
        ("yearly", rules.yearly, lambda day: f"{day:%Y}"),
    )
    return [
        (point, f"kept as {name} of {period}")
        for name, most, period_of in periods
        for period, point in _picked(asked, most, period_of)
    ]


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def _picked(asked: _Asked, most: int, period_of: Callable[[date], str]) -> list[tuple[str, Candidate]]:
    """Pick the best point of each of the newest periods, first of those that have a good one."""
    good = _best_of_each(asked, asked.good, period_of)
    whole = [point for point in asked.poor if point.whole]
    poor = {
        period: point
        for period, point in _best_of_each(asked, whole, period_of).items()
        if period not in good
    }
    chosen = list(good.items())[:most]
    return chosen + list(poor.items())[: most - len(chosen)]


def _best_of_each(
    asked: _Asked, points: Sequence[Candidate], period_of: Callable[[date], str]
) -> dict[str, Candidate]:
    """Give the best point of each period, the newest of the best grade; newest period first."""
    best: dict[str, Candidate] = {}
    for point in points:
        period = period_of(datetime.fromtimestamp(point.created / 1000, asked.zone).date())
        known = best.get(period)
        if known is None or _worst_last(point) < _worst_last(known):
            best[period] = point
    return best


def _minimum(asked: _Asked) -> _Kept:
    most = asked.rules.minimum
    good = asked.good[:most]
    others = [point for point in asked.poor if point.whole][: most - len(good)]
    return [(point, f"one of the {most} that always stay") for point in (*good, *others)]


def _nobody(point: Candidate, ordered: Sequence[Candidate], rules: Retention) -> str:
    """Say why no rule wants it."""
    newer = sum(1 for other in ordered if other.good and _order(other) < _order(point))
    told = [f"older than {rules.keep_days} days"] if rules.keep_days else []
    told.append(f"{newer} newer good {'one' if newer == 1 else 'ones'}")
    places = [name for name in ("daily", "weekly", "monthly", "yearly") if getattr(rules, name)]
    if places:
        told.append(f"not the one that is kept as {' or '.join(places)}")
    if not point.good:
        told.append("less than the policy asks for" if point.whole else "some of it is missing")
    return ", ".join(told)


def _newest_first(points: Iterable[Candidate]) -> list[Candidate]:
    return sorted(points, key=_order)


def _order(point: Candidate) -> tuple[int, str]:
    return (-point.created, point.point_id)


def _worst_last(point: Candidate) -> tuple[int, int, str]:
    return (list(Grade).index(point.grade), *_order(point))
