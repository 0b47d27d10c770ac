"""JSON Schemas (2020-12) of the documents that callers send: policies and run requests.

The readers in ``shared/policy`` decide; these say the same as far as a schema can. What it cannot say
(members that do not fit together) is refused by the readers alone, and told in words. Tests compare the two.
"""

from enum import StrEnum
from typing import Any

from shared.policy import variables
from shared.policy.documents import MOST_TAGS, MOST_VMS
from shared.policy.guest_fields import LONGEST_FREEZE_MS, MOST_HANDLERS, MOST_OVERRIDES
from shared.policy.guest_processing import (
    AgentCredential,
    AgentInstall,
    AgentUse,
    AnchorProvider,
    Filesystems,
    GuestProcessing,
    HandlerName,
    OnGuestFailure,
    Script,
    StderrRule,
)
from shared.policy.script_fields import LARGEST_CONTENT, MOST_RETRIES
from shared.policy.snapshots import RecoveryPointKind, SnapshotSettings
from shared.triggers import notice_schemas

Schema = dict[str, Any]

#: A text with at least one character that is no white space.
_NOT_BLANK = r"\S"
_VARIABLES = "|".join(variables.VARIABLES)
#: Neither NUL nor a percent sign that begins no variable.
_EXPANDABLE = rf"^(?:[^%\u0000]|%(?:{_VARIABLES})?%)*$"


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "VmId": {
            "description": "The ARM id of a VM. The case does not matter; none is named twice.",
            "type": "string",
            "pattern": _vm_id(),
        },
        "PolicyName": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
        "Policy": _policy(),
        "RunRequest": {"anyOf": [ref("RunOfPolicy"), ref("RunOfVms")]},
        "RunOfPolicy": _run_of_policy(),
        "RunOfVms": _run_of_vms(),
        "GuestProcessing": _guest_processing(),
        "GuestSettings": _closed("The settings for some of the VMs, over those for all.", _settings()),
        "Override": _override(),
        "Script": {"anyOf": [ref("ScriptInGuest"), ref("DeliveredScript")]},
        "ScriptInGuest": _script_in_guest(),
        "DeliveredScript": _delivered_script(),
        "Handler": _handler(),
        "Anchor": _anchor(),
        "Snapshots": _snapshots(),
        "Schedule": _schedule(),
    }


def ref(name: str) -> Schema:
    """Refer to a schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Allow null beside what a schema allows: it says the same as a missing member."""
    return {"anyOf": [schema, {"type": "null"}]}


def _policy() -> Schema:
    return _closed(
        "Which VMs, when and how.",
        {
            "vms": _vms(least=1),
            "guest_processing": or_null(ref("GuestProcessing")),
            "snapshots": or_null(ref("Snapshots")),
            "schedule": or_null(ref("Schedule")),
            "retention": or_null(ref("Retention")),
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
        },
        required=("vms",),
    )


def _run_of_policy() -> Schema:
    return _closed(
        "A run of a stored policy, over some of its VMs or (without vms) over all.",
        {
            "policy": ref("PolicyName"),
            "vms": or_null(_vms()),
            "guest_processing": {"type": "null"},
            "snapshots": {"type": "null"},
            "concurrency": {"type": "null"},
            "retry": {"type": "null"},
            "notifications": {"type": "null"},
        },
        required=("policy",),
    )


def _run_of_vms() -> Schema:
    return _closed(
        "A run of named VMs with settings of its own.",
        {
            "policy": {"type": "null"},
            "vms": _vms(least=1),
            "guest_processing": or_null(ref("GuestProcessing")),
            "snapshots": or_null(ref("Snapshots")),
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
        },
        required=("vms",),
    )


def _vms(*, least: int = 0) -> Schema:
    listed = {"type": "array", "items": ref("VmId"), "maxItems": MOST_VMS, "uniqueItems": True}
    return listed | ({"minItems": least} if least else {})


