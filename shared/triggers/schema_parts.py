"""What JSON Schemas are put together of."""

from enum import StrEnum
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
COUNT: Schema = {"type": "integer", "minimum": 0}
HREF: Schema = {"type": "string", "format": "uri-reference"}
MOMENT: Schema = {"type": "string", "format": "date-time"}

#: A text with at least one character that is no white space.
_NOT_BLANK = r"\S"


def ref(name: str) -> Schema:
    """Refer to a schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Allow null beside what a schema allows: it says the same as a missing member."""
    return {"anyOf": [schema, {"type": "null"}]}


def closed(description: str, properties: dict[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    """Describe an object with these members and no others."""
    schema: Schema = {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | ({"required": list(required)} if required else {})


def all_there(description: str, properties: dict[str, Schema]) -> Schema:
    """Describe an object that is answered: all of these members, and in later versions maybe more."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def choice(kind: type[StrEnum], default: StrEnum) -> Schema:
    """Describe one of the values of an enumeration."""
    return {"enum": [each.value for each in kind], "default": default.value}


def whole(least: int, most: int, default: int) -> Schema:
    """Describe a whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def text(longest: int) -> Schema:
    """Describe a text that is not blank."""
    return {"type": "string", "maxLength": longest, "pattern": _NOT_BLANK}


def table(most: int, longest: int, *, names: Schema | None = None, pattern: str = "") -> Schema:
    """Describe an object of texts."""
    value: Schema = {"type": "string", "maxLength": longest} | ({"pattern": pattern} if pattern else {})
    table: Schema = {"type": "object", "additionalProperties": value, "maxProperties": most}
    return table | ({"propertyNames": names} if names else {})


def any_case(text: str) -> str:
    """Write a pattern for a text in any case: patterns of JSON Schema have no flags."""
    return "".join(f"[{each.upper()}{each.lower()}]" if each.isalpha() else each for each in text)
