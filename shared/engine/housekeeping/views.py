"""What health says of housekeeping."""

from typing import Any

from shared.engine.housekeeping.rooms import DAY_MS
from shared.engine.views import moment
from shared.storage.housekeeping import Passes

#: A pass takes minutes, and begins every day.
_TOO_LONG_MS = 3 * DAY_MS


def housekeeping_view(passes: Passes | None) -> dict[str, Any]:
    """Show the pass that ended last, and since when one goes on."""
    last = passes.last if passes else None
    going_on = passes.now if passes else None
    return {
        "began_at": moment(last.began_at if last else None),
        "ended_at": moment(last.ended_at if last else None),
        "removed": {one.what: one.count for one in last.removed} if last else {},
        "not_cleaned": list(last.failed) if last else [],
        "going_on_since": moment(going_on.began_at if going_on else None),
    }


def housekeeping_attention(passes: Passes | None, now: int) -> list[str]:
    """Say what of it a person should look at."""
    if passes is None:
        return []
    told = [
        f"housekeeping could not clean {failed}" for failed in (passes.last.failed if passes.last else ())
    ]
    began = passes.now.began_at if passes.now else passes.last.began_at if passes.last else now
    if now - began > _TOO_LONG_MS:
        told.append(f"housekeeping has come to no end for {(now - began) // DAY_MS} days")
    return told
