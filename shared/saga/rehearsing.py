"""Rehearsals: what a recovery point would have been, had there been snapshots. Pure.

A rehearsal holds the guest as a backup would, and lets it go at once. Nothing of it is a recovery point, so
it has no grade; what it can say is how good one would have been at best.
"""

from dataclasses import dataclass, replace

from shared.saga.consistency import ANCHOR, Verdict, grade
from shared.saga.evidence import DiskCapture, Evidence
from shared.saga.phases import RESUME_RESERVE_MS
from shared.saga.restore_points import PLATFORMS_BEST, asked_consistency
from shared.saga.state import SagaState

SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How one thing was held. Times in ms by the guest's clock, None where nobody measured them.

    ``took_ms``: until it was held. ``held_ms``: from then until it was let go.
    """

    kind: str
    name: str
    mode: str
    took_ms: int | None
    held_ms: int | None
    held_until_order: bool | None


def as_if_captured(evidence: Evidence) -> Evidence:
    """Give the evidence as it would be, had every disk been snapshotted just before the order to resume."""
    at = evidence.resume_ordered_at
    if at is None:
        return evidence
    captures = tuple(
        DiskCapture(
            disk_id=disk, lun=None, snapshot_id="", put_sent_at=at, time_created=at, succeeded_seen_at=at
        )
        for disk in evidence.disks
    )
    return replace(evidence, captures=captures, captured_at=at)


def best_verdict(state: SagaState) -> Verdict:
    """Say how consistent a recovery point would be at best, and what stands in the way of more."""
    assert state.evidence is not None
    verdict = grade(as_if_captured(state.evidence))
    if state.spec.snapshots.is_restore_point and asked_consistency(state) == PLATFORMS_BEST:
        word = "Azure's word decides how consistent a restore point is, and only a real one has it"
        return replace(verdict, reasons=(*verdict.reasons, word))
    return verdict


def left_for_snapshots_ms(evidence: Evidence) -> int | None:
    """Say how much of the freeze budget a backup would have had for its snapshots."""
    quiesced = evidence.quiesced
    return None if quiesced is None else max(0, quiesced.budget_left_ms - RESUME_RESERVE_MS)


def what_was_held(evidence: Evidence) -> tuple[Rehearsed, ...]:
    """Say of each thing how long it took to hold it, and for how long it was held."""
    if evidence.quiesced is None:
        return ()
    until = {(item.kind, item.name): item for item in evidence.resumed.held} if evidence.resumed else {}
    found = []
    for held in evidence.quiesced.held:
        told = until.get((held.kind, held.name))
        by_script = held.kind == SCRIPT and held.mode != ANCHOR
        found.append(
            Rehearsed(
                kind=held.kind,
                name=held.name,
                mode=held.mode,
                took_ms=_script_took_ms(evidence) if by_script else held.took_ms,
                held_ms=_script_held_ms(evidence) if by_script else (told.held_ms if told else None),
                held_until_order=None if told is None else told.held_until_order,
            )
        )
    return tuple(found)


def _script_took_ms(evidence: Evidence) -> int | None:
    script = evidence.quiesced.script if evidence.quiesced else None
    return None if script is None else script.duration_ms


def _script_held_ms(evidence: Evidence) -> int | None:
    """What a pre-script stopped was stopped from its end until the post-script began."""
    resumed, took_ms = evidence.resumed, _script_took_ms(evidence)
    if resumed is None or took_ms is None:
        return None
    post_ms = resumed.script.duration_ms if resumed.script else 0
    return max(0, resumed.window_ms - took_ms - post_ms)
