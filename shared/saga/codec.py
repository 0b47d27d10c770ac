"""Saga records to JSON and back, by the types of the dataclasses.

Members of a union (events, effects) carry their class name as ``type``. A member that a stored record lacks
takes its default, so that a record written before the member existed is still read; a record that does not
fit is an ``UnreadableRecordError``, never a guess.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from shared.saga.errors import UnreadableRecordError

_PLAIN = (str, int, float, bool)

#: Every whole number up to this is a float without loss.
_LARGEST_WHOLE_FLOAT = 2**53


def encode(value: Any) -> Any:
    """Turn a record into what ``json.dumps`` takes."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        return {"type": type(value).__name__, **members}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    return value


def decode[T](kind: type[T], data: Any) -> T:
    """Turn what ``json.loads`` gave back into a record of the type ``kind`` (a dataclass).

    Raises:
        UnreadableRecordError: the data do not fit the type.
    """
    record: T = _decode(kind, data, kind.__name__)
    return record


def decode_any(kinds: Any, data: Any) -> Any:
    """Turn data into whichever member of the union ``kinds`` (``Event``, ``Effect``) they name.

    Raises:
        UnreadableRecordError: the data fit none of them.
    """
    return _decode(kinds, data, "record")


def _decode(kind: Any, data: Any, path: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), data, path)
    if origin is tuple:
        return _decode_tuple(get_args(kind), data, path)
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_record(kind, data, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            raise UnreadableRecordError(path, "one of " + ", ".join(str(k.value) for k in kind)) from None
    if kind is float and type(data) is int and abs(data) <= _LARGEST_WHOLE_FLOAT:
        return float(data)
    if kind in _PLAIN and type(data) is kind:
        return data
    raise UnreadableRecordError(path, getattr(kind, "__name__", str(kind)))


def _decode_union(members: tuple[Any, ...], data: Any, path: str) -> Any:
    if data is None and type(None) in members:
        return None
    named = [kind for kind in members if is_dataclass(kind)]
    if named and isinstance(data, dict):
        for kind in named:
            if len(named) == 1 or getattr(kind, "__name__", "") == data.get("type"):
                return _decode(kind, data, path)
    for kind in members:
        if kind is not type(None) and not is_dataclass(kind):
            return _decode(kind, data, path)
    raise UnreadableRecordError(path, "one of " + ", ".join(getattr(k, "__name__", str(k)) for k in members))


def _decode_tuple(arguments: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise UnreadableRecordError(path, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(data))
    if len(data) != len(arguments):
        raise UnreadableRecordError(path, f"{len(arguments)} items")
    pairs = zip(arguments, data, strict=True)
    return tuple(_decode(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(pairs))


def _decode_record(kind: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict) or data.get("type", kind.__name__) != kind.__name__:
        raise UnreadableRecordError(path, f"a {kind.__name__}")
    hints = _hints(kind)
    members = {}
    for field in fields(kind):
        if field.name in data:
            members[field.name] = _decode(hints[field.name], data[field.name], f"{path}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableRecordError(f"{path}.{field.name}", "to be there")
    return kind(**members)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
