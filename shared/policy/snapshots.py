"""Where the snapshots of a recovery point go and what they carry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """``resource_group`` None means the group of each disk; ``tags`` are added to Stillframe's own.

    ``completion_timeout_ms`` bounds the background copy after the guest went on.
    """

    resource_group: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    completion_timeout_ms: int = 24 * 3_600_000
