"""JSON Schemas (2020-12) of what a document says of the disks that are in its recovery points."""

from shared.policy.disk_fields import (
    LARGEST_LUN,
    LONGEST_NAME,
    MOST_LUNS,
    MOST_NAMES,
    MOST_RULES,
    MOST_TAGS,
)
from shared.policy.disks import DiskKind
from shared.triggers.schema_parts import Schema, closed, or_null, ref, table


def disks() -> Schema:
    """Describe the section ``disks``."""
    rules = or_null({"type": "array", "items": ref("DiskRule"), "maxItems": MOST_RULES})
    return closed(
        "Which disks are in: those that a rule of include names (all, without one), but none of exclude.",
        {"include": rules, "exclude": rules},
    )


def rule() -> Schema:
    """Describe a rule of it."""
    lun = {"type": "integer", "minimum": 0, "maximum": LARGEST_LUN}
    name = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
    whole = closed(
        "Disks for which all that is said is true: one of the LUNs, of the names (patterns with * ? [...]), "
        "of the kinds, and all of the tags.",
        {
            "luns": or_null(_list(lun, MOST_LUNS)),
            "names": or_null(_list(name, MOST_NAMES)),
            "kinds": or_null(_list({"enum": list(DiskKind)}, len(DiskKind))),
            "tags": or_null(table(MOST_TAGS, 256)),
        },
    )
    something = [
        {"properties": {name: {"type": "array", "minItems": 1}}, "required": [name]}
        for name in ("luns", "names", "kinds")
    ]
    tagged = {"properties": {"tags": {"type": "object", "minProperties": 1}}, "required": ["tags"]}
    return whole | {"anyOf": [*something, tagged]}


def _list(item: Schema, most: int) -> Schema:
    return {"type": "array", "items": item, "maxItems": most}