def _guest_processing() -> Schema:
    layers = {
        "linux": or_null(ref("GuestSettings")),
        "windows": or_null(ref("GuestSettings")),
        "overrides": or_null({"type": "array", "items": ref("Override"), "maxItems": MOST_OVERRIDES}),
    }
    told = (
        "How the applications of the VMs are held. Settings have to fit together for every VM that they are "
        "for: quiesce_timeout_ms is less than freeze_budget_ms, a pre_script has a post_script, which may "
        "take less than resume_timeout_ms, and something is held."
    )
    return _closed(told, _settings() | layers)


def _settings() -> dict[str, Schema]:
    default = GuestProcessing()
    return {
        "enabled": {"type": "boolean", "default": default.enabled},
        "on_guest_failure": _choice(OnGuestFailure, default.on_guest_failure),
        "filesystems": _choice(Filesystems, default.filesystems),
        "pre_script": or_null(ref("Script")),
        "post_script": or_null(ref("Script")),
        "handlers": {
            "anyOf": [
                {"type": "array", "items": ref("Handler"), "maxItems": MOST_HANDLERS},
                {"enum": ["auto", None]},
            ]
        },
        "anchor": or_null(ref("Anchor")),
        "freeze_budget_ms": _whole(2_000, LONGEST_FREEZE_MS, default.freeze_budget_ms),
        "quiesce_timeout_ms": _whole(500, LONGEST_FREEZE_MS, default.quiesce_timeout_ms),
        "arming_timeout_ms": _whole(5_000, 1_800_000, default.arming_timeout_ms),
        "resume_timeout_ms": _whole(5_000, 1_800_000, default.resume_timeout_ms),
        "attempts": _whole(1, 5, default.attempts),
        "agent": _choice(AgentUse, default.agent),
        "agent_install": _choice(AgentInstall, default.agent_install),
        "agent_credential": _choice(AgentCredential, default.agent_credential),
        "agent_client_id": _text(64),
    }


def _override() -> Schema:
    named: Schema = {"type": "array", "minItems": 1}
    tagged: Schema = {"type": "object", "minProperties": 1}
    whole = _closed(
        "Settings for some of the document's VMs: those named, those with all of the tags.",
        {
            "vms": or_null({"type": "array", "items": {"type": "string", "maxLength": 1024}}),
            "tags": or_null(_table(15, 256)),
            "guest_processing": ref("GuestSettings"),
        },
        required=("guest_processing",),
    )
    either = [
        {"properties": {"vms": named}, "required": ["vms"]},
        {"properties": {"tags": tagged}, "required": ["tags"]},
    ]
    return whole | {"anyOf": either}


def _script_in_guest() -> Schema:
    return _closed(
        "A script that is in the guest, in a folder that its administrator allows.",
        {
            "path": {"type": "string", "maxLength": 1024, "pattern": r"^(?:/|[A-Za-z]:\\)"},
            "content": {"type": "null"},
            "sha256": {"type": "null"},
            "name": {"type": "null"},
            **_script_rules(),
            "ignore_missing": {"type": "boolean", "default": False},
        },
        required=("path",),
    )


def _delivered_script() -> Schema:
    return _closed(
        "A script that is delivered; sha256, where it is given, must be that of the content.",
        {
            "path": {"type": "null"},
            "content": {
                "type": "string",
                "maxLength": LARGEST_CONTENT,
                "pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$",
            },
            "sha256": or_null({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}),
            "name": or_null({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}),
            **_script_rules(),
            "ignore_missing": {"const": False},
        },
        required=("content",),
    )


def _script_rules() -> dict[str, Schema]:
    default = Script()
    argument = {"type": "string", "maxLength": 1024, "pattern": _EXPANDABLE}
    names = {"pattern": f"^(?!{_any_case(variables.RESERVED)})[A-Za-z_][A-Za-z0-9_]{{0,127}}$"}
    user = {"type": "string", "maxLength": 64, "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?$"}
    return {
        "arguments": or_null({"type": "array", "items": argument, "maxItems": 64}),
        "environment": or_null(_table(64, 1024, names=names, pattern=_EXPANDABLE)),
        "timeout_ms": _whole(100, 600_000, default.timeout_ms),
        "retries": _whole(0, MOST_RETRIES, default.retries),
        "retry_delay_ms": _whole(0, 600_000, default.retry_delay_ms),
        "accepted_exit_codes": or_null(_codes()),
        "warning_exit_codes": or_null(_codes()),
        "ignore_exit_codes": {"type": "boolean", "default": default.ignore_exit_codes},
        "stderr": _choice(StderrRule, default.stderr),
        "run_as": or_null(user),
    }


