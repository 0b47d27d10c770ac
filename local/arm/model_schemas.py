"""JSON Schema out of the model classes of azure-mgmt-compute.

Each model's members are descriptors made by its `rest_field`: they hold the name on the wire and the
visibility; the annotation beside them holds the type and whether it may be left out.
"""

import datetime as dt
import decimal
from enum import Enum, StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from azure.mgmt.compute import models

_RFC3339 = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    decimal.Decimal: {"type": "number"},
    bytes: {"type": "string"},
    dt.datetime: {"type": "string", "pattern": _RFC3339},
    dt.date: {"type": "string"},
    dt.time: {"type": "string"},
    dt.timedelta: {"type": "string", "pattern": "^-?P"},
    Any: {},
    object: {},
}


#: Enumerations that the models themselves call deprecated: there are many more sizes of VMs by now.
_GROWN_OLD = {"VirtualMachineSizeTypes"}


class Direction(StrEnum):
    """Which way a body goes; the first two are also names of visibilities."""

    CREATE = "create"
    UPDATE = "update"
    ANSWER = "read"


class UnknownModelTypeError(TypeError):
    """A model has a member of a type that this module cannot express; `annotation` is that type."""

    def __init__(self, annotation: Any) -> None:
        super().__init__(f"no JSON Schema is known for {annotation!r}")
        self.annotation = annotation


@cache
def model_schema(name: str, direction: Direction) -> dict[str, Any]:
    """Return the schema of a model, a `$ref` into its own `$defs`; raises `UnknownModelTypeError`."""
    definitions: dict[str, Any] = {}
    reference = _reference(getattr(models, name), direction, definitions)
    return {**reference, "$defs": definitions}


def _reference(cls: type, direction: Direction, definitions: dict[str, Any]) -> dict[str, Any]:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # models may contain themselves
        definitions[cls.__name__] = _object(cls, direction, definitions)
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _object(cls: type, direction: Direction, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    hints = get_type_hints(cls, localns={"_models": models})
    for attribute, descriptor in _descriptors(cls).items():
        # The client library offers no public way to a member's name on the wire and visibility.
        wire_name = descriptor._rest_name_input or attribute  # noqa: SLF001
        visibility = descriptor._visibility or list(Direction)  # noqa: SLF001
        if direction not in visibility:
            continue
        annotation, optional = _without_none(hints[attribute])
        properties[wire_name] = _of(annotation, direction, definitions)
        if not optional:
            required.append(wire_name)
    closed = {} if direction is Direction.ANSWER else {"additionalProperties": False}
    return {"type": "object", "properties": properties, "required": required, **closed}


def _descriptors(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= {name: value for name, value in vars(base).items() if hasattr(value, "_rest_name_input")}
    return found


def _without_none(annotation: Any) -> tuple[Any, bool]:
    members = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    kept = [member for member in members if member is not NoneType]
    if len(kept) == 1:
        return kept[0], len(kept) < len(members)
    return Union[tuple(kept)], len(kept) < len(members)  # noqa: UP007 - built at run time


def _of(annotation: Any, direction: Direction, definitions: dict[str, Any]) -> dict[str, Any]:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is list:
            return {"type": "array", "items": _of(arguments[0], direction, definitions)}
        case origin if origin is dict:
            return {"type": "object", "additionalProperties": _of(arguments[1], direction, definitions)}
        case origin if origin is Literal:
            return {"enum": [item.value if isinstance(item, Enum) else item for item in arguments]}
        case origin if origin in {Union, UnionType}:
            return _of_union(arguments, direction, definitions)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {"type": "string", "enum": [item.value for item in annotation]}
    if isinstance(annotation, type) and _descriptors(annotation):
        return _reference(annotation, direction, definitions)
    raise UnknownModelTypeError(annotation)


def _of_union(
    arguments: tuple[Any, ...], direction: Direction, definitions: dict[str, Any]
) -> dict[str, Any]:
    """Express a union; a text beside an enumeration means an open enumeration: closed for what we send."""
    enumerations = [item for item in arguments if isinstance(item, type) and issubclass(item, Enum)]
    if enumerations and str in arguments:
        if direction is Direction.ANSWER or enumerations[0].__name__ in _GROWN_OLD:
            return {"type": "string"}
        return _of(enumerations[0], direction, definitions)
    return {"anyOf": [_of(item, direction, definitions) for item in arguments]}
