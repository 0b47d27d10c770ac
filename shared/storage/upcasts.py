"""The forms of what is stored and sent, with their versions. The one place where what is old is brought up.

A form keeps its version while members are only added, with defaults: an older app leaves them alone, a newer
one takes the default where they are missing. Whatever else changes is a new version: it is written down in
``VERSIONS``, ``UPCASTS`` gets the step that makes the one before into it, and ``tests/samples`` keeps what
each version looked like. What says no version is of version 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

from shared.storage.errors import UnknownVersion

Upcast = Callable[[Any], Any]


class Form(StrEnum):
    """What is stored in rows, and what is sent on the app's own queues."""

    SAGA = "saga"
    EFFECT = "effect of a saga"
    HISTORY = "history of a saga"
    RUN = "run"
    RUN_ENTRY = "VM of a run"
    UNREAD = "unread part of a selection"
    CLAIM = "claim of an idempotency key"
    LISTED_RUN = "run in the list"
    TURN = "turn"
    GROUP = "group of a run"
    POLICY = "policy"
    DUE = "due time"
    POINT = "recovery point"
    EVIDENCE = "evidence of a recovery point"
    FINDING = "finding"
    RESERVATION = "reservation"
    AGENT = "agent"
    HOUSEKEEPING = "pass of housekeeping"
    OTHER = "row"
    RUN_MESSAGE = "message about a run"
    GROUP_MESSAGE = "message about a group"
    STEP_MESSAGE = "message about a saga"
    POINT_MESSAGE = "message about recovery points"
    NOTICE = "notice"


#: The version that this code writes, where it is not 1.
VERSIONS: Mapping[Form, int] = {}

#: By form: turns the JSON of a version into that of the next one.
UPCASTS: Mapping[Form, Mapping[int, Upcast]] = {}


def version_of(form: Form) -> int:
    """Give the version of a form that this code writes."""
    return VERSIONS.get(form, 1)


def require_known(form: Form, version: Any) -> None:
    """Check that data of a version can be read here.

    Raises:
        UnknownVersion: no way leads from the version to this code's.
    """
    known, steps = version_of(form), UPCASTS.get(form, {})
    readable = type(version) is int and all(each in steps for each in range(version, known))
    if not readable or version > known:
        raise UnknownVersion(form, version, known)


def brought_up(form: Form, data: Any, version: Any) -> Any:
    """Give data of a version as those of this code's version.

    Raises:
        UnknownVersion: no way leads from the one to the other.
    """
    require_known(form, version)
    for each in range(version, version_of(form)):
        data = UPCASTS[form][each](data)
    return data


def members_of(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of some members that a dataclass has; a newer app may have written more."""
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in known}
