"""JSON Schemas (2020-12) of what a document says of its recovery points."""

from shared.policy.snapshot_fields import (
    LEAST_INSTANT_MINUTES,
    LONGEST_REGION,
    MOST_INSTANT_MINUTES,
    MOST_REGIONS,
)
from shared.policy.snapshot_names import LONGEST_TEMPLATE, PATTERN, VARIABLES
from shared.policy.snapshots import (
    DEFAULT_NAME,
    MOST_TAGS,
    NetworkAccess,
    RecoveryPointKind,
    SnapshotSettings,
    SnapshotSku,
)
from shared.triggers.schema_parts import Schema, any_case, choice, closed, or_null, ref, table, whole


def snapshots() -> Schema:
    """Describe the section ``snapshots``."""
    default = SnapshotSettings()
    return closed(
        "Where the recovery points go and what they carry. No tag is named twice, whatever the case.",
        {
            "recovery_point": choice(RecoveryPointKind, default.recovery_point),
            "resource_group": or_null(_group()),
            "name": or_null(_name()),
            "tags": or_null(table(MOST_TAGS, 256, names=_tag_names())),
            "copy_disk_tags": {"type": "boolean", "default": default.copy_disk_tags},
            "incremental": {"type": "boolean", "default": default.incremental},
            "sku": _sku(),
            "network_access": choice(NetworkAccess, default.network_access),
            "disk_access_id": or_null(_disk_access()),
            "instant_access_minutes": or_null(
                {"type": "integer", "minimum": LEAST_INSTANT_MINUTES, "maximum": MOST_INSTANT_MINUTES}
            ),
            "completion_timeout_ms": whole(60_000, 7 * 24 * 3_600_000, default.completion_timeout_ms),
            "copy_to": or_null(
                {"type": "array", "items": ref("RegionCopySettings"), "maxItems": MOST_REGIONS}
            ),
            "copy_timeout_ms": whole(60_000, 7 * 24 * 3_600_000, default.copy_timeout_ms),
        },
    )


def region_copy() -> Schema:
    """Describe a region that snapshots are copied to."""
    standard = [sku.value for sku in SnapshotSku if sku is not SnapshotSku.PREMIUM_LRS]
    return closed(
        "A region that incremental snapshots are copied to; none is named twice.",
        {
            "region": {"type": "string", "pattern": f"^[a-z0-9]{{1,{LONGEST_REGION}}}$"},
            "resource_group": or_null(_group()),
            "sku": {"enum": [*standard, None]},
            "disk_access_id": or_null(_disk_access()),
        },
        required=("region",),
    )


def _group() -> Schema:
    return {"type": "string", "maxLength": 90, "pattern": r"^[\w.()-]{0,89}[\w()-]$"}


def _name() -> Schema:
    told = "; ".join(f"%{name}% is {meaning}" for name, meaning in VARIABLES.items())
    return {
        "description": f"What the snapshots' names begin with. {told}.",
        "type": "string",
        "maxLength": LONGEST_TEMPLATE,
        "pattern": f"^{PATTERN}$",
        "default": DEFAULT_NAME,
    }


def _tag_names() -> Schema:
    pattern = rf"^(?!{any_case('stillframe-')})[^<>%&\\?/]*$"
    return {"minLength": 1, "maxLength": 512, "pattern": pattern}


def _sku() -> Schema:
    return {"enum": [*(sku.value for sku in SnapshotSku), None]}


def _disk_access() -> Schema:
    subscription = f"^/{any_case('subscriptions')}/[0-9A-Fa-f-]{{36}}"
    group = rf"/{any_case('resourceGroups')}/[\w.()-]{{1,90}}"
    provider = rf"/{any_case('providers')}/{any_case('Microsoft')}\.{any_case('Compute')}"
    pattern = rf"{subscription}{group}{provider}/{any_case('diskAccesses')}/[A-Za-z0-9_.-]{{1,80}}$"
    return {"type": "string", "maxLength": 1024, "pattern": pattern}
