"""Figures for whoever watches the app: OpenTelemetry metrics, and a backup's own spans once it has ended.

No figure has the name of a VM or a run in it: their number has no bound, and a metric's series must have one.
A saga's end may be told twice after a crash; so a count may be too high by one, never too low.
"""

from collections.abc import Mapping, Sequence

from opentelemetry import metrics

from shared import telemetry
from shared.saga.evidence import Evidence
from shared.saga.state import Phase, SagaState
from shared.saga.timeline import PhaseStart, Timeline
from shared.version import VERSION

_meter = metrics.get_meter(telemetry.NAME, VERSION)

_windows = _meter.create_histogram(
    "stillframe.freeze_window", "ms", "How long a guest was held, by its own monotonic clock"
)
_overheads = _meter.create_histogram(
    "stillframe.freeze_overhead", "ms", "The part of the freeze window in which no snapshot was being made"
)
_sagas = _meter.create_histogram("stillframe.saga.duration", "ms", "From the start of a saga to its end")
_phase_times = _meter.create_histogram("stillframe.phase.duration", "ms", "How long sagas are in a phase")
_ends = _meter.create_counter("stillframe.sagas", "{saga}", "Sagas that ended, by outcome and grade")
_warnings = _meter.create_counter("stillframe.warnings", "{warning}", "What guests warned of, by code")
_sweeps = _meter.create_counter("stillframe.sweeps", "{run}", "Runs that a sweep had looked through")
_overdue = _meter.create_counter(
    "stillframe.sweep.mended", "{saga}", "Sagas that a sweep found left behind, by what was wrong"
)
_rejected = _meter.create_counter("stillframe.acks.rejected", "{ack}", "Acks turned away, by reason")
_ignored = _meter.create_counter("stillframe.acks.ignored", "{ack}", "Genuine acks that moved nothing")


def saga_ended(state: SagaState, timeline: Timeline | None) -> None:
    """Record how a saga ended: figures, and spans of the whole of it, its phases and its freeze window."""
    grade = state.grade.value if state.grade else "none"
    outcome = state.outcome.value if state.outcome else "none"
    kinds = {"grade": grade, "outcome": outcome}
    _ends.add(1, kinds)
    for warning in state.warnings:
        _warnings.add(1, {"kind": warning.kind, "code": warning.code})
    if state.ended_at is not None:
        _sagas.record(state.ended_at - state.started_at, kinds)
    window = state.evidence.freeze_window_ms if state.evidence else None
    if state.evidence is not None and window is not None:
        _windows.record(window, kinds)
        captured = _capture_ms(state.evidence)
        if captured is not None:
            _overheads.record(max(0, window - captured), kinds)
    phases = _phases(timeline.phases, state.ended_at) if timeline and state.ended_at else []
    for phase, begun, ended in phases:
        _phase_times.record(ended - begun, {"phase": phase})
    _tell_spans(state, phases, kinds)


_Phase = tuple[str, int, int]


def _phases(starts: Sequence[PhaseStart], ended: int) -> list[_Phase]:
    """Give each phase with its begin and its end."""
    ends = [*(start.at for start in starts[1:]), ended]
    begun = [start for start in zip(starts, ends, strict=True) if start[0].phase != Phase.DONE]
    return [(start.phase, start.at, end) for start, end in begun]


def _tell_spans(state: SagaState, phases: Sequence[_Phase], ends: Mapping[str, str]) -> None:
    spec, evidence = state.spec, state.evidence
    about: dict[str, str | int | bool] = {
        "run": spec.run_id,
        "saga": spec.saga_id,
        "vm": spec.vm_id,
        "generation": state.generation,
    }
    if state.ended_at is not None:
        telemetry.past("backup", {**about, **ends}, state.started_at, state.ended_at, of=spec.trace)
    for phase, begun, ended in phases:
        telemetry.past(phase, about, begun, ended, of=spec.trace)
    if evidence is None or evidence.quiesced_at is None or evidence.resumed is None:
        return
    # The guest says how long, by a clock that cannot jump; the app knows when, to the length of a message.
    begun = evidence.quiesced_at - (evidence.quiesced.quiesce_ms if evidence.quiesced else 0)
    telemetry.past("freeze window", about, begun, begun + evidence.resumed.window_ms, of=spec.trace)
    for capture in evidence.captures:
        if capture.succeeded_seen_at is not None:
            of_disk = about | {"disk": capture.disk_id, "snapshot": capture.snapshot_id}
            telemetry.past("snapshot", of_disk, capture.put_sent_at, capture.succeeded_seen_at, of=spec.trace)


def _capture_ms(evidence: Evidence) -> int | None:
    """Give the ms from the first request for a snapshot to the moment the last was seen to succeed."""
    seen = [c.succeeded_seen_at for c in evidence.captures if c.succeeded_seen_at is not None]
    return max(seen) - min(c.put_sent_at for c in evidence.captures) if seen else None


def swept(runs: int) -> None:
    """Count the runs that a sweep has looked through."""
    _sweeps.add(runs)


def mended(what: str) -> None:
    """Count a saga that a sweep found left behind: ``unstarted``, ``unrecorded`` or ``overdue``."""
    _overdue.add(1, {"what": what})


def ack_rejected(reason: str) -> None:
    """Count an ack that was turned away."""
    _rejected.add(1, {"reason": reason})


def ack_ignored(reason: str) -> None:
    """Count a genuine ack that moved nothing."""
    _ignored.add(1, {"reason": reason})
