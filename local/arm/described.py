"""Reading dataclasses from JSON whose members have the same names: strictly, and naming what is wrong."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

_JSON_TYPES: dict[Any, type] = {tuple: list, Mapping: dict}


class InvalidSpecError(ValueError):
    """A description of a VM or of a world cannot be used; `field` names the member."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


def members(cls: type, value: Any, where: str) -> dict[str, Any]:
    """Return the members of a JSON object that describes all of `cls`; raises `InvalidSpecError`."""
    found = some_members(cls, value, where)
    for item in fields(cls):
        required = item.default is MISSING and item.default_factory is MISSING
        if required and item.name not in found:
            raise InvalidSpecError(f"{where}.{item.name}", "is missing")
    return found


def some_members(cls: type, value: Any, where: str) -> dict[str, Any]:
    """Return the members of a JSON object that describes some of `cls`; raises `InvalidSpecError`."""
    if not isinstance(value, dict):
        raise InvalidSpecError(where, "must be an object")
    hints = get_type_hints(cls)
    for name, member in value.items():
        if name not in hints:
            raise InvalidSpecError(f"{where}.{name}", "is unknown")
        if not _fits(member, hints[name]):
            raise InvalidSpecError(f"{where}.{name}", "has the wrong type")
    return dict(value)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, option) for option in get_args(hint))
    if isinstance(value, bool):
        return hint is bool
    if hint in {None, NoneType}:
        return value is None
    if hint is float:
        return isinstance(value, int | float)
    outer = get_origin(hint) or hint
    return isinstance(value, _JSON_TYPES.get(outer, outer))
