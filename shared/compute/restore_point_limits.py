"""The limits of Azure that would make a VM restore point fail later. Pure, like `limits`.

Sources: "Overview of VM restore points" and "Support matrix for VM restore points" (Microsoft Learn). Their
rates differ; the one here is the newer page's. What lies in other collections is not seen and not judged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

POINTS_PER_VM = 500
POINTS_PER_HOUR = 3
HOUR_MS = 3_600_000

CRASH_CONSISTENT = "CrashConsistent"

#: Disks that a crash-consistent restore point cannot hold.
NOT_CRASH_CONSISTENT = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorableDisk:
    """What the limits need to know of a disk."""

    name: str
    sku: str
    max_shares: int
    write_accelerated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPoint:
    """What the limits need to know of a restore point of the VM. ``created_at`` is ms since the epoch."""

    name: str
    provisioning_state: str
    created_at: int | None
    consistency: str


def obstacles(
    disks: Iterable[RestorableDisk], points: Iterable[SeenPoint], *, confidential: bool
) -> Iterator[str]:
    """Yield a sentence for everything that stands in the way of any restore point."""
    if confidential:
        yield "confidential VMs have no restore points"
    for disk in disks:
        if disk.max_shares > 1:
            yield f"disk {disk.name} can be shared with other VMs, and cannot be in a restore point"
    known = list(points)
    if len(known) >= POINTS_PER_VM:
        yield f"the VM has {len(known)} restore points, and {POINTS_PER_VM} are allowed"
    for point in known:
        if point.provisioning_state == "Creating":
            yield f"the restore point {point.name} of this VM is still being made, and there can be but one"


def crash_obstacles(disks: Iterable[RestorableDisk], points: Iterable[SeenPoint], now: int) -> Iterator[str]:
    """Yield what stands in the way of one that is asked to be CrashConsistent, at ``now`` (ms)."""
    for disk in disks:
        if disk.sku in NOT_CRASH_CONSISTENT:
            yield f"disk {disk.name} ({disk.sku}) cannot be in a crash-consistent restore point"
        if disk.write_accelerated:
            yield f"disk {disk.name} is write-accelerated, and cannot be in a crash-consistent restore point"
    yield from _rate([point for point in points if point.consistency == CRASH_CONSISTENT], now)


def platform_obstacles(points: Iterable[SeenPoint], now: int) -> Iterator[str]:
    """Yield what stands in the way of one that is left to the platform, at ``now`` (ms)."""
    yield from _rate([point for point in points if point.consistency != CRASH_CONSISTENT], now)


def _rate(points: list[SeenPoint], now: int) -> Iterator[str]:
    alive = [point for point in points if point.provisioning_state != "Failed"]
    young = [point for point in alive if point.created_at is None or point.created_at > now - HOUR_MS]
    if len(young) >= POINTS_PER_HOUR:
        yield (
            f"the VM got {len(young)} restore points of this kind within an hour, "
            f"and {POINTS_PER_HOUR} are allowed"
        )
