"""JSON Schemas (2020-12) of the documents that callers send: policies and run requests.

The readers in ``shared/policy`` decide; these say the same as far as a schema can. What it cannot say
(members that do not fit together) is refused by the readers alone, and told in words. Tests compare the two.
"""

from shared.policy import variables
from shared.policy.documents import LONGEST_DESCRIPTION, RESERVED, VERSION
from shared.policy.guest_fields import LONGEST_FREEZE_MS, MOST_HANDLERS, MOST_OVERRIDES
from shared.policy.guest_processing import (
    AgentCredential,
    AgentInstall,
    AgentUse,
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    HandlerName,
    OnGuestFailure,
    Script,
    StderrRule,
)
from shared.policy.own_tags import OWN_TAGS
from shared.policy.schedules import MOST_SCHEDULES
from shared.policy.script_fields import LARGEST_CONTENT, MOST_RETRIES
from shared.policy.vm_ids import MOST_VMS
from shared.triggers import disk_schemas, group_schemas, notice_schemas, policy_schemas, snapshot_schemas
from shared.triggers.schema_parts import Schema, any_case, choice, closed, or_null, ref, table, text, whole

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
        "PolicyName": {"type": "string", "pattern": _policy_name()},
        "Policy": _policy(),
        "RunRequest": {"anyOf": [ref("RunOfPolicy"), ref("RunOfVms")]},
        "RunOfPolicy": _run_of_policy(),
        "RunOfVms": _run_of_vms(),
        "GuestProcessing": _guest_processing(),
        "GuestSettings": closed("The settings for some of the VMs, over those for all.", _settings()),
        "Override": _override(),
        "Script": {"anyOf": [ref("ScriptInGuest"), ref("DeliveredScript")]},
        "ScriptInGuest": _script_in_guest(),
        "DeliveredScript": _delivered_script(),
        "Handler": _handler(),
        "Anchor": _anchor(),
        "Disks": disk_schemas.disks(),
        "DiskRule": disk_schemas.rule(),
        "RegionCopySettings": snapshot_schemas.region_copy(),
        "Snapshots": snapshot_schemas.snapshots(),
        "ScheduleGuestProcessing": _schedule_guest_processing(),
        **policy_schemas.schemas(),
    }


def _policy_name() -> str:
    return f"^(?!(?:{'|'.join(RESERVED)})$)[a-z0-9][a-z0-9-]{{0,62}}$"


def _policy() -> Schema:
    schedules = {"type": "array", "items": ref("NamedSchedule"), "maxItems": MOST_SCHEDULES}
    return closed(
        "Which VMs, when and how.",
        {
            "version": {"enum": [VERSION, None]},
            "description": or_null({**text(LONGEST_DESCRIPTION)}),
            "vms": or_null(_vms()),
            "selection": or_null(ref("Selection")),
            "allow_tags": or_null(
                {
                    "type": "array",
                    "items": {"enum": list(OWN_TAGS)},
                    "maxItems": len(OWN_TAGS),
                    "uniqueItems": True,
                }
            ),
            "guest_processing": or_null(ref("GuestProcessing")),
            "disks": or_null(ref("Disks")),
            "snapshots": or_null(ref("Snapshots")),
            "schedule": or_null(ref("Schedule")),
            "retention": or_null(ref("Retention")),
            "schedules": or_null(schedules),
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
            "groups": group_schemas.groups(),
        },
    ) | {
        "anyOf": [
            {"required": ["vms"], "properties": {"vms": {"type": "array", "minItems": 1}}},
            {"required": ["selection"], "properties": {"selection": _some_rule()}},
        ]
    }


def _some_rule() -> Schema:
    return {
        "type": "object",
        "required": ["include"],
        "properties": {"include": {"type": "array", "minItems": 1}},
    }


def _run_of_policy() -> Schema:
    return closed(
        "A run of a stored policy, over some of its VMs or (without vms) over all.",
        {
            "policy": ref("PolicyName"),
            "schedule": or_null(text(63)),
            "vms": or_null(_vms()),
            "guest_processing": {"type": "null"},
            "disks": {"type": "null"},
            "snapshots": {"type": "null"},
            "concurrency": {"type": "null"},
            "retry": {"type": "null"},
            "notifications": {"type": "null"},
            "groups": {"type": "null"},
        },
        required=("policy",),
    )


