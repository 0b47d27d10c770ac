"""Reading the parameters of a query: how many, from where on, times, choices. Errors name the parameter."""

import base64
import binascii
import re
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum

import azure.functions as func

from shared.policy.fields import DocumentError

#: Items of a page, where the caller does not say.
USUAL_LIMIT = 100
#: Items of a page at most.
LARGEST_LIMIT = 1_000
#: Characters of a continuation, as it is given out.
LONGEST_CONTINUATION = 2_048
#: Characters of any other parameter.
LONGEST_TEXT = 1_024

#: What the Functions host itself reads from a query: the key and its name.
_OF_THE_HOST = ("code", "clientId")

_LIMIT = re.compile("[0-9]{1,9}")
_OPAQUE = re.compile("[A-Za-z0-9_-]+")
#: RFC 3339, which is ISO 8601 with date, time and zone.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_MOMENT_SHAPE = (
    "expected a time with its zone, like 2026-11-24T03:00:00Z or 2026-11-24T03:00:00%2B01:00 "
    "(in a query a plus is written %2B)"
)


def only(req: func.HttpRequest, *names: str) -> None:
    """Refuse parameters that the call does not have: a filter with a slip in its name would filter nothing.

    Raises:
        DocumentError: names the parameter, and the nearest right one.
    """
    for name in req.params:
        if name not in names and name not in _OF_THE_HOST:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names) or 'none'}"
            raise DocumentError(name[:100] or "query", f"unknown parameter; {hint}")


def read_limit(req: func.HttpRequest) -> int:
    """Read ``limit``, the number of items that a page may have.

    Raises:
        DocumentError: it is not a whole number from 1 to 1000.
    """
    given: str | None = req.params.get("limit")
    if given is None:
        return USUAL_LIMIT
    if not _LIMIT.fullmatch(given) or not 1 <= int(given) <= LARGEST_LIMIT:
        raise DocumentError("limit", f"expected a whole number from 1 to {LARGEST_LIMIT}")
    return int(given)


def write_continuation(place: str) -> str | None:
    """Make the place at which a page ended opaque for callers; None when there is no more."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=") if place else None


def read_continuation(req: func.HttpRequest) -> str:
    """Read ``continuation``: the place at which the last page ended; empty at the beginning.

    Who reads the place has to check it all the same: callers can make one up.

    Raises:
        DocumentError: it is not what an answer gave.
    """
    given: str | None = req.params.get("continuation")
    if given is None:
        return ""
    if not _OPAQUE.fullmatch(given) or len(given) > LONGEST_CONTINUATION:
        raise no_continuation()
    try:
        place = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise no_continuation() from None
    if not place.isprintable():
        raise no_continuation()
    return place


def no_continuation() -> DocumentError:
    """Give the error for a continuation that no answer gave."""
    return DocumentError("continuation", "expected the continuation of an earlier answer to the same query")


def read_text(req: func.HttpRequest, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """Read a text that is not blank; None when there is none.

    Raises:
        DocumentError: it is blank, too long, or has characters that cannot be shown.
    """
    given: str | None = req.params.get(name)
    if given is not None and (not given.strip() or len(given) > longest or not given.isprintable()):
        raise DocumentError(name, f"expected a printable text of 1 to {longest} characters")
    return given


def read_moment(req: func.HttpRequest, name: str) -> int | None:
    """Read a time, ISO 8601 with its zone, as ms since the epoch; None when there is none.

    Raises:
        DocumentError: it is no time, or says no zone.
    """
    given: str | None = req.params.get(name)
    return None if given is None else parse_moment(given, name)


def parse_moment(text: str, field: str) -> int:
    """Read a time, ISO 8601 with its zone, as ms since the epoch, rounded down.

    Raises:
        DocumentError: it is no time, or says no zone; ``field`` is where it was given.
    """
    if not _MOMENT.fullmatch(text.upper()):
        raise DocumentError(field, _MOMENT_SHAPE)
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp() * 1000 // 1)
    except (ValueError, OverflowError):
        raise DocumentError(field, _MOMENT_SHAPE) from None


def read_choice[E: StrEnum](req: func.HttpRequest, name: str, kind: type[E]) -> E | None:
    """Read one of the values of an enumeration; None when there is none.

    Raises:
        DocumentError: it is another value.
    """
    given: str | None = req.params.get(name)
    if given is None:
        return None
    try:
        return kind(given)
    except ValueError:
        raise DocumentError(name, "expected one of " + ", ".join(kind)) from None
