"""The room of reservations: rows in which nothing is reserved any more, and nothing was for a week.

A process that has such a row in mind finds it gone at its next write, and begins anew with an empty one.
"""

from collections.abc import Callable
from typing import Any

from shared.engine.disk_notes import DiskNotes
from shared.engine.housekeeping.rooms import DAY_MS, Done
from shared.engine.places import TURN_KEPT_MS, Places
from shared.engine.request_budget import GRANT_KEPT_MS, RequestBudget
from shared.logs import logger
from shared.saga.codec import decode
from shared.saga.errors import UnreadableRecordError
from shared.storage.reservations import ReservationTable

_log = logger("housekeeping")

ROWS = 500
#: A row of a VM that is snapshotted every night is not made anew every night.
_IDLE_MS = 7 * DAY_MS


class SpentReservations:
    """Reservations that have run out."""

    name = "reservations"

    def __init__(self, reservations: ReservationTable) -> None:
        self._reservations = reservations

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Remove the rows of a page in which nothing is reserved."""
        del cutoff  # what is reserved is for minutes
        page = await self._reservations.all(after=after, size=ROWS)
        removed = 0
        for row in page:
            if _is_spent(row.name, row.data, now - _IDLE_MS):
                removed += await self._reservations.forget(row)
        return Done(page[-1].name if len(page) == ROWS else "", {"reservations": removed})


def _is_spent(name: str, data: Any, since: int) -> bool:
    last_use = _LAST_USE.get(name.partition("-")[0])
    if last_use is None:
        return False
    try:
        return last_use(data) < since
    except UnreadableRecordError as error:
        _log.warning("reservations %s cannot be read, and stay: %s", name, error)
        return False


def _of_places(data: Any) -> int:
    places = decode(Places, data)
    ends = [one.expires_at for one in places.taken]
    return max([*ends, *(one.again_at + TURN_KEPT_MS for one in places.waiting)], default=0)


def _of_notes(data: Any) -> int:
    return max((max(one.at, one.ended_at) for one in decode(DiskNotes, data).notes), default=0)


def _of_budget(data: Any) -> int:
    budget = decode(RequestBudget, data)
    grants = [one.at + GRANT_KEPT_MS for one in budget.grants]
    return max([budget.at, budget.closed_until, *grants])


#: By what a row's name begins with: when it was last of use, ms since the epoch.
_LAST_USE: dict[str, Callable[[Any], int]] = {
    "held": _of_places,
    "vm": _of_notes,
    "requests": _of_budget,
}
