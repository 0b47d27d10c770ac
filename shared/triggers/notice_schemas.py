"""JSON Schemas (2020-12) of notifications: what a document says of them, and the events that are sent.

Later versions may add members to the events.
"""

from typing import Any

from shared.engine.notice_events import GROUPS_AT_MOST, PROBLEMS_AT_MOST, TYPES
from shared.policy.notifications import (
    LONGEST_HEADER,
    LONGEST_QUEUE,
    LONGEST_URL,
    MOST_HEADERS,
    MOST_NOTIFICATIONS,
    OWN_QUEUES,
    QUEUE_NAME,
    SECRET_NAME,
    SECRET_SETTING,
    NoticeKind,
    NoticePer,
)
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, Phase
from shared.triggers.schema_parts import (
    COUNT,
    HREF,
    MOMENT,
    TEXT,
    Schema,
    all_there,
    any_case,
    closed,
    or_null,
    ref,
    table,
)


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Notification": _notification(),
        "Webhook": _webhook(),
        "Notice": _notice(),
        "RunNotice": _run(),
        "VmNotice": _vm(),
        "MissedNotice": _missed(),
        "OverdueVm": _overdue(),
    }


def notifications() -> Schema:
    """Give the schema of the member ``notifications``."""
    return or_null({"type": "array", "items": ref("Notification"), "maxItems": MOST_NOTIFICATIONS})


def webhooks() -> dict[str, Any]:
    """Give the requests that the app itself makes, for ``webhooks`` of an OpenAPI document."""
    headers = [
        _header("webhook-id", "The event's id, the same in every attempt."),
        _header("webhook-timestamp", "When this attempt was made, in seconds since the epoch."),
        _header(
            "webhook-signature", "For each key `v1,` and the HMAC-SHA256 of `id.timestamp.body`, base64."
        ),
    ]
    told = "Tell of the end of a run or a VM, of one that is overdue, of a schedule that was missed"
    content = {"application/cloudevents+json": {"schema": ref("Notice")}}
    answers = {
        "2XX": {"description": "It was taken."},
        "410": {"description": "It shall not be sent again; it is put aside."},
        "default": {"description": "It is sent again later, for a day; Retry-After is honoured."},
    }
    post = {
        "operationId": "notice",
        "summary": told,
        "parameters": headers,
        "requestBody": {"required": True, "content": content},
        "responses": answers,
    }
    return {"notice": {"post": post}}


def _header(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "required": True, "description": description, "schema": TEXT}


def _notification() -> Schema:
    prefixes = "|".join(OWN_QUEUES)
    queue = {"type": "string", "pattern": f"^(?!{prefixes}){QUEUE_NAME.pattern}$", "maxLength": LONGEST_QUEUE}
    kinds = {
        "type": "array",
        "items": {"enum": list(NoticeKind)},
        "minItems": 1,
        "uniqueItems": True,
    }
    whole = closed(
        "Who is told of what: a webhook, or a queue of the app's storage account. By default of all but "
        "success. What was missed is told per run only.",
        {
            "on": or_null(kinds),
            "per": {"enum": list(NoticePer), "default": NoticePer.RUN.value},
            "webhook": or_null(ref("Webhook")),
            "queue": or_null(queue),
        },
    )
    there = {"not": {"type": "null"}}
    either = [
        {
            "properties": {one: there, other: {"type": "null"}},
            "required": [one],
        }
        for one, other in (("webhook", "queue"), ("queue", "webhook"))
    ]
    return whole | {"oneOf": either}


def _webhook() -> Schema:
    setting = f"The name of the secret that signs: the application setting {SECRET_SETTING}<NAME>."
    header = r"^[ -~]*$"
    loopback = rf"http://(?:127\.0\.0\.1|{any_case('localhost')}|\[::1\])(?=[:/?]|$)"
    return closed(
        "Where events are posted to, signed (Standard Webhooks).",
        {
            "url": {
                "description": "An https URL without user, password and fragment.",
                "type": "string",
                "maxLength": LONGEST_URL,
                "pattern": rf"^(?:https://[!-~]|{loopback})[!-~]*$",
            },
            "secret": {"description": setting, "type": "string", "pattern": f"^{SECRET_NAME.pattern}$"},
            "headers": or_null(
                table(MOST_HEADERS, LONGEST_HEADER, names={"pattern": "^[A-Za-z0-9-]{1,64}$"}, pattern=header)
            ),
        },
        required=("url", "secret"),
    )


