"""JSON Schemas (2020-12) of what ``/api/health`` answers. Later versions may add members."""

from shared.triggers.schema_parts import COUNT, MOMENT, TEXT, TEXTS, Schema, all_there, or_null, ref

_OBJECT: Schema = {"type": "object"}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Health": _health(),
        "Check": _check(),
        "NoticesCheck": _notices_check(),
        "FindingsCheck": _findings_check(),
        "HousekeepingCheck": _housekeeping_check(),
    }


def _health() -> Schema:
    members: dict[str, Schema] = {
        "status": {"enum": ["healthy", "unhealthy"]},
        "problems": TEXTS,
        "version": TEXT,
        "draining": {"type": "boolean"},
        "attention": TEXTS,
        "checked_at": MOMENT,
        "storage": _each(ref("Check")),
        "arm": ref("Check"),
        "overdue": ref("Check"),
        "poison": _each(COUNT),
        "notices": ref("NoticesCheck"),
        "findings": ref("FindingsCheck"),
        "last_housekeeping": ref("HousekeepingCheck"),
        "acks": _each(_each(_each(COUNT))),
    }
    whole = all_there("What the app needs and what waits for a person; problems make it unhealthy.", members)
    return whole | {"required": ["status", "problems", "version"]}  # more is not known without settings


def _check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": {"description": "The class of the error.", "type": "string"},
        "count": COUNT,
        "oldest": or_null(_OBJECT),
        "sagas_looked_at": COUNT,
        "complete": {"type": "boolean"},
    }
    return all_there("Something that was looked at, and how long that took.", members) | {
        "required": ["ok", "ms"]
    }


def _notices_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "waiting": COUNT,
        "given_up": COUNT,
    }
    told = "How many notices are to be delivered or tried again, and how many were given up."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _findings_check() -> Schema:
    oldest = {"finding": TEXT, "kind": TEXT, "resource": TEXT, "first_seen": MOMENT, "href": TEXT}
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "count": COUNT,
        "complete": {"type": "boolean"},
        "kinds": _each(COUNT),
        "oldest": or_null(all_there("The finding that was seen first.", oldest)),
        "begun_at": or_null(MOMENT),
    }
    told = "What reconciliation found that does not agree between the records and Azure."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _housekeeping_check() -> Schema:
    members: dict[str, Schema] = {
        "ok": {"type": "boolean"},
        "ms": COUNT,
        "error": TEXT,
        "began_at": or_null(MOMENT),
        "ended_at": or_null(MOMENT),
        "removed": _each(COUNT),
        "not_cleaned": TEXTS,
        "going_on_since": or_null(MOMENT),
    }
    told = "The last pass that removed what nobody needs any more, and since when another one goes on."
    return all_there(told, members) | {"required": ["ok", "ms"]}


def _each(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}
