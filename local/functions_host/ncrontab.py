"""NCrontab expressions, the schedules of timer triggers.

Six fields (second minute hour day month weekday) or five (no second), as CronSchedule of
Microsoft.Azure.WebJobs.Extensions takes them. Each field is a list of `*`, `n`, `a-b`, and any of those with
`/step`; months and weekdays also by English name (three letters or whole). Sunday is 0. A day must match the
day field AND the weekday field (unlike crontab(5), which takes either).
"""

import calendar
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_WEEKDAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_name)}
_PART = re.compile(r"(?P<range>\*|(?P<low>\w+)(-(?P<high>\w+))?)(/(?P<step>\d+))?")
_HORIZON_YEARS = 8  # 29 February returns within eight years, even around 2100


class ScheduleError(ValueError):
    """A schedule that is no NCrontab expression; `expression` and `reason` say which and why."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"schedule {expression!r}: {reason}")
        self.expression = expression
        self.reason = reason


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int]

    def parse(self, text: str, expression: str) -> frozenset[int]:
        values: set[int] = set()
        for part in text.split(","):
            values.update(self._parse_part(part, expression))
        return frozenset(values)

    def _parse_part(self, part: str, expression: str) -> range:
        match = _PART.fullmatch(part)
        if match is None:
            raise ScheduleError(expression, f"{part!r} is no {self.name}")
        step = int(match["step"] or 1)
        if step == 0:
            raise ScheduleError(expression, f"the step of the {self.name} is 0")
        if match["range"] == "*":
            return range(self.low, self.high + 1, step)
        low = self._number(match["low"], expression)
        if match["high"] is not None:
            high = self._number(match["high"], expression)
        else:
            high = self.high if match["step"] else low  # "5/15" counts on from 5 to the end
        if low > high:
            raise ScheduleError(expression, f"the {self.name} range {part!r} runs backwards")
        return range(low, high + 1, step)

    def _number(self, text: str, expression: str) -> int:
        number = int(text) if text.isdecimal() else self._named(text.lower())
        if number is None or not self.low <= number <= self.high:
            raise ScheduleError(expression, f"{text!r} is no {self.name} ({self.low} to {self.high})")
        return number

    def _named(self, text: str) -> int | None:
        found = {number for name, number in self.names.items() if len(text) >= 3 and name.startswith(text)}
        return found.pop() if len(found) == 1 else None


_FIELDS = (
    _Field("second", 0, 59, {}),
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True)
class Schedule:
    """A parsed expression, in one time zone."""

    expression: str
    zone: tzinfo
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, expression: str, zone: tzinfo = UTC) -> "Schedule":
        """Read an expression; raises ScheduleError also when no date can ever match it."""
        texts = expression.split()
        if len(texts) == 5:
            texts = ["0", *texts]
        if len(texts) != 6:
            raise ScheduleError(expression, f"expected 5 or 6 fields, got {len(texts)}")
        second, minute, hour, day, month, weekday = (
            item.parse(text, expression) for item, text in zip(_FIELDS, texts, strict=True)
        )
        times = (tuple(sorted(second)), tuple(sorted(minute)), tuple(sorted(hour)))
        schedule = cls(expression, zone, *times, day, month, weekday)
        leap_year_start = datetime(2000, 1, 1)  # noqa: DTZ001 - wall clock, no zone needed to try the dates
        if next(schedule._days_from(leap_year_start), None) is None:
            raise ScheduleError(expression, "no date matches")
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence after an aware moment, in the schedule's zone.

        Occurrences are wall-clock times. One that a daylight-saving gap skips is taken with the offset from
        before the gap; in a repeated hour, a schedule of every hour goes on, any other occurs once.
        """
        if moment.tzinfo is None:
            raise ValueError("next_after takes an aware datetime")
        here = moment.astimezone(self.zone)
        local = here.replace(tzinfo=None)
        for wall in self._walls_after(local):
            if len(self.hours) == 24:
                # Counting on with the offset of now walks through a repeated hour instead of skipping it.
                steady = (here.astimezone(UTC) + (wall - local)).astimezone(self.zone)
                if steady.minute == wall.minute and self._on_day(steady):
                    return steady
            for fold in (0, 1):
                found = wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
                if found > moment:
                    return found.astimezone(self.zone)
        raise ScheduleError(self.expression, f"nothing occurs after {moment.isoformat()}")

    def shortest_interval(self, moment: datetime, count: int = 5) -> timedelta:
        """The shortest time between the next `count` occurrences after a moment."""
        times = [self.next_after(moment)]
        while len(times) < count:
            times.append(self.next_after(times[-1]))
        return min(later - earlier for earlier, later in itertools.pairwise(times))

    def _walls_after(self, local: datetime) -> Iterator[datetime]:
        for day in self._days_from(local):
            for hour in self.hours:
                for minute in self.minutes:
                    # A whole minute or hour before `local` is left out at once, not second by second.
                    if day.replace(hour=hour, minute=minute, second=59) < local.replace(microsecond=0):
                        continue
                    for second in self.seconds:
                        wall = day.replace(hour=hour, minute=minute, second=second)
                        if wall > local:
                            yield wall

    def _days_from(self, local: datetime) -> Iterator[datetime]:
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        last_year = local.year + _HORIZON_YEARS
        while day.year <= last_year:
            if self._on_day(day):
                yield day
            day += timedelta(days=1)

    def _on_day(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays
