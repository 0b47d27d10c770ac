"""Medians and percentiles."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What a number was, over ``n`` measurements. ``p95`` is the smallest value that 95 % do not exceed."""

    p50: float
    p95: float
    least: float
    most: float
    n: int


def figure(values: Sequence[float]) -> Figure:
    """Sum up at least one value."""
    ordered = sorted(values)
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return Figure(statistics.median(ordered), p95, ordered[0], ordered[-1], len(ordered))
