"""When a policy runs: several schedules, each with rules for what is late and for when nothing may start."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.policy.fields import DocumentError, Fields
from shared.policy.layers import Layer

#: The schedule that a document says by ``schedule`` alone.
DEFAULT_SCHEDULE = "default"

MOST_SCHEDULES = 16
MOST_BLACKOUTS = 32
LONGEST_CRON = 200
LONGEST_ZONE = 64
DAY_MS = 24 * 3_600_000
#: The timer looks every minute, and may itself be late.
LEAST_LATENESS_MS = 120_000
LONGEST_LATENESS_MS = 31 * DAY_MS
DAY_MINUTES = 24 * 60

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")


class Weekday(StrEnum):
    """The days of the week, as ``datetime.weekday`` counts them."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_DAYS = tuple(Weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackout:
    """A time of the week when no run begins: from ``start`` to before ``end``, minutes of the zone's clock.

    It begins on each of ``days``; where ``end`` is not after ``start``, it ends on the next day.
    """

    days: tuple[Weekday, ...] = _DAYS
    start: int
    end: int

    def covers(self, local: datetime) -> bool:
        """Whether a moment lies in it; ``local`` is what the zone's clock and calendar show."""
        minute, day = local.hour * 60 + local.minute, _DAYS[local.weekday()]
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = _DAYS[(local - timedelta(days=1)).weekday()]
        return (day in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)

    def text(self) -> str:
        """Say it as the document does."""
        return f"{','.join(self.days)} {_clock_text(self.start)}-{_clock_text(self.end)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron expression of five fields in a time zone of the IANA database, and what goes for its runs.

    ``start_within_ms``: how late a run may begin whose time was missed; None: however late. ``layers`` lie
    over all others. ``paused``: it has no time at present. ``at`` is where it stands in its document.
    """

    cron: str
    time_zone: str = "UTC"
    name: str = DEFAULT_SCHEDULE
    start_within_ms: int | None = None
    blackout: tuple[Blackout, ...] = ()
    layers: tuple[Layer, ...] = ()
    paused: bool = False
    at: str = "schedule"

    def blacked_out(self, local: datetime) -> Blackout | None:
        """Give the blackout that a moment lies in; ``local`` is what the clock of its time zone shows."""
        return next((each for each in self.blackout if each.covers(local)), None)


def schedule_items(fields: Fields) -> list[tuple[Any, str]]:
    """Give the schedules of a document, not yet read, each with its place.

    Raises:
        DocumentError: it is no list, or both ``schedule`` and ``schedules`` are there.
    """
    if not fields.has("schedules"):
        return [(fields.raw("schedule"), fields.at("schedule"))] if fields.has("schedule") else []
    if fields.has("schedule"):
        raise DocumentError(fields.at("schedule"), "not together with schedules, which is the list of them")
    at, value = fields.at("schedules"), fields.raw("schedules")
    if not isinstance(value, list) or len(value) > MOST_SCHEDULES:
        raise DocumentError(at, f"expected a list of at most {MOST_SCHEDULES} JSON objects")
    return [(item, f"{at}[{index}]") for index, item in enumerate(value)]


def schedule_fields(value: Any, at: str) -> Fields:
    """Open one schedule.

    Raises:
        DocumentError: it is no object, or has a member that is not known.
    """
    named = ("name",) if at.endswith("]") else ()
    known = (*named, "cron", "time_zone", "start_within_ms", "blackout", "guest_processing", "paused")
    return Fields(value, at, known)


def read_schedule(fields: Fields, layers: Sequence[Layer]) -> Schedule:
    """Read one schedule, but for its guest processing, which is ``layers``.

    Whether cron expression and time zone are such is seen by who knows them: the engine.

    Raises:
        DocumentError: names the field that is wrong.
    """
    cron = fields.text("cron", longest=LONGEST_CRON)
    if len(cron.split()) != 5:
        raise DocumentError(fields.at("cron"), "expected five fields: minute hour day month weekday")
    late = fields.has("start_within_ms")
    return Schedule(
        cron=cron,
        time_zone=fields.text("time_zone", "UTC", longest=LONGEST_ZONE),
        name=_name(fields),
        start_within_ms=fields.whole("start_within_ms", 0, least=LEAST_LATENESS_MS, most=LONGEST_LATENESS_MS)
        if late
        else None,
        blackout=_blackouts(fields),
        layers=tuple(layers),
        paused=fields.flag("paused", default=False) if fields.has("paused") else False,
        at=fields.path,
    )


def check_names(schedules: Sequence[Schedule]) -> None:
    """Refuse a name that comes twice. Raises ``DocumentError``."""
    seen: set[str] = set()
    for schedule in schedules:
        if schedule.name in seen:
            raise DocumentError(f"{schedule.at}.name", "another schedule has this name")
        seen.add(schedule.name)


def _name(fields: Fields) -> str:
    if not fields.path.endswith("]"):
        return DEFAULT_SCHEDULE
    name = fields.text("name", longest=63)
    if not _NAME.fullmatch(name):
        problem = "expected a name of small letters, digits and hyphens, at most 63"
        raise DocumentError(fields.at("name"), problem)
    return name


def _blackouts(fields: Fields) -> tuple[Blackout, ...]:
    value, at = fields.raw("blackout"), fields.at("blackout")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_BLACKOUTS:
        raise DocumentError(at, f"expected a list of at most {MOST_BLACKOUTS} JSON objects")
    return tuple(_blackout(item, f"{at}[{index}]") for index, item in enumerate(value))


def _blackout(value: Any, at: str) -> Blackout:
    fields = Fields(value, at, ("days", "from", "to"))
    start, end = _clock(fields, "from"), _clock(fields, "to")
    if start == DAY_MINUTES:
        raise DocumentError(fields.at("from"), "expected a time before 24:00")
    if start == end:
        raise DocumentError(fields.at("to"), "is the same as from; a whole day is from 00:00 to 24:00")
    return Blackout(days=_days(fields), start=start, end=end)


def _days(fields: Fields) -> tuple[Weekday, ...]:
    if not fields.has("days"):
        return _DAYS
    named = fields.texts("days", most=len(_DAYS))
    if not named:
        raise DocumentError(fields.at("days"), "expected at least one; without any, leave the member out")
    for index, day in enumerate(named):
        if day not in _DAYS:
            raise DocumentError(f"{fields.at('days')}[{index}]", "expected one of " + ", ".join(_DAYS))
    return tuple(day for day in _DAYS if day in named)


def _clock(fields: Fields, name: str) -> int:
    """Read a time of the day as minutes."""
    value = fields.raw(name)
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise DocumentError(fields.at(name), 'expected a time of the day as a text, "00:00" to "24:00"')
    return int(value[:2]) * 60 + int(value[3:])


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
