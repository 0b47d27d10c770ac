"""When a timer last ran and should run next, kept over restarts (`useMonitor`).

The real host keeps this in a blob, azure-webjobs-hosts/timers/{hostId}/{function}/status; here it is a JSON
file of the same members under `<app>/.local/timers/`, because no blob client is among the dependencies.
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from local.functions_host.ncrontab import Schedule

_NEVER = "0001-01-01T00:00:00"  # .NET's default DateTime
_MONITORED_FROM = timedelta(minutes=1)


@dataclass(frozen=True)
class TimerStatus:
    """Aware times; `last` is None before the first run."""

    last: datetime | None
    next: datetime
    updated: datetime

    def to_json(self) -> dict[str, str]:
        """The members of ScheduleStatus."""
        return {
            "Last": self.last.isoformat() if self.last else _NEVER,
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }


class TimerStatusStore:
    """The status files of one app."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, function: str) -> TimerStatus | None:
        """The recorded status; None when there is none, or none that can be read (GetSafeStatusAsync)."""
        try:
            content = json.loads(self._path(function).read_text())
            last = None if content["Last"] == _NEVER else datetime.fromisoformat(content["Last"])
            status = TimerStatus(
                last, datetime.fromisoformat(content["Next"]), datetime.fromisoformat(content["LastUpdated"])
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        moments = (status.last, status.next, status.updated)
        return None if any(moment and moment.tzinfo is None for moment in moments) else status

    def save(self, function: str, status: TimerStatus) -> None:
        """Record a status, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(function)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(status.to_json(), indent=2) + "\n")
        os.replace(new, path)  # noqa: PTH105 - the atomic call by its own name

    def _path(self, function: str) -> Path:
        return self._folder / f"{function}.json"


def status_at_start(recorded: TimerStatus | None, schedule: Schedule, now: datetime) -> TimerStatus:
    """What holds when the host starts: the record, unless it was made for another schedule.

    The rule of ScheduleMonitor.CheckPastDueAsync: the recorded next time must follow from the recorded last
    one. If it does not, the schedule was changed, and a time in the past is not caught up with.
    The timer is past due when `now` is after the `next` of the result.
    """
    if recorded is None:
        return TimerStatus(None, schedule.next_after(now), now)
    since = recorded.last or recorded.updated
    expected = schedule.next_after(since)
    if expected == recorded.next:
        return recorded
    if now > expected:
        expected, since = schedule.next_after(now), now
    return TimerStatus(None, expected, since)


def is_monitored(schedule: Schedule, now: datetime, *, use_monitor: bool) -> bool:
    """Monitoring is off for schedules that fire more than once a minute, whatever the binding says."""
    return use_monitor and schedule.shortest_interval(now) >= _MONITORED_FROM
