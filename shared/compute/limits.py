"""The limits of Azure that would make a snapshot fail later. Pure: what was read goes in, sentences come out.

Numbers are those of Microsoft's page "Restrictions for incremental snapshots". What cannot be seen is not
judged: snapshots that others keep in other resource groups, and requests of the last moments.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.saga.facts import COPYING_SKUS, RecentSnapshot

SNAPSHOTS_PER_WINDOW = 7
WINDOW_MS = 5 * 60_000
SNAPSHOTS_PER_DISK = 500
COPIES_IN_FLIGHT = 3

#: From this share of the snapshots of a disk on, the limit is close.
NEAR = 0.9

_ENDED = frozenset({"Succeeded", "Failed", "Canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDisk:
    """What the limits need to know of a disk. ``completion_percent`` is how far the disk itself is filled."""

    disk_id: str
    name: str
    sku: str
    completion_percent: float | None
    max_shares: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSnapshot:
    """What the limits need to know of a snapshot. ``created_at`` is ms since the epoch."""

    disk_id: str
    provisioning_state: str
    created_at: int | None
    completion_percent: float | None
    name: str = ""

    @property
    def in_flight(self) -> bool:
        """Whether it is being made, or its background copy goes on."""
        copying = self.completion_percent is not None and self.completion_percent < 100
        return self.provisioning_state not in _ENDED or (copying and self.provisioning_state == "Succeeded")


def obstacles(
    disks: Iterable[SeenDisk], snapshots: Iterable[SeenSnapshot], *, incremental: bool = True
) -> Iterator[str]:
    """Yield a sentence for everything that stands in the way of a snapshot of these disks until it is mended.

    What passes by itself is told by ``passing_obstacles``. Full snapshots do not count against the limits of
    incremental ones.
    """
    by_disk = _by_disk(snapshots)
    for disk in disks:
        yield from _of_disk(disk)
        if not incremental:
            if disk.sku in COPYING_SKUS:
                yield f"disk {disk.name} ({disk.sku}) has no full snapshots, only incremental ones"
            continue
        alive = by_disk.get(disk.disk_id.lower(), [])
        if len(alive) >= SNAPSHOTS_PER_DISK:
            allowed = f"{SNAPSHOTS_PER_DISK} are allowed"
            yield f"disk {disk.name} has {len(alive)} incremental snapshots, and {allowed}"


def passing_obstacles(
    disks: Iterable[SeenDisk], snapshots: Iterable[SeenSnapshot], now: int
) -> Iterator[str]:
    """Yield a sentence for every limit that is met at ``now`` (ms), and not for long."""
    by_disk = _by_disk(snapshots)
    for disk in disks:
        yield from _for_now(disk, by_disk.get(disk.disk_id.lower(), []), now)


def recent(disk_id: str, snapshots: Iterable[SeenSnapshot], now: int) -> tuple[RecentSnapshot, ...]:
    """Give the snapshots of a disk that count against a limit at ``now`` (ms)."""
    return tuple(
        RecentSnapshot(one.name, one.created_at if one.created_at is not None else now, one.in_flight)
        for one in _by_disk(snapshots).get(disk_id.lower(), [])
        if one.in_flight or one.created_at is None or one.created_at > now - WINDOW_MS
    )


def _by_disk(snapshots: Iterable[SeenSnapshot]) -> dict[str, list[SeenSnapshot]]:
    """Give the snapshots of each disk, but those that failed."""
    by_disk: dict[str, list[SeenSnapshot]] = {}
    for snapshot in snapshots:
        if snapshot.provisioning_state != "Failed":
            by_disk.setdefault(snapshot.disk_id.lower(), []).append(snapshot)
    return by_disk


def near(disks: Iterable[SeenDisk], snapshots: Iterable[SeenSnapshot], now: int) -> Iterator[str]:
    """Yield a sentence for every limit of incremental snapshots that is close to being reached at ``now``."""
    by_disk = _by_disk(snapshots)
    for disk in disks:
        alive = by_disk.get(disk.disk_id.lower(), [])
        young = [s for s in alive if s.created_at is None or s.created_at > now - WINDOW_MS]
        in_flight = [s for s in alive if s.in_flight]
        if SNAPSHOTS_PER_DISK * NEAR <= len(alive) < SNAPSHOTS_PER_DISK:
            yield f"disk {disk.name} has {len(alive)} of {SNAPSHOTS_PER_DISK} incremental snapshots"
        if SNAPSHOTS_PER_WINDOW - 2 <= len(young) < SNAPSHOTS_PER_WINDOW:
            told = f"{len(young)} of {SNAPSHOTS_PER_WINDOW} incremental snapshots within 5 minutes"
            yield f"disk {disk.name} got {told}"
        if disk.sku in COPYING_SKUS and len(in_flight) == COPIES_IN_FLIGHT - 1:
            told = f"{len(in_flight)} of {COPIES_IN_FLIGHT} snapshots in flight"
            yield f"disk {disk.name} ({disk.sku}) has {told}"


def _of_disk(disk: SeenDisk) -> Iterator[str]:
    if disk.completion_percent is not None and disk.completion_percent < 100:
        yield f"disk {disk.name} is still being filled ({disk.completion_percent:g} %)"
    if disk.max_shares > 1:
        others = disk.max_shares - 1
        yield f"disk {disk.name} can be shared with {others} more VMs, which nothing would hold still"


def _for_now(disk: SeenDisk, alive: list[SeenSnapshot], now: int) -> Iterator[str]:
    young = [s for s in alive if s.created_at is None or s.created_at > now - WINDOW_MS]
    if len(young) >= SNAPSHOTS_PER_WINDOW:
        yield (
            f"disk {disk.name} got {len(young)} incremental snapshots within 5 minutes, "
            f"and {SNAPSHOTS_PER_WINDOW} are allowed"
        )
    in_flight = [snapshot for snapshot in alive if snapshot.in_flight]
    if disk.sku in COPYING_SKUS and len(in_flight) >= COPIES_IN_FLIGHT:
        yield (
            f"disk {disk.name} ({disk.sku}) has {len(in_flight)} snapshots in flight, "
            f"and {COPIES_IN_FLIGHT} are allowed"
        )