def _run_of_vms() -> Schema:
    return closed(
        "A run of named VMs with settings of its own.",
        {
            "policy": {"type": "null"},
            "schedule": {"type": "null"},
            "vms": _vms(least=1),
            "guest_processing": or_null(ref("GuestProcessing")),
            "disks": or_null(ref("Disks")),
            "snapshots": or_null(ref("Snapshots")),
            "concurrency": or_null(ref("Concurrency")),
            "retry": or_null(ref("Retry")),
            "notifications": notice_schemas.notifications(),
            "groups": group_schemas.groups(),
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
        "take less than resume_timeout_ms, something is held, and what application_aware requires can be."
    )
    return closed(told, _settings() | layers)


def _schedule_guest_processing() -> Schema:
    systems = {"linux": or_null(ref("GuestSettings")), "windows": or_null(ref("GuestSettings"))}
    return closed("The settings for the runs of a schedule, over all others.", _settings() | systems)


def _settings() -> dict[str, Schema]:
    default = GuestProcessing()
    return {
        "enabled": {"type": "boolean", "default": default.enabled},
        "on_guest_failure": choice(OnGuestFailure, default.on_guest_failure),
        "filesystems": choice(Filesystems, default.filesystems),
        "pre_script": or_null(ref("Script")),
        "post_script": or_null(ref("Script")),
        "handlers": {
            "anyOf": [
                {"type": "array", "items": ref("Handler"), "maxItems": MOST_HANDLERS},
                {"enum": ["auto", None]},
            ]
        },
        "anchor": or_null(ref("Anchor")),
        "freeze_budget_ms": whole(2_000, LONGEST_FREEZE_MS, default.freeze_budget_ms),
        "quiesce_timeout_ms": whole(500, LONGEST_FREEZE_MS, default.quiesce_timeout_ms),
        "arming_timeout_ms": whole(5_000, 1_800_000, default.arming_timeout_ms),
        "resume_timeout_ms": whole(5_000, 1_800_000, default.resume_timeout_ms),
        "attempts": whole(1, 5, default.attempts),
        "agent": choice(AgentUse, default.agent),
        "agent_install": choice(AgentInstall, default.agent_install),
        "agent_credential": choice(AgentCredential, default.agent_credential),
        "agent_client_id": text(64),
        "application_aware": {"enum": list(ApplicationAware)},
    }


def _override() -> Schema:
    named: Schema = {"type": "array", "minItems": 1}
    tagged: Schema = {"type": "object", "minProperties": 1}
    whole = closed(
        "Settings for some of the document's VMs: those named, those with all of the tags.",
        {
            "vms": or_null({"type": "array", "items": {"type": "string", "maxLength": 1024}}),
            "tags": or_null(table(15, 256)),
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
    return closed(
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
    return closed(
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
    names = {"pattern": f"^(?!{any_case(variables.RESERVED)})[A-Za-z_][A-Za-z0-9_]{{0,127}}$"}
    user = {"type": "string", "maxLength": 64, "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?$"}
    return {
        "arguments": or_null({"type": "array", "items": argument, "maxItems": 64}),
        "environment": or_null(table(64, 1024, names=names, pattern=_EXPANDABLE)),
        "timeout_ms": whole(100, 600_000, default.timeout_ms),
        "retries": whole(0, MOST_RETRIES, default.retries),
        "retry_delay_ms": whole(0, 600_000, default.retry_delay_ms),
        "accepted_exit_codes": or_null(_codes()),
        "warning_exit_codes": or_null(_codes()),
        "ignore_exit_codes": {"type": "boolean", "default": default.ignore_exit_codes},
        "stderr": choice(StderrRule, default.stderr),
        "run_as": or_null(user),
    }


def _codes() -> Schema:
    code = {"type": "integer", "minimum": -(2**31), "maximum": 2**32 - 1}
    return {"type": "array", "items": code, "maxItems": 64}


def _handler() -> Schema:
    return closed(
        "An application that the agent holds by itself.",
        {
            "name": {"enum": list(HandlerName)},
            "mode": or_null(text(64)),
            "required": {"type": "boolean", "default": True},
            "settings": or_null(table(32, 256)),
        },
        required=("name",),
    )


def _anchor() -> Schema:
    return closed(
        "A snapshot inside the guest as the instant.",
        {
            "provider": {"enum": list(AnchorProvider)},
            "lifetime_ms": whole(10_000, LONGEST_FREEZE_MS, 120_000),
            "settings": or_null(table(32, 256)),
        },
        required=("provider",),
    )


def _vm_id() -> str:
    subscription = f"^/{any_case('subscriptions')}/[0-9A-Fa-f-]{{36}}"
    group = rf"/{any_case('resourceGroups')}/[\w.()-]{{1,90}}"
    provider = rf"/{any_case('providers')}/{any_case('Microsoft')}\.{any_case('Compute')}"
    return rf"{subscription}{group}{provider}/{any_case('virtualMachines')}/[A-Za-z0-9_.-]{{1,64}}$"
