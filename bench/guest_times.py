"""When an agent went from phase to phase, read from its log on the guest's tmpfs."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO (\S+) -> (\S+) \(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GuestTimes:
    """The last freeze window in a log: when each phase was entered, ms since the epoch."""

    entered: dict[str, int]


class AgentLog:
    """One guest's agent log. ``mark`` remembers where it ends; ``since_mark`` reads what came after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0

    def mark(self) -> None:
        """Look no further back than here."""
        self._end = self._path.stat().st_size if self._path.exists() else 0

    def since_mark(self) -> GuestTimes:
        """Give the latest entry of each phase. A log that was begun anew meanwhile is read from its start."""
        content = self._path.read_bytes()
        text = content[self._end if len(content) >= self._end else 0 :].decode("utf-8", "replace")
        return GuestTimes({phase: _ms(at) for at, _, phase in _LINE.findall(text)})


def _ms(at: str) -> int:
    """Read the log's time, which is local, as ms since the epoch."""
    return int(datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp() * 1000)  # noqa: DTZ007 - local