def _notice() -> Schema:
    def data(prefix: str, schema: str) -> Schema:
        return {"properties": {"type": {"pattern": rf"^stillframe\.{prefix}\."}, "data": ref(schema)}}

    members: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "source": HREF,
        "type": {"enum": list(TYPES)},
        "subject": TEXT,
        "time": MOMENT,
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object"},
    }
    whole = all_there(
        "A CloudEvent 1.0 in structured mode. The same id is the same event, sent again.", members
    )
    return whole | {
        "oneOf": [data("run", "RunNotice"), data("vm", "VmNotice"), data("schedule", "MissedNotice")]
    }


def _run() -> Schema:
    problem: dict[str, Schema] = {
        "vm": ref("VmId"),
        "name": TEXT,
        "outcome": {"enum": list(Outcome)},
        "grade": {"enum": [*Grade, None]},
        "step": {"enum": [*Phase, None]},
        "sentence": TEXT,
        "href": HREF,
    }
    counts: dict[str, Schema] = dict.fromkeys((*Outcome, "running"), COUNT)
    selected: dict[str, Schema] = {
        "state": {"enum": ["complete", "partial", "empty", "selecting"]},
        "sentence": TEXT,
    }
    members: dict[str, Schema] = {
        "run": TEXT,
        "policy": or_null(ref("PolicyName")),
        "requested_by": TEXT,
        "created_at": MOMENT,
        "ended_at": or_null(MOMENT),
        "vm_count": COUNT,
        "selection": or_null(all_there("How the VMs were selected; null where they were named.", selected)),
        "vms": all_there("How many VMs came to what.", counts),
        "warnings": COUNT,
        "groups": {
            "type": "array",
            "maxItems": GROUPS_AT_MOST,
            "items": ref("GroupInShort"),
        },
        "groups_left_out": COUNT,
        "problems": {
            "type": "array",
            "maxItems": PROBLEMS_AT_MOST,
            "items": all_there("A VM that did not end well, failures first.", problem),
        },
        "problems_left_out": COUNT,
        "href": HREF,
    }
    return _with_overdue(all_there("A run that has ended, or that has a VM which is overdue.", members))


def _vm() -> Schema:
    problem: dict[str, Schema] = {
        "sentence": TEXT,
        "step": {"enum": list(Phase)},
        "what_to_do": TEXT,
        "code": or_null(TEXT),
    }
    members: dict[str, Schema] = {
        "run": TEXT,
        "policy": or_null(ref("PolicyName")),
        "vm": ref("VmId"),
        "name": TEXT,
        "saga": TEXT,
        "outcome": {"enum": [*Outcome, None]},
        "grade": {"enum": [*Grade, None]},
        "freeze_window_ms": or_null(COUNT),
        "warnings": COUNT,
        "why": TEXT,
        "problem": or_null(all_there("What went wrong, and what to do.", problem)),
        "started_at": or_null(MOMENT),
        "ended_at": or_null(MOMENT),
        "href": HREF,
    }
    return _with_overdue(all_there("A VM of a run that has ended, or is overdue.", members))


def _with_overdue(schema: Schema) -> Schema:
    return schema | {"properties": schema["properties"] | {"overdue": ref("OverdueVm")}}


def _overdue() -> Schema:
    members: dict[str, Schema] = {
        "vm": ref("VmId"),
        "name": TEXT,
        "saga": TEXT,
        "phase": {"enum": list(Phase)},
        "since": MOMENT,
        "href": HREF,
    }
    return all_there("The VM whose deadline is over, and the phase that it is in.", members)


def _missed() -> Schema:
    members: dict[str, Schema] = {
        "policy": ref("PolicyName"),
        "schedule": or_null(TEXT),
        "due": MOMENT,
        "why": TEXT,
        "href": HREF,
    }
    return all_there("A schedule whose time passed without a run.", members)
