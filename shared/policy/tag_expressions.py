"""Expressions over the tags of a VM: tests of single tags, and ``all``, ``any``, ``not`` over expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from shared.policy.fields import DocumentError, Fields

#: Expressions inside expressions, and tests in one whole expression.
DEEPEST = 8
MOST_TESTS = 64
MOST_VALUES = 100

#: Azure Resource Manager's limits for tags.
LONGEST_NAME = 512
LONGEST_VALUE = 256

_TESTS = ("equals", "in", "exists", "pattern")
_GROUPS = ("all", "any", "not")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTest:
    """One tag: there with one of ``values``, or with a value that fits ``pattern``, or there or not.

    The name is compared without regard to case and values with it, as Azure does.
    """

    tag: str
    values: tuple[str, ...] | None = None
    pattern: str | None = None
    exists: bool = True

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether it is true of these tags, whose names are in small letters."""
        value = tags.get(self.tag.lower())
        if value is None or not self.exists:
            return (value is not None) == self.exists
        if self.values is not None:
            return value in self.values
        return self.pattern is None or fnmatchcase(value, self.pattern)


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every part is."""

    parts: "tuple[TagTest | AllOf | AnyOf | NotThis, ...]"

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether it is true of these tags, whose names are in small letters."""
        return all(part.holds(tags) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where one part is, or more."""

    parts: "tuple[TagTest | AllOf | AnyOf | NotThis, ...]"

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether it is true of these tags, whose names are in small letters."""
        return any(part.holds(tags) for part in self.parts)


@dataclass(frozen=True, slots=True)
class NotThis:
    """True where its part is not."""

    part: "TagTest | AllOf | AnyOf | NotThis"

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether it is true of these tags, whose names are in small letters."""
        return not self.part.holds(tags)


TagExpression = TagTest | AllOf | AnyOf | NotThis


def read_tag_expression(data: Any, at: str) -> TagExpression:
    """Read an expression that stands at ``at`` in a document.

    Raises:
        DocumentError: names the part that is wrong.
    """
    expression, tests = _read(data, at, 1)
    if tests > MOST_TESTS:
        raise DocumentError(at, f"expected at most {MOST_TESTS} tests of tags in one expression, not {tests}")
    return expression


def _read(data: Any, at: str, depth: int) -> tuple[TagExpression, int]:
    """Give the expression, and how many tests are in it."""
    if depth > DEEPEST:
        raise DocumentError(at, f"expected at most {DEEPEST} expressions inside each other")
    fields = Fields(data, at, ("tag", *_TESTS, *_GROUPS))
    said = [name for name in ("tag", *_GROUPS) if fields.has(name)]
    if len(said) != 1:
        raise DocumentError(at, "expected one of tag, all, any, not, and no second one")
    [kind] = said
    if kind == "tag":
        return _read_test(fields), 1
    for name in _TESTS:
        if fields.has(name):
            raise DocumentError(fields.at(name), "only together with tag")
    if kind == "not":
        part, tests = _read(fields.raw("not"), fields.at("not"), depth + 1)
        return NotThis(part), tests
    parts = fields.raw(kind)
    if not isinstance(parts, list) or not parts:
        raise DocumentError(fields.at(kind), "expected a list of at least one expression")
    read = [_read(part, f"{fields.at(kind)}[{index}]", depth + 1) for index, part in enumerate(parts)]
    found = tuple(part for part, _ in read)
    return (AllOf if kind == "all" else AnyOf)(found), sum(tests for _, tests in read)


def _read_test(fields: Fields) -> TagTest:
    tag = fields.text("tag", longest=LONGEST_NAME)
    said = [name for name in _TESTS if fields.has(name)]
    if len(said) > 1:
        raise DocumentError(fields.at(said[1]), f"not together with {said[0]}")
    if "equals" in said:
        return TagTest(tag=tag, values=(_value(fields.raw("equals"), fields.at("equals")),))
    if "in" in said:
        values = fields.texts("in", most=MOST_VALUES, longest=LONGEST_VALUE)
        if not values:
            raise DocumentError(fields.at("in"), "expected at least one value")
        return TagTest(tag=tag, values=values)
    if "pattern" in said:
        return TagTest(tag=tag, pattern=_value(fields.raw("pattern"), fields.at("pattern")))
    if "exists" in said:
        return TagTest(tag=tag, exists=fields.flag("exists", default=True))
    raise DocumentError(fields.path, f"expected one of {', '.join(_TESTS)} beside tag")


def _value(value: Any, at: str) -> str:
    """Read a tag's value, which may be empty."""
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise DocumentError(at, f"expected a text of at most {LONGEST_VALUE} characters")
    return value
