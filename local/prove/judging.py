"""What many tries together show: shares with their intervals, and what must not have happened."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from local.prove.modes import GRADES, Mode
from local.prove.tries import Try

_Z = 1.959963984540054  # of a 95 % interval


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927): it stays honest at 0 and at all of few tries."""
    if tries == 0:
        return 0.0, 1.0
    share, square = hits / tries, _Z * _Z
    middle = (share + square / (2 * tries)) / (1 + square / tries)
    half = _Z * math.sqrt(share * (1 - share) / tries + square / (4 * tries * tries)) / (1 + square / tries)
    # At the ends of the scale the rounding of floating-point numbers would leave the share outside.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The tries of one application in one mode. ``reasons`` are those of broken ones, numbers left out."""

    application: str
    mode: str
    tries: int
    broken: int
    missing: int
    grades: Mapping[str, int]
    median_window_ms: int | None
    reasons: Mapping[str, int]

    @classmethod
    def of(cls, application: str, mode: str, tries: Sequence[Try]) -> Self:
        """Count them."""
        restored = [one for one in tries if one.has_recovery_point]
        windows = [one.freeze_window_ms for one in tries if one.freeze_window_ms is not None]
        return cls(
            application=application,
            mode=mode,
            tries=len(tries),
            broken=sum(not one.restored_ok for one in restored),
            missing=len(tries) - len(restored),
            grades=Counter(one.grade for one in restored if one.grade),
            median_window_ms=round(statistics.median(windows)) if windows else None,
            reasons=Counter(_in_general(one.reason) for one in tries if not one.restored_ok),
        )

    @property
    def share(self) -> str:
        """The share of broken copies among those there were, with its interval, in percent."""
        restored = self.tries - self.missing
        if restored == 0:
            return "-"
        low, high = wilson(self.broken, restored)
        return f"{100 * self.broken / restored:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def rows(tries: Iterable[Try]) -> list[Row]:
    """Count tries by application and mode, in the order of their first ones."""
    grouped: dict[tuple[str, str], list[Try]] = {}
    for one in tries:
        grouped.setdefault((one.application, one.mode), []).append(one)
    return [Row.of(application, mode, same) for (application, mode), same in grouped.items()]


def failures(tries: Iterable[Try], modes: Iterable[Mode]) -> Iterator[str]:
    """Say what must not have happened.

    A copy that must be whole is broken or missing, a broken one is called more than crash-consistent, or any
    is graded higher than its mode can prove.
    """
    by_name = {mode.name: mode for mode in modes}
    for one in tries:
        where, mode = f"{one.application}, {one.mode}", by_name[one.mode]
        if mode.guest_processing and not one.restored_ok and (mode.must_be_whole or not one.grade):
            yield f"{where}: {one.reason}"
        elif not one.restored_ok and one.grade not in {None, GRADES[0]}:
            yield f"{where}: graded {one.grade}, but broken: {one.reason}"
        if one.grade and GRADES.index(one.grade) > GRADES.index(mode.proves):
            yield f"{where}: graded {one.grade}, but it can prove {mode.proves} at most"


def _in_general(reason: str) -> str:
    """Leave out what differs from try to try: numbers, addresses, folders."""
    plain = re.sub(r"/\S*/", ".../", reason)
    return re.sub(r"0x[0-9a-f]+|\d+", "N", plain)[:90]
