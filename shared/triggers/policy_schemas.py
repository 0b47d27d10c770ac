"""JSON Schemas (2020-12) of what a policy says of its VMs and its times."""

from shared.policy.schedules import (
    LEAST_LATENESS_MS,
    LONGEST_CRON,
    LONGEST_LATENESS_MS,
    LONGEST_ZONE,
    MOST_BLACKOUTS,
    Weekday,
)
from shared.policy.selection_fields import LONGEST_PATTERN, MOST_PATTERNS, MOST_RULES, MOST_SUBSCRIPTIONS
from shared.policy.tag_expressions import LONGEST_NAME, LONGEST_VALUE, MOST_VALUES
from shared.policy.vm_ids import MOST_VMS
from shared.triggers.schema_parts import Schema, closed, or_null, ref, text

_NAME = "^[a-z0-9][a-z0-9-]{0,62}$"
_CLOCK = "^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_SUBSCRIPTION = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names."""
    return {
        "Selection": _selection(),
        "IncludeRule": {"anyOf": [_named(), _conditions(included=True)]},
        "ExcludeRule": {"anyOf": [_named(), _conditions(included=False)]},
        "GroupRule": _conditions(included=False),
        "TagExpression": {"anyOf": [*_tests(), *_groups()]},
        "Schedule": _schedule(named=False),
        "NamedSchedule": _schedule(named=True),
        "Blackout": _blackout(),
        "ScheduleName": {"type": "string", "pattern": _NAME},
    }


def _selection() -> Schema:
    def rules(name: str) -> Schema:
        return or_null({"type": "array", "items": ref(name), "maxItems": MOST_RULES})

    return closed(
        "The VMs that a rule of include is about, but none of exclude; Azure is asked at each run.",
        {"include": rules("IncludeRule"), "exclude": rules("ExcludeRule")},
    )


def _named() -> Schema:
    vms: Schema = {"type": "array", "items": ref("VmId"), "minItems": 1, "maxItems": MOST_VMS}
    nothing: Schema = {"type": "null"}
    others = ("subscriptions", "resource_groups", "names", "locations", "os", "tags")
    members = {"vms": vms | {"uniqueItems": True}} | dict.fromkeys(others, nothing)
    return closed("VMs by their ids.", members, required=("vms",))


def _conditions(*, included: bool) -> Schema:
    subscription = {"type": "string", "pattern": _SUBSCRIPTION}
    pattern = {"type": "string", "maxLength": LONGEST_PATTERN, "pattern": r"\S"}
    patterns = {"type": "array", "items": pattern, "minItems": 1, "maxItems": MOST_PATTERNS}
    some = {"type": "array", "items": subscription, "minItems": 1, "maxItems": MOST_SUBSCRIPTIONS}
    members: dict[str, Schema] = {
        "vms": {"type": ["array", "null"], "maxItems": 0},
        "subscriptions": some if included else or_null(some),
        "resource_groups": or_null(patterns),
        "names": or_null(patterns),
        "locations": or_null(patterns),
        "os": {"enum": ["linux", "windows", None]},
        "tags": or_null(ref("TagExpression")),
    }
    told = (
        "VMs for which all is true that it says: one of each list, the system, the tags. Groups and names "
        "are patterns with *, ? and [...]. No case matters but that of tags' values."
    )
    if included:
        return closed(told, members, required=("subscriptions",))
    said = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in members
        if name != "vms"
    ]
    return closed(told, members) | {"anyOf": said}


def _tests() -> list[Schema]:
    value = {"type": "string", "maxLength": LONGEST_VALUE}
    tests: dict[str, Schema] = {
        "equals": value,
        "in": {"type": "array", "items": value, "minItems": 1, "maxItems": MOST_VALUES},
        "exists": {"type": "boolean"},
        "pattern": value,
    }
    nothing: Schema = {"type": "null"}
    return [
        closed(
            "A test of one tag. Its name is compared without regard to case, its value with it.",
            {"tag": text(LONGEST_NAME), **dict.fromkeys((*tests, "all", "any", "not"), nothing), name: test},
            required=("tag", name),
        )
        for name, test in tests.items()
    ]


def _groups() -> list[Schema]:
    nothing: Schema = {"type": "null"}
    names = ("tag", "equals", "in", "exists", "pattern", "all", "any", "not")
    parts: Schema = {"type": "array", "items": ref("TagExpression"), "minItems": 1}
    kinds = {
        "all": (parts, "True where every part is."),
        "any": (parts, "True where one part is."),
        "not": (ref("TagExpression"), "True where its part is not."),
    }
    return [
        closed(told, {**dict.fromkeys(names, nothing), name: schema}, required=(name,))
        for name, (schema, told) in kinds.items()
    ]


def _schedule(*, named: bool) -> Schema:
    late = {"type": "integer", "minimum": LEAST_LATENESS_MS, "maximum": LONGEST_LATENESS_MS}
    members: dict[str, Schema] = {
        "cron": {"type": "string", "maxLength": LONGEST_CRON, "pattern": r"^\s*\S+(?:\s+\S+){4}\s*$"},
        "time_zone": or_null({**text(LONGEST_ZONE), "default": "UTC"}),
        "start_within_ms": or_null(late),
        "blackout": or_null({"type": "array", "items": ref("Blackout"), "maxItems": MOST_BLACKOUTS}),
        "guest_processing": or_null(ref("ScheduleGuestProcessing")),
        "paused": {"type": ["boolean", "null"], "default": False},
    }
    told = (
        "A cron expression of five fields that comes at some time, in a time zone of the IANA database. "
        "A run whose time was missed starts late, once, within start_within_ms; guest_processing lies over "
        "the policy's own."
    )
    if named:
        return closed(told, {"name": ref("ScheduleName"), **members}, required=("name", "cron"))
    return closed(told, members, required=("cron",))


def _blackout() -> Schema:
    clock = {"type": "string", "pattern": _CLOCK}
    days = {"type": "array", "items": {"enum": list(Weekday)}, "minItems": 1, "maxItems": len(Weekday)}
    return closed(
        "When no run begins, by the schedule's clock; where to is not after from, it ends on the next day.",
        {
            "days": or_null(days),
            "from": {"type": "string", "pattern": _CLOCK.replace("|24:00", "")},
            "to": clock,
        },
        required=("from", "to"),
    )
