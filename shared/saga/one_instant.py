"""Whether the members of a group share one instant, and how far the instants of their snapshots lie apart.

All members were held from when the barrier ``held`` opened until ``captured`` did. That is known from who
waited for whom; each member's own chain proves that it was held in between (``barriers.shares_instant``).
Clocks are the second witness: they only ever take the claim away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.saga.chain import CLOCK_TOLERANCE_MS
from shared.saga.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a member says of the instant. Times in ms since the epoch.

    ``held_from`` and ``held_until`` are the app's clock: by the one it had heard that all are held, and
    before the other it did not let go. ``first`` and ``last`` are the instants of its snapshots by Azure's
    clock. ``window_ms`` is how long it was held by the guest's own clock.
    """

    held_from: int
    held_until: int
    first: int
    last: int
    window_ms: int


def share_of(evidence: Evidence) -> Share | None:
    """Give what a member's evidence says of the instant; None where it says too little."""
    instants = [capture.time_created for capture in evidence.captures if capture.time_created is not None]
    held, captured, resumed = evidence.all_held_at, evidence.all_captured_at, evidence.resumed
    if held is None or captured is None or resumed is None or not instants:
        return None
    return Share(
        held_from=held,
        held_until=captured,
        first=min(instants),
        last=max(instants),
        window_ms=resumed.window_ms,
    )


def skew_ms(shares: Sequence[Share]) -> int | None:
    """Measure how far the instants of all members' snapshots lie apart, in ms; None without any."""
    if not shares:
        return None
    return max(share.last for share in shares) - min(share.first for share in shares)


def why_not_one_instant(shares: Sequence[Share | None]) -> str:
    """Say what speaks against one instant of members that all proved that they were held; empty: nothing."""
    known = [share for share in shares if share is not None]
    if not known or len(known) < len(shares):
        return "a member's evidence does not say when all were held"
    begin, end = max(share.held_from for share in known), min(share.held_until for share in known)
    if begin > end + CLOCK_TOLERANCE_MS:
        return f"by the app's clocks no moment lies in the holds of all ({begin - end} ms are missing)"
    for share in known:
        if share.first < share.held_from - CLOCK_TOLERANCE_MS:
            return "by Azure's clock a snapshot is older than the moment from which all were held"
        if share.last > share.held_until + CLOCK_TOLERANCE_MS:
            return "by Azure's clock a snapshot is younger than the moment until which all were held"
    return ""
