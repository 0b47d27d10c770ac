"""The tags that every snapshot of a recovery point carries."""

from collections.abc import Iterable

POLICY = "stillframe-policy"
RUN = "stillframe-run"
SAGA = "stillframe-saga"
GENERATION = "stillframe-generation"
GRADE = "stillframe-grade"
FREEZE_WINDOW_MS = "stillframe-freeze-window-ms"
EVIDENCE = "stillframe-evidence"
"""SHA-256 of the evidence, hex."""
WARNINGS = "stillframe-warnings"
"""How many warnings the saga has."""
LEFT_OUT = "stillframe-left-out"
"""Which disks of the VM are not in the recovery point: ``os`` and LUNs, with commas."""


def at_birth(*, policy: str, run: str, saga: str, generation: int) -> dict[str, str]:
    """Give the tags that a snapshot is created with: enough to find its saga, and to delete no other's."""
    return {POLICY: policy, RUN: run, SAGA: saga, GENERATION: str(generation)}


def when_graded(
    *, grade: str, freeze_window_ms: int | None, evidence: str, warnings: int, left_out: Iterable[str]
) -> dict[str, str]:
    """Give the tags that a kept snapshot gets; the freeze window (ms) is empty where nothing was held."""
    window = "" if freeze_window_ms is None else str(freeze_window_ms)
    return {
        GRADE: grade,
        FREEZE_WINDOW_MS: window,
        EVIDENCE: evidence,
        WARNINGS: str(warnings),
        LEFT_OUT: ",".join(left_out),
    }
