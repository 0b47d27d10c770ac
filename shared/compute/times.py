"""Times of the service as the saga writes them."""

from datetime import datetime


def epoch_ms(moment: datetime | None) -> int | None:
    """Give a time of the service in ms since the epoch, rounded down; None stays None."""
    return None if moment is None else int(moment.timestamp() * 1000)
