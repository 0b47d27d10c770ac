"""JSON Schemas (2020-12) of groups of VMs that are to share one instant."""

from shared.policy.concurrency import LONGEST_ADMISSION_MS
from shared.policy.group_fields import LEAST_TIMEOUT_MS, LONGEST_PROVED_MS, MOST_GROUPS
from shared.policy.groups import MOST_MEMBERS
from shared.policy.guest_fields import LONGEST_FREEZE_MS
from shared.policy.selection_fields import MOST_RULES
from shared.saga.group import GroupRules, OnMemberFailure
from shared.triggers.schema_parts import Schema, choice, closed, or_null, ref, whole

_NAME = "^[a-z0-9][a-z0-9-]{0,62}$"


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {"Group": _group(), "GroupSelection": _selection()}


def groups() -> Schema:
    """Describe the member ``groups`` of a document."""
    return or_null({"type": "array", "items": ref("Group"), "maxItems": MOST_GROUPS})


def _group() -> Schema:
    usual = GroupRules()
    listed = {"type": "array", "items": ref("VmId"), "maxItems": MOST_MEMBERS, "uniqueItems": True}
    some = {"type": "object", "required": ["include"], "properties": {"include": {"minItems": 1}}}
    return closed(
        "VMs of the document that are held together, snapshotted together and let go together. Without a "
        "selection there are at least two; no VM is in two groups. held_timeout_ms lies inside the freeze "
        "budget of every member.",
        {
            "name": {"type": "string", "pattern": _NAME},
            "vms": or_null(listed),
            "selection": or_null(ref("GroupSelection")),
            "on_member_failure": choice(OnMemberFailure, usual.on_member_failure),
            "armed_timeout_ms": whole(LEAST_TIMEOUT_MS, LONGEST_ADMISSION_MS, usual.armed_timeout_ms),
            "held_timeout_ms": whole(LEAST_TIMEOUT_MS, LONGEST_FREEZE_MS, usual.held_timeout_ms),
            "proved_timeout_ms": whole(LEAST_TIMEOUT_MS, LONGEST_PROVED_MS, usual.proved_timeout_ms),
        },
        required=("name",),
    ) | {
        "anyOf": [
            {"required": ["vms"], "properties": {"vms": {"type": "array", "minItems": 2}}},
            {"required": ["selection"], "properties": {"selection": some}},
        ]
    }


def _selection() -> Schema:
    def rules(least: int) -> Schema:
        return {"type": "array", "items": ref("GroupRule"), "minItems": least, "maxItems": MOST_RULES}

    return closed(
        "Those of the document's VMs that a rule of include is about, but none of exclude.",
        {"include": rules(1), "exclude": or_null(rules(0))},
        required=("include",),
    )