def _codes() -> Schema:
    code = {"type": "integer", "minimum": -(2**31), "maximum": 2**32 - 1}
    return {"type": "array", "items": code, "maxItems": 64}


def _handler() -> Schema:
    return _closed(
        "An application that the agent holds by itself.",
        {
            "name": {"enum": list(HandlerName)},
            "mode": or_null(_text(64)),
            "required": {"type": "boolean", "default": True},
            "settings": or_null(_table(32, 256)),
        },
        required=("name",),
    )


def _anchor() -> Schema:
    return _closed(
        "A snapshot inside the guest as the instant.",
        {
            "provider": {"enum": list(AnchorProvider)},
            "lifetime_ms": _whole(10_000, LONGEST_FREEZE_MS, 120_000),
            "settings": or_null(_table(32, 256)),
        },
        required=("provider",),
    )


def _snapshots() -> Schema:
    default = SnapshotSettings()
    names = {
        "minLength": 1,
        "maxLength": 512,
        "pattern": rf"^(?!{_any_case('stillframe-')})[^<>%&\\?/]*$",
    }
    return _closed(
        "Where the recovery points go and what they carry. No tag is named twice, whatever the case.",
        {
            "recovery_point": _choice(RecoveryPointKind, default.recovery_point),
            "resource_group": or_null(
                {"type": "string", "maxLength": 90, "pattern": r"^[\w.()-]{0,89}[\w()-]$"}
            ),
            "tags": or_null(_table(MOST_TAGS, 256, names=names)),
            "completion_timeout_ms": _whole(60_000, 7 * 24 * 3_600_000, default.completion_timeout_ms),
        },
    )


def _schedule() -> Schema:
    return _closed(
        "A cron expression of five fields that comes at some time, in a time zone of the IANA database.",
        {
            "cron": {"type": "string", "maxLength": 200, "pattern": r"^\s*\S+(?:\s+\S+){4}\s*$"},
            "time_zone": or_null({**_text(64), "default": "UTC"}),
        },
        required=("cron",),
    )


def _closed(description: str, properties: dict[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | ({"required": list(required)} if required else {})


def _choice(kind: type[StrEnum], default: StrEnum) -> Schema:
    return {"enum": [each.value for each in kind], "default": default.value}


def _whole(least: int, most: int, default: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def _text(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest, "pattern": _NOT_BLANK}


def _table(most: int, longest: int, *, names: Schema | None = None, pattern: str = "") -> Schema:
    value: Schema = {"type": "string", "maxLength": longest} | ({"pattern": pattern} if pattern else {})
    table: Schema = {"type": "object", "additionalProperties": value, "maxProperties": most}
    return table | ({"propertyNames": names} if names else {})


def _any_case(text: str) -> str:
    """Write a pattern for a text in any case: patterns of JSON Schema have no flags."""
    return "".join(f"[{each.upper()}{each.lower()}]" if each.isalpha() else each for each in text)


def _vm_id() -> str:
    subscription = f"^/{_any_case('subscriptions')}/[0-9A-Fa-f-]{{36}}"
    group = rf"/{_any_case('resourceGroups')}/[\w.()-]{{1,90}}"
    provider = rf"/{_any_case('providers')}/{_any_case('Microsoft')}\.{_any_case('Compute')}"
    return rf"{subscription}{group}{provider}/{_any_case('virtualMachines')}/[A-Za-z0-9_.-]{{1,64}}$"


#: For the modules that describe sections of their own.
closed, text, whole = _closed, _text, _whole
