"""Documents from files: JSON or YAML 1.2 as people mean it (``on`` is a name, not true)."""

import json
import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from cli.errors import BadUsage

#: Bytes; the API takes no more.
LARGEST = 1024 * 1024

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Reads the types that JSON has, refuses what comes twice, and knows no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few lines of them can stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        """Read an object whose names are texts, none of which comes twice."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a name must be a text: {name!r}", key.start_mark
                )
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name} comes twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


# The core schema of YAML 1.2: no yes and no, no on and off, no dates, no numbers to the base of 60 or 8.
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _firsts in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", "~nN\0"),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        _TAG + _kind, re.compile(f"^(?:{_pattern})$"), [each.strip("\0") for each in _firsts]
    )

_Loader.add_constructor(_TAG + "int", lambda _loader, node: int(node.value))


def read_document(file: str) -> dict[str, Any]:
    """Read a JSON or YAML file; ``-`` is standard input.

    Raises:
        BadUsage: it cannot be read, or is no document.
    """
    name = "standard input" if file == "-" else file
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else Path(file).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadUsage(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadUsage(f"{name}: expected a text in UTF-8") from None
    if len(data) > LARGEST:
        raise BadUsage(f"{name}: larger than {LARGEST} bytes")
    document = _parse(name, text)
    if not isinstance(document, dict):
        raise BadUsage(f"{name}: expected one object, as JSON or YAML")
    return document


def _parse(name: str, text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _object(name, pairs))
        except ValueError as json_error:
            if name.endswith(".json"):
                raise BadUsage(f"{name}: {json_error}") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadUsage(f"{name}{at}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadUsage(f"{name}: {error}") from None


def _object(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member, value in pairs:
        if member in members:
            raise BadUsage(f"{name}: {member} comes twice in one object")
        members[member] = value
    return members
