"""Time, passed in, and its spelling in answers of the service."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the simulator takes its time from."""

    def now(self) -> datetime:
        """Return the wall-clock time, with time zone UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clocks. `monotonic` is CLOCK_MONOTONIC, so other processes can compare with it."""

    def now(self) -> datetime:
        """Return the system's wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()


def arm_time(moment: datetime) -> str:
    """Spell a UTC time as the compute provider does: seven fractional digits and a numeric offset."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0+00:00"
