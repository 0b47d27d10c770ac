"""Reading YAML as if it were JSON: the same values, and no surprises.

Only what the core schema of YAML 1.2 has: ``true``, ``false``, ``null`` and numbers as JSON writes them; all
else is a text, so ``no``, ``on``, ``12:30`` and ``2026-11-27`` are what stands there. Anchors, aliases, tags,
merged keys and a second document are refused. The events are read one by one: nothing of the library makes
objects of them.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from shared.policy.fields import DocumentError

#: Characters. YAML is read slower than JSON, and a policy is far shorter.
LONGEST_YAML = 256 * 1024
DEEPEST_YAML = 32

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE = re.compile("-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TEXT_TAG = "tag:yaml.org,2002:str"


def parse_yaml(text: str) -> Any:
    """Read one document.

    Raises:
        DocumentError: it is too long or too deep, is no YAML, or has what JSON has not; it says where.
    """
    if len(text) > LONGEST_YAML:
        raise DocumentError("body", f"expected YAML of at most {LONGEST_YAML} characters")
    try:
        return _Reader(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        raise DocumentError("body", f"expected YAML: {error.problem}{_at(error.problem_mark)}") from None
    except (yaml.YAMLError, ValueError):  # a character that YAML does not allow
        raise DocumentError("body", "expected YAML of printable characters") from None


class _Reader:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def document(self) -> Any:
        self._next()  # the stream begins
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise DocumentError("body", "expected a document, not an empty text")
        value = self._value(self._next(), 1)
        self._next()  # the document ends
        following = self._next()
        if not isinstance(following, yaml.StreamEndEvent):
            raise DocumentError("body", f"expected one document alone{_at(following.start_mark)}")
        return value

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, depth: int) -> Any:
        where = _at(event.start_mark)
        if depth > DEEPEST_YAML:
            raise DocumentError("body", f"expected at most {DEEPEST_YAML} levels{where}")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise DocumentError("body", f"anchors and aliases are not read: write it out{where}")
        if event.tag is not None and event.tag not in ("!", _TEXT_TAG):
            raise DocumentError("body", f"tags are not read{where}")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            where = _at(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None:
                raise DocumentError("body", f"expected the name of a member{where}")
            name = str(event.value)
            if name == "<<" and not event.style:
                raise DocumentError("body", f"merged keys (<<) are not read: write them out{where}")
            if name in members:
                raise DocumentError("body", f"the member {name!r:.100} comes twice in one object{where}")
            members[name] = self._value(self._next(), depth + 1)
        return members


def _scalar(event: Any) -> Any:
    text = str(event.value)
    if event.style or event.tag == _TEXT_TAG:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text) and len(text) <= 20:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) and len(text) <= 40 else text


def _at(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
