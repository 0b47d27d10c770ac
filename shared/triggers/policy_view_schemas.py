"""JSON Schemas (2020-12) of what is shown of policies. Later versions may add members."""

from shared.triggers import notice_schemas
from shared.triggers.schema_parts import COUNT, HREF, MOMENT, TEXT, TEXTS, Schema, all_there, or_null, ref


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "StoredPolicy": _stored_policy(),
        **_policy_views(),
    }


def _stored_policy() -> Schema:
    """Say what a policy is with its name; a policy itself is closed, so this cannot be put onto it."""
    return {
        "description": "The policy as it was sent, with its name.",
        "type": "object",
        "properties": {
            "policy": ref("PolicyName"),
            "version": {"type": ["integer", "null"]},
            "description": or_null(TEXT),
            "vms": or_null({"type": "array", "items": ref("VmId")}),
            "selection": or_null(ref("Selection")),
            "allow_tags": or_null(TEXTS),
            "guest_processing": or_null(ref("GuestProcessing")),
            "disks": or_null(ref("Disks")),
            "snapshots": or_null(ref("Snapshots")),
            "schedule": or_null(ref("Schedule")),
            "retention": or_null(ref("Retention")),
            "schedules": or_null({"type": "array", "items": ref("NamedSchedule")}),
            "times": {"type": "array", "items": ref("ScheduleTimes")},
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
        },
        "required": ["policy"],
    }


def _policy_views() -> dict[str, Schema]:
    missed = all_there("The last time at which no run began.", {"at": MOMENT, "why": TEXT})
    scheduled: dict[str, Schema] = {
        "name": TEXT,
        "next_time": or_null(MOMENT),
        "last_run": or_null(TEXT),
        "last_run_at": or_null(MOMENT),
        "last_missed": or_null(missed),
    }
    listed: dict[str, Schema] = {
        "policy": ref("PolicyName"),
        "href": HREF,
        "description": or_null(TEXT),
        "problem": or_null(TEXT),
        "schedules": {"type": "array", "items": ref("ScheduleTimes")},
    }
    judged: dict[str, Schema] = {"vm": ref("VmId"), "name": TEXT, "rule": TEXT}
    remark: dict[str, Schema] = {
        "tag": TEXT,
        "code": TEXT,
        "wrong": {"type": "boolean"},
        "sentence": TEXT,
    }
    selected = judged | {
        "found": {"enum": [True, None]},
        "group": or_null(TEXT),
        "priority": or_null(COUNT),
        "tags": {"type": "array", "items": all_there("What is said of a tag of the VM.", remark)},
    }
    unread = all_there("What could not be read.", {"scope": TEXT, "code": TEXT, "why": TEXT})
    schedule: dict[str, Schema] = {
        "name": TEXT,
        "paused": {"type": "boolean"},
        "guest_processing_changes": TEXTS,
        "next_times": {"type": "array", "items": MOMENT},
        "in_blackout": {"type": "array", "items": MOMENT},
    }
    preview: dict[str, Schema] = {
        "policy": or_null(ref("PolicyName")),
        "complete": {"type": "boolean"},
        "selected_count": COUNT,
        "excluded_count": COUNT,
        "selected": {"type": "array", "items": all_there("A VM, and by which rule.", selected)},
        "excluded": {"type": "array", "items": all_there("A VM, and by which rule.", judged)},
        "groups": {"type": "array", "items": ref("GroupPreview")},
        "unread": {"type": "array", "items": unread},
        "schedules": {"type": "array", "items": all_there("A schedule.", schedule)},
    }
    page: dict[str, Schema] = {
        "items": {"type": "array", "items": all_there("A policy.", listed)},
        "continuation": or_null(TEXT),
    }
    valid: dict[str, Schema] = {"valid": {"const": True}, "document": ref("Policy")}
    return {
        "ScheduleTimes": all_there("When a schedule is due, and what became of it before.", scheduled),
        "Policies": all_there("Policies, by their names.", page),
        "PolicyPreview": all_there("What a policy would do now; not complete where Azure was not.", preview),
        "ValidPolicy": all_there("A valid policy, written the one way.", valid),
    }
