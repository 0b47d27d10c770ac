"""JSON Schemas (2020-12) of what is shown of groups of VMs that are to share one instant."""

from shared.engine.group_views import IN_SHORT
from shared.saga.group import Barrier, OnMemberFailure
from shared.triggers.schema_parts import COUNT, TEXT, Schema, all_there, or_null, ref

_STATES = ["selecting", "alone", "empty", "waiting", *Barrier, "broken"]


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "RunGroup": all_there("A group of a run; one_instant is null until it is known.", _group()),
        "GroupInShort": all_there(
            "A group of a run, in short; one_instant is null until it is known.",
            {name: member for name, member in _group().items() if name in IN_SHORT},
        ),
        "SagaGroup": all_there(
            "The group of a VM, and what its recovery point says, or would say, of it.",
            _group() | {"recovery_point": or_null(ref("GroupMark"))},
        ),
        "GroupPreview": all_there(
            "A group of a policy, and which VMs it would have; problem says why they could share no instant.",
            {
                "group": TEXT,
                "on_member_failure": {"enum": list(OnMemberFailure)},
                "count": COUNT,
                "vms": {
                    "type": "array",
                    "items": all_there("A VM of it.", {"vm": ref("VmId"), "name": TEXT}),
                },
                "problem": or_null(TEXT),
            },
        ),
        "GroupMark": all_there(
            "What a recovery point says of its group. one_instant: it is proved that all members (VMs) were "
            "held from before the first of their snapshots until after the last, which lie skew_ms apart.",
            {
                "group": TEXT,
                "members": {"type": "array", "items": ref("VmId")},
                "skew_ms": or_null(COUNT),
                "one_instant": {"type": "boolean"},
                "why": TEXT,
            },
        ),
    }


def _group() -> dict[str, Schema]:
    barrier: Schema = {"enum": [*Barrier, None]}
    member: dict[str, Schema] = {
        "vm": ref("VmId"),
        "name": TEXT,
        "saga": TEXT,
        "reached": barrier,
        "fell": or_null(TEXT),
    }
    return {
        "group": TEXT,
        "state": {"enum": _STATES},
        "sentence": TEXT,
        "waits_for": barrier,
        "attempt": COUNT,
        "on_member_failure": {"enum": list(OnMemberFailure)},
        "one_instant": or_null({"type": "boolean"}),
        "skew_ms": or_null(COUNT),
        "members": {
            "type": "array",
            "items": all_there("A member: the last barrier it came to, and why it fell, if it did.", member),
        },
    }
