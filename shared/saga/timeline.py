"""When a saga did what: its phases, how long its guest was held, when its snapshots were taken.

It follows from the history alone. Times are ms since the epoch. A guest tells lengths by its own clock; they
are laid against the moment at which the app took its acks (the queue's own are whole seconds), so that a
freeze window may stand late by one hop of a queue, but its length is what was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.saga.history import HistoryEntry


@dataclass(frozen=True, slots=True)
class PhaseStart:
    """A phase was entered at ``at``, in this generation."""

    phase: str
    at: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one generation held: from ``start`` to ``end``, and the dead-man lets go at ``limit``.

    ``end`` is None while nobody has said that it ended. ``anchored``: the instant lies in a snapshot inside
    the guest, whose lifetime ``limit`` is. ``released_by`` is who let go, empty while nobody is known to.
    """

    generation: int
    start: int
    limit: int
    end: int | None = None
    anchored: bool = False
    released_by: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of a saga, each list in their order. ``snapshots`` are instants by Azure's clock."""

    phases: tuple[PhaseStart, ...] = ()
    holds: tuple[Hold, ...] = ()
    snapshots: tuple[int, ...] = ()


def timeline_of(history: Sequence[HistoryEntry]) -> Timeline:
    """Give the times of a saga that has this history, oldest entry first."""
    holds: dict[int, Hold] = {}
    snapshots: set[int] = set()
    for entry in history:
        generation = entry.detail.get("generation", entry.generation)
        if entry.event == "Quiesced":
            holds[generation] = _hold(entry, generation)
        elif entry.event == "Resumed" and generation in holds:
            holds[generation] = _ended(holds[generation], entry)
        elif entry.event == "CaptureEnded":
            snapshots.update(_instants(entry.detail["captures"]))
    return Timeline(tuple(_phases(history)), tuple(holds.values()), tuple(sorted(snapshots)))


def _phases(history: Sequence[HistoryEntry]) -> Iterable[PhaseStart]:
    """A phase that is entered again starts again in another generation, and goes on in the same one."""
    last: tuple[str, int] | None = None
    for entry in history:
        here = (entry.to_phase, entry.generation)
        if last is None or here[0] != last[0] or (here[0] == "arming" and here != last):
            yield PhaseStart(entry.to_phase, entry.at, entry.generation)
        last = here


def _hold(entry: HistoryEntry, generation: int) -> Hold:
    report: Mapping[str, Any] = entry.detail["report"]
    anchored = bool(report.get("anchored"))
    return Hold(
        generation=generation,
        start=entry.at - report["quiesce_ms"],
        limit=entry.at + report["budget_left_ms"],
        end=entry.at if anchored else None,
        anchored=anchored,
    )


def _ended(hold: Hold, entry: HistoryEntry) -> Hold:
    """Give the hold its length. It ended before its end was told: where it would not, it began earlier."""
    report: Mapping[str, Any] = entry.detail["report"]
    early = max(0, hold.start + report["window_ms"] - entry.at)
    start = hold.start - early
    return replace(
        hold,
        start=start,
        limit=hold.limit - early,
        end=start + report["window_ms"],
        released_by=report["released_by"],
    )


def _instants(captures: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    return (capture["time_created"] for capture in captures if capture.get("time_created") is not None)
