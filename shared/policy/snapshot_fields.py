"""Reading the section ``snapshots`` of a document."""

import re
from typing import Any

from shared.policy.fields import DocumentError, Fields
from shared.policy.snapshot_names import LONGEST_TEMPLATE, check_template
from shared.policy.snapshots import (
    DEFAULT_NAME,
    MOST_TAGS,
    NetworkAccess,
    RecoveryPointKind,
    RegionCopySettings,
    SnapshotSettings,
    SnapshotSku,
)

#: Only a group's name may have letters beyond ASCII.
_GROUP = re.compile(r"[\w.()-]{0,89}[\w()-]")
_DISK_ACCESS = re.compile(
    r"(?ai:/subscriptions/[0-9a-f-]{36}/resourceGroups)/[\w.()-]{1,90}"
    r"(?ai:/providers/Microsoft\.Compute/diskAccesses/[\w.-]{1,80})"
)

MOST_REGIONS = 4
LONGEST_REGION = 30
_REGION = re.compile(f"[a-z0-9]{{1,{LONGEST_REGION}}}")

#: "Instant access snapshots for Azure managed disks" (Microsoft Learn).
LEAST_INSTANT_MINUTES, MOST_INSTANT_MINUTES = 60, 300

_MEMBERS = (
    "recovery_point",
    "resource_group",
    "name",
    "tags",
    "copy_disk_tags",
    "incremental",
    "sku",
    "network_access",
    "disk_access_id",
    "instant_access_minutes",
    "completion_timeout_ms",
    "copy_to",
    "copy_timeout_ms",
)

#: What a restore point does not have: Azure names and stores what is in it by itself.
_OF_SNAPSHOTS = (
    "name",
    "copy_disk_tags",
    "incremental",
    "sku",
    "network_access",
    "disk_access_id",
    "instant_access_minutes",
    "copy_to",
)


def read_snapshots(fields: Fields) -> SnapshotSettings:
    """Read the section of a document.

    Raises:
        DocumentError: names the field that is wrong.
    """
    default = SnapshotSettings()
    if not fields.has("snapshots"):
        return default
    snapshots = Fields(fields.raw("snapshots"), fields.at("snapshots"), _MEMBERS)
    settings = SnapshotSettings(
        recovery_point=snapshots.choice("recovery_point", RecoveryPointKind, RecoveryPointKind.SNAPSHOTS),
        resource_group=read_group(snapshots),
        tags=_tags(snapshots),
        name=check_template(
            snapshots.text("name", DEFAULT_NAME, longest=LONGEST_TEMPLATE), snapshots.at("name")
        ),
        copy_disk_tags=snapshots.flag("copy_disk_tags", default=False),
        incremental=snapshots.flag("incremental", default=True),
        sku=read_sku(snapshots),
        network_access=snapshots.choice("network_access", NetworkAccess, NetworkAccess.DENY_ALL),
        disk_access_id=read_disk_access(snapshots),
        instant_access_minutes=_instant_access(snapshots),
        completion_timeout_ms=snapshots.whole(
            "completion_timeout_ms", default.completion_timeout_ms, least=60_000, most=7 * 24 * 3_600_000
        ),
        copy_to=_copy_to(snapshots),
        copy_timeout_ms=snapshots.whole(
            "copy_timeout_ms", default.copy_timeout_ms, least=60_000, most=7 * 24 * 3_600_000
        ),
    )
    _check_together(settings, snapshots)
    return settings


def _check_together(settings: SnapshotSettings, fields: Fields) -> None:
    """Refuse what is right each by itself, but not together."""
    default = SnapshotSettings()
    for name in _OF_SNAPSHOTS if settings.is_restore_point else ():
        if getattr(settings, name) != getattr(default, name):
            raise DocumentError(fields.at(name), "does not go together with recovery_point: restore_point")
    if settings.incremental and settings.sku is SnapshotSku.PREMIUM_LRS:
        problem = "does not go together with incremental snapshots, which are always on Standard storage"
        raise DocumentError(fields.at("sku"), problem)
    for name in ("instant_access_minutes", "copy_to") if not settings.incremental else ():
        if getattr(settings, name) != getattr(default, name):
            raise DocumentError(fields.at(name), "does not go together with incremental: false")
    private = settings.network_access is NetworkAccess.PRIVATE
    if private and not settings.disk_access_id:
        problem = "does not go together with network_access: private if it is missing: name a disk access"
        raise DocumentError(fields.at("disk_access_id"), problem)
    for index, copy in enumerate(settings.copy_to):
        if copy.disk_access_id and not private:
            problem = "does not go together with copies of snapshots whose network_access is not private"
            raise DocumentError(f"{fields.at('copy_to')}[{index}].disk_access_id", problem)
    if settings.disk_access_id and not private:
        problem = f"does not go together with network_access: {settings.network_access}, only with private"
        raise DocumentError(fields.at("disk_access_id"), problem)


