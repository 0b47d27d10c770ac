"""One example of any record, with every member that there may be, made from its types."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN: Mapping[Any, Any] = {str: "text", int: 7, float: 0.5, bool: True, type(None): None, Any: {"any": 1}}


def example(kind: Any, **chosen: Any) -> Any:
    """Give an example of a type; ``chosen`` are members of it, where it is a record."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # whatever says most
        return example(next((each for each in arguments if _is_record(each)), arguments[0]))
    if origin is tuple:
        wanted = arguments[:1] if arguments[1:] == (Ellipsis,) else arguments
        return tuple(example(each) for each in wanted)
    if origin in (dict, Mapping):
        return {"name": example(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    assert _is_record(kind), kind
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    return kind(**{name: chosen[name] if name in chosen else example(hints[name]) for name in names})


def _is_record(kind: Any) -> bool:
    named = isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
    return named or (isinstance(kind, type) and is_dataclass(kind))
