"""Values of the SDK's models as the saga writes them."""

from datetime import datetime
from enum import Enum


def epoch_ms(moment: datetime | None) -> int | None:
    """Give a time of the service in ms since the epoch, rounded down; None stays None."""
    return None if moment is None else int(moment.timestamp() * 1000)


def spelling(value: str | None) -> str:
    """Give an enumerated value as the service spells it; empty for None.

    The SDK gives known values as members of an enumeration, whose `str` and whose hash are not those of the
    text, and unknown ones as plain text.
    """
    return str(value.value) if isinstance(value, Enum) else value or ""