def read_group(fields: Fields) -> str | None:
    """Read ``resource_group``; None where there is none. Raises `DocumentError`."""
    if not fields.has("resource_group"):
        return None
    group = fields.text("resource_group", longest=90)
    if not _GROUP.fullmatch(group):
        raise DocumentError(fields.at("resource_group"), "expected the name of a resource group")
    return group


def read_sku(fields: Fields) -> SnapshotSku | None:
    """Read ``sku``; None where there is none. Raises `DocumentError`."""
    if not fields.has("sku"):
        return None
    return fields.choice("sku", SnapshotSku, SnapshotSku.STANDARD_LRS)


def read_disk_access(fields: Fields) -> str:
    """Read ``disk_access_id``; empty where there is none. Raises `DocumentError`."""
    if not fields.has("disk_access_id"):
        return ""
    given = fields.text("disk_access_id")
    if not _DISK_ACCESS.fullmatch(given):
        shape = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/diskAccesses/D"
        raise DocumentError(fields.at("disk_access_id"), f"expected the ARM id of a disk access, {shape}")
    return given


def _copy_to(fields: Fields) -> tuple[RegionCopySettings, ...]:
    given = fields.raw("copy_to")
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MOST_REGIONS:
        raise DocumentError(fields.at("copy_to"), f"expected a list of at most {MOST_REGIONS} regions")
    copies = tuple(_copy(each, f"{fields.at('copy_to')}[{index}]") for index, each in enumerate(given))
    regions = [copy.region for copy in copies]
    for index, region in enumerate(regions):
        if region in regions[:index]:
            raise DocumentError(f"{fields.at('copy_to')}[{index}].region", "this region is named twice")
    return copies


def _copy(data: Any, at: str) -> RegionCopySettings:
    fields = Fields(data, at, ("region", "resource_group", "sku", "disk_access_id"))
    region = fields.text("region", longest=LONGEST_REGION)
    if not _REGION.fullmatch(region):
        raise DocumentError(fields.at("region"), "expected the name of a region, like northeurope")
    sku = read_sku(fields)
    if sku is SnapshotSku.PREMIUM_LRS:
        problem = "does not go together with copies, which are incremental: these are on Standard storage"
        raise DocumentError(fields.at("sku"), problem)
    return RegionCopySettings(
        region=region,
        resource_group=read_group(fields),
        sku=sku,
        disk_access_id=read_disk_access(fields),
    )


def _instant_access(fields: Fields) -> int | None:
    if not fields.has("instant_access_minutes"):
        return None
    return fields.whole(
        "instant_access_minutes",
        LEAST_INSTANT_MINUTES,
        least=LEAST_INSTANT_MINUTES,
        most=MOST_INSTANT_MINUTES,
    )


def _tags(fields: Fields) -> tuple[tuple[str, str], ...]:
    tags = fields.table("tags", most=MOST_TAGS, longest=256)
    for key, _ in tags:
        if key.lower().startswith("stillframe-") or not 1 <= len(key) <= 512 or set(key) & set("<>%&\\?/"):
            problem = "a tag's name has 1 to 512 characters, none of <>%&\\?/, not stillframe-*"
            raise DocumentError(f"{fields.at('tags')}.{key}", problem)
        if sum(key.lower() == other.lower() for other, _ in tags) > 1:
            problem = "this tag is named twice: Azure ignores the case of a tag's name"
            raise DocumentError(f"{fields.at('tags')}.{key}", problem)
    return tags
