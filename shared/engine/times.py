"""The times of a schedule. Pure: the present is passed in. All times in ms since the epoch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.policy.fields import DocumentError
from shared.policy.schedules import DAY_MS, Blackout, Schedule

#: So many times of a schedule are looked at to see whether one of them lies outside its blackouts.
LOOKED_AT = 1_000

#: What passed while nobody looked is counted no further back than this.
LOOK_BACK_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Passed:
    """The last time that has come, and how many came before it that nobody looked at."""

    last: int
    before: int


def next_time(schedule: Schedule, now: int) -> int:
    """Give the next time of a schedule after ``now``, be it in a blackout.

    Daylight saving is cronsim's, that is Debian cron's: a time that a change leaves out comes right after it,
    one that comes twice counts once.

    Raises:
        DocumentError: the expression or the time zone is none.
    """
    local = _local(schedule, now)
    try:
        return int(next(CronSim(schedule.cron, local)).timestamp() * 1000)
    except (CronSimError, StopIteration) as error:
        raise DocumentError(f"{schedule.at}.cron", f"expected a cron expression: {error}") from None


def first_due(schedule: Schedule, now: int) -> int | None:
    """Give when a schedule is due first after ``now``; None while it is paused.

    Raises:
        DocumentError: the expression or the time zone is none, or it would never run for its blackouts.
    """
    due = next_time(schedule, now)
    if schedule.blackout and next_start(schedule, now) is None:
        problem = f"nothing would ever run: the next {LOOKED_AT} times all lie in a blackout"
        raise DocumentError(f"{schedule.at}.blackout", problem)
    return None if schedule.paused else due


def next_start(schedule: Schedule, now: int) -> int | None:
    """Give the next time after ``now`` that no blackout covers; None when there is none for long."""
    time = now
    for _ in range(LOOKED_AT):
        time = next_time(schedule, time)
        if blackout_at(schedule, time) is None:
            return time
    return None


def next_times(schedule: Schedule, now: int, count: int) -> list[int]:
    """Give the next ``count`` times after ``now``, also those in a blackout."""
    times: list[int] = []
    while len(times) < count:
        times.append(next_time(schedule, times[-1] if times else now))
    return times


def passed(schedule: Schedule, due: int, now: int) -> Passed:
    """Say which times have come from ``due``, one of them, until ``now``."""
    last, count = due, 0
    if now - due > LOOK_BACK_MS:
        recent = next_time(schedule, now - LOOK_BACK_MS)
        last, count = (recent, 1) if recent <= now else (due, 0)
    while (following := next_time(schedule, last)) <= now:
        last, count = following, count + 1
    return Passed(last, count)


def blackout_at(schedule: Schedule, time: int) -> Blackout | None:
    """Give the blackout of a schedule that a time lies in."""
    return schedule.blacked_out(_local(schedule, time)) if schedule.blackout else None


def zone_of(name: str, field: str) -> ZoneInfo:
    """Give a time zone of the IANA database by its name.

    Raises:
        DocumentError: there is none of that name; ``field`` is where it was given.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a region without a city is a folder
        raise DocumentError(field, "expected a name like Europe/Berlin") from None


def _local(schedule: Schedule, time: int) -> datetime:
    zone = zone_of(schedule.time_zone, f"{schedule.at}.time_zone")
    return datetime.fromtimestamp(time / 1000, UTC).astimezone(zone)
