"""The policy document as such: its JSON Schema for editors, and the one way of writing it."""

import json
from collections.abc import Mapping
from typing import Any

from shared.policy.documents import VERSION
from shared.policy.schedules import DEFAULT_SCHEDULE
from shared.triggers import (
    concurrency_schemas,
    document_schemas,
    group_schemas,
    notice_schemas,
    point_schemas,
)
from shared.triggers.schema_parts import Schema

_REFERENCE = "#/components/schemas/"


def schema() -> Schema:
    """Give the JSON Schema (2020-12) of a policy, whole in itself."""
    known = {
        name: described
        for module in (document_schemas, concurrency_schemas, group_schemas, notice_schemas, point_schemas)
        for name, described in module.schemas().items()
    }
    wanted, names = ["Policy"], set[str]()
    while wanted:
        name = wanted.pop()
        if name not in names:
            names.add(name)
            wanted += _references(known[name])
    parts = {name: _rewritten(known[name]) for name in sorted(names - {"Policy"})}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stillframe policy",
        **_rewritten(known["Policy"]),
        "$defs": parts,
    }


def normalised(document: Mapping[str, Any]) -> dict[str, Any]:
    """Write a valid policy the one way: with its version, ``schedules`` as a list, and no null members."""
    members: dict[str, Any] = {"version": VERSION, **_without_null(document)}
    if "schedule" in members:
        members["schedules"] = [{"name": DEFAULT_SCHEDULE, **members.pop("schedule")}]
    return members


def _without_null(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out null where it says no more than nothing: of the document's own members alone."""
    return {name: value for name, value in document.items() if value is not None}


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = schema.get("$ref")
        found = [own.removeprefix(_REFERENCE)] if isinstance(own, str) else []
        return found + [name for value in schema.values() for name in _references(value)]
    return [name for item in schema for name in _references(item)] if isinstance(schema, list) else []


def _rewritten(schema: Schema) -> Schema:
    text: Schema = json.loads(json.dumps(schema).replace(_REFERENCE, "#/$defs/"))
    return text
