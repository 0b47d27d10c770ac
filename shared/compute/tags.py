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

GROUP = "stillframe-group"
GROUP_MEMBERS = "stillframe-group-members"
"""The names of the VMs that share the instant, or how many they are where a tag has no room for them."""
GROUP_SKEW_MS = "stillframe-group-skew-ms"
"""How far their snapshots lie apart; empty where no instant is shared."""
ONE_INSTANT = "stillframe-one-instant"

#: What the value of a tag may hold.
_LONGEST_VALUE = 256


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


def of_group(*, group: str, members: Iterable[str], skew_ms: int | None, one_instant: bool) -> dict[str, str]:
    """Give the tags that say whether a kept snapshot shares its instant with those of other VMs (names)."""
    names = tuple(members)
    listed = ",".join(names)
    return {
        GROUP: group,
        GROUP_MEMBERS: listed if len(listed) <= _LONGEST_VALUE else f"{len(names)} VMs",
        GROUP_SKEW_MS: "" if skew_ms is None else str(skew_ms),
        ONE_INSTANT: str(one_instant).lower(),
    }
