"""A saga's times as their users see them: ms since its run began."""

from typing import Any

from shared.saga.timeline import Hold, PhaseStart, Timeline


def timeline_view(timeline: Timeline, origin: int) -> dict[str, Any]:
    """Show the times of a saga; ``origin`` (ms since the epoch) is when its run began."""
    return {
        "phases": [_phase(each, origin) for each in timeline.phases],
        "holds": [_hold(each, origin) for each in timeline.holds],
        "snapshots_ms": [at - origin for at in timeline.snapshots],
    }


def _phase(start: PhaseStart, origin: int) -> dict[str, Any]:
    return {"phase": start.phase, "at_ms": start.at - origin, "generation": start.generation}


def _hold(hold: Hold, origin: int) -> dict[str, Any]:
    return {
        "generation": hold.generation,
        "start_ms": hold.start - origin,
        "end_ms": None if hold.end is None else hold.end - origin,
        "limit_ms": hold.limit - origin,
        "anchored": hold.anchored,
        "released_by": hold.released_by or None,
    }
