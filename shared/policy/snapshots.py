"""Where the snapshots of a recovery point go and what they carry."""

from dataclasses import dataclass
from enum import StrEnum


class RecoveryPointKind(StrEnum):
    """What a recovery point is made of."""

    SNAPSHOTS = "snapshots"
    """One incremental snapshot per disk."""

    RESTORE_POINT = "restore_point"
    """One VM restore point over all disks, in the VM's own collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """``resource_group`` None means the group of each disk; ``tags`` are added to Stillframe's own.

    Where the recovery point is a restore point they are those of its collection, and None means the VM's
    group. ``completion_timeout_ms`` bounds the background copy after the guest went on.
    """

    resource_group: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    completion_timeout_ms: int = 24 * 3_600_000
    recovery_point: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS

    @property
    def is_restore_point(self) -> bool:
        """Whether the recovery point is a VM restore point."""
        return self.recovery_point is RecoveryPointKind.RESTORE_POINT
