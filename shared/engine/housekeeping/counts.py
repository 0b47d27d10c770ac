"""The room of the day's counts of acks that were turned away or ignored."""

from shared.engine.ack_counts import NAME, day_of
from shared.engine.housekeeping.rooms import Done
from shared.storage.counters import CounterTable


class OldCounts:
    """Counts of days before the cutoff."""

    name = "counts"

    def __init__(self, counters: CounterTable) -> None:
        self._counters = counters

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Remove the counts of all days up to the cutoff's."""
        del after, now
        return Done("", {"days_of_counts": await self._counters.forget_until(NAME, day_of(cutoff))})
