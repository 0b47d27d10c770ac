"""Records as table entities: JSON in chunks, with a schema version.

A string property holds 64 KiB of UTF-16, an entity 1 MiB (Azure Storage scalability targets for tables). The
JSON is ASCII, so that one character is one UTF-16 unit and a chunk boundary cannot split one.
"""

import json
from collections.abc import Mapping
from typing import Any

from shared.storage import upcasts
from shared.storage.errors import RowTooLarge, UnknownSchema, UnknownVersion, UnusableKey
from shared.storage.upcasts import Form, version_of

CHUNK_CHARS = 32_000
ROW_CHARS = 480_000
_FORBIDDEN = frozenset("/\\#?")
_MAX_KEY = 500


def key(*parts: str) -> str:
    """A partition or row key of the parts, joined by ``-``.

    Raises:
        UnusableKey: empty, over 500 characters, or with a character that Table Storage forbids in keys.
    """
    text = "-".join(parts)
    if not all(parts) or len(text) > _MAX_KEY or any(c in _FORBIDDEN or not c.isprintable() for c in text):
        raise UnusableKey(text)
    return text


def pack(partition: str, row: str, data: Any, form: Form = Form.OTHER, **columns: Any) -> dict[str, Any]:
    """Make an entity: JSON-able ``data`` in chunks, and columns of their own for what is queried or merged.

    Raises:
        RowTooLarge: the JSON is over 480,000 characters.
    """
    text = json.dumps(data, separators=(",", ":"))
    if len(text) > ROW_CHARS:
        raise RowTooLarge(f"{partition}/{row}", len(text), ROW_CHARS)
    chunks = {
        f"json{number:02}": text[start : start + CHUNK_CHARS]
        for number, start in enumerate(range(0, len(text), CHUNK_CHARS))
    }
    return {"PartitionKey": partition, "RowKey": row, "schema": version_of(form), **columns, **chunks}


def unpack(entity: Mapping[str, Any], form: Form = Form.OTHER) -> Any:
    """Read the data of an entity that ``pack`` made, this version or an older one.

    Raises:
        UnknownSchema: no upcast leads from the row's version to this one.
    """
    require_known(entity, form)  # before anything else of it is read
    text = "".join(entity[name] for name in sorted(entity) if name.startswith("json"))
    return upcasts.brought_up(form, json.loads(text), entity.get("schema", 1))


def require_known(entity: Mapping[str, Any], form: Form) -> None:
    """Check a row's version. Rows in columns alone only ever get more of them.

    Raises:
        UnknownSchema: the row says that it is of a version that this code does not read.
    """
    try:
        upcasts.require_known(form, entity.get("schema", 1))
    except UnknownVersion as error:
        raise UnknownSchema(f"{entity['PartitionKey']}/{entity['RowKey']}", error) from None


def int64(value: int) -> tuple[int, str]:
    """A whole number as the tables SDK wants it when it may not fit into 32 bits."""
    return (value, "Edm.Int64")


def whole(value: Any) -> int:
    """A whole number as it comes back: 64-bit ones with their type."""
    return int(value[0] if isinstance(value, tuple) else value)
