"""Values of the SDK's models as the saga writes them."""

from datetime import datetime
from enum import Enum

from shared.saga.codec import decode, encode
from shared.saga.errors import UnreadableRecordError


def epoch_ms(moment: datetime | None) -> int | None:
    """Give a time of the service in ms since the epoch, rounded down; None stays None."""
    return None if moment is None else int(moment.timestamp() * 1000)


def spelling(value: str | None) -> str:
    """Give an enumerated value as the service spells it; empty for None.

    The SDK gives known values as members of an enumeration, whose `str` and whose hash are not those of the
    text, and unknown ones as plain text. Raises `TypeError` for what is no text.
    """
    text = value.value if isinstance(value, Enum) else value
    if text is not None and not isinstance(text, str):
        raise TypeError(f"expected a text, not {type(text).__name__}")
    return text or ""


def of_its_types[T](record: T) -> T:
    """Give a record back whose members are of their types: nobody else has looked at what the models gave.

    Raises `TypeError` otherwise: once stored, such a record could not be read again.
    """
    try:
        decode(type(record), encode(record))
    except UnreadableRecordError as error:
        raise TypeError(str(error)) from error
    return record
