"""What the OpenAPI document of the HTTP API allows."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from shared.triggers.openapi import document

_END = re.compile(r"\$$")


def faults(schema: str, data: Any) -> list[str]:
    """Give what a schema of the document has against some data: paths and messages, none if it fits."""
    return [
        f"{error.json_path}: {error.message:.200}"
        for each in _validator(schema).iter_errors(data)
        for error in (each, *each.context)
    ]


def _pattern(_: Any, pattern: str, text: Any, __: Any) -> Iterator[ValidationError]:
    """Check a pattern as ECMAScript does: ``$`` is the end and nothing else."""
    if isinstance(text, str) and not re.search(_END.sub(r"\\Z", pattern), text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _whole(_: Any, value: Any) -> bool:
    """Take whole numbers as the readers do: those with a fraction of zero are none."""
    return type(value) is int


def _float_or_whole(_: Any, value: Any) -> bool:
    return type(value) in (int, float)


_types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _whole).redefine("number", _float_or_whole)
_Validator: Callable[..., Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _pattern}, type_checker=_types
)


@cache
def _validator(schema: str) -> Any:
    whole = document()
    Draft202012Validator.check_schema(whole["components"]["schemas"][schema])
    return _Validator({"$ref": f"#/components/schemas/{schema}", "components": whole["components"]})
