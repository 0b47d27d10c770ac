"""Where the snapshots of a recovery point go and what they carry."""

from dataclasses import dataclass
from enum import StrEnum

#: Tags beside Stillframe's own, which need 14 of the 50 that a resource may carry (Azure Resource Manager): 4
#: from birth, 6 with the grade, 4 in a group of VMs.
MOST_TAGS = 36
#: With more than so many there is no room for the two that tell a restore of the VM's shape, beside the four
#: of a group of VMs. Tags of disks are copied up to here.
MOST_BESIDE_SHAPE = 34

#: How the name of a snapshot begins where a policy does not say it.
DEFAULT_NAME = "sf"


class RecoveryPointKind(StrEnum):
    """What a recovery point is made of."""

    SNAPSHOTS = "snapshots"
    """One snapshot per disk."""

    RESTORE_POINT = "restore_point"
    """One VM restore point over all disks, in the VM's own collection."""


class SnapshotSku(StrEnum):
    """What storage a snapshot lies on, as Azure spells it."""

    STANDARD_LRS = "Standard_LRS"
    """Three copies in one data centre."""

    STANDARD_ZRS = "Standard_ZRS"
    """Copies in three zones; in regions that have zones."""

    PREMIUM_LRS = "Premium_LRS"
    """For full snapshots only: incremental ones are always on Standard storage."""


class NetworkAccess(StrEnum):
    """Who may download what a snapshot holds, given the right to ask for a URL."""

    DENY_ALL = "deny_all"
    """Nobody, over any network. It needs no other resource."""

    PRIVATE = "private"
    """Through the private endpoints of a disk access."""

    ALLOW_ALL = "allow_all"
    """From any network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCopySettings:
    """Where the snapshots are copied to. ``resource_group`` None means that of each snapshot.

    A disk access is of one region: without one there, nobody can download a copy of private snapshots.
    """

    region: str
    resource_group: str | None = None
    sku: SnapshotSku | None = None
    disk_access_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """``resource_group`` None means the group of each disk; ``tags`` are added to Stillframe's own.

    Where the recovery point is a restore point they are those of its collection, and None means the VM's
    group. ``completion_timeout_ms`` bounds the background copy after the guest went on.

    ``name`` is what names begin with, a template (`snapshot_names`). ``copy_disk_tags`` puts each disk's own
    tags on its snapshot. ``sku`` None leaves it to Azure: zone-redundant where the region has zones, or that
    of the disk's earlier ones. ``disk_access_id`` goes with private access. ``instant_access_minutes`` is for
    disks of `shared.saga.facts.COPYING_SKUS`; those of other types have nothing to wait for.
    ``copy_timeout_ms`` bounds the copies to other regions, all together.
    """

    resource_group: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    completion_timeout_ms: int = 24 * 3_600_000
    recovery_point: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS
    name: str = DEFAULT_NAME
    copy_disk_tags: bool = False
    incremental: bool = True
    sku: SnapshotSku | None = None
    network_access: NetworkAccess = NetworkAccess.DENY_ALL
    disk_access_id: str = ""
    instant_access_minutes: int | None = None
    copy_to: tuple[RegionCopySettings, ...] = ()
    copy_timeout_ms: int = 24 * 3_600_000

    @property
    def is_restore_point(self) -> bool:
        """Whether the recovery point is a VM restore point."""
        return self.recovery_point is RecoveryPointKind.RESTORE_POINT
