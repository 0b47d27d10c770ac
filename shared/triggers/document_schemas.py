"""JSON Schemas (2020-12) of the documents that callers send: policies and run requests.

The readers in ``shared/policy`` decide; these say the same as far as a schema can. What it cannot say
(members that do not fit together) is refused by the readers alone, and told in words. Tests compare the two.
"""

from shared.policy.documents import LONGEST_DESCRIPTION, RESERVED, VERSION
from shared.policy.own_tags import OWN_TAGS
from shared.policy.schedules import MOST_SCHEDULES
from shared.policy.vm_ids import MOST_VMS
from shared.triggers import (
    disk_schemas,
    group_schemas,
    guest_schemas,
    notice_schemas,
    policy_schemas,
    snapshot_schemas,
)
from shared.triggers.schema_parts import Schema, any_case, closed, or_null, ref, text


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
        **guest_schemas.schemas(),
        "Disks": disk_schemas.disks(),
        "DiskRule": disk_schemas.rule(),
        "RegionCopySettings": snapshot_schemas.region_copy(),
        "Snapshots": snapshot_schemas.snapshots(),
        "ScheduleGuestProcessing": guest_schemas.of_schedule(),
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


def _vm_id() -> str:
    subscription = f"^/{any_case('subscriptions')}/[0-9A-Fa-f-]{{36}}"
    group = rf"/{any_case('resourceGroups')}/[\w.()-]{{1,90}}"
    provider = rf"/{any_case('providers')}/{any_case('Microsoft')}\.{any_case('Compute')}"
    return rf"{subscription}{group}{provider}/{any_case('virtualMachines')}/[A-Za-z0-9_.-]{{1,64}}$"
