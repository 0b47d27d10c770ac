"""The snapshots that were asked for of a VM's disks lately, so that no freeze meets a limit of Azure. Pure.

Azure's own list is the truth, but what another saga is about to ask for is not in it yet: it is noted here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.saga.facts import DiskFacts
from shared.saga.names import is_snapshot_of

#: Microsoft's page "Restrictions for incremental snapshots": 7 of a disk in 5 minutes.
SNAPSHOTS_PER_WINDOW, WINDOW_MS = 7, 5 * 60_000
#: The same page: 3 in flight of a disk that is copied in the background.
COPIES_IN_FLIGHT = 3
COPYING_SKUS = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})

#: A copy that goes on is looked at again after this long (ms).
COPYING_PAUSE_MS = 20_000


@dataclass(frozen=True, slots=True)
class Note:
    """That a generation of a saga was let in at ``at`` (ms since the epoch) to snapshot these disks.

    At ``ended_at`` all of its snapshots had been made, or would never be; 0 while that is not known.
    """

    saga: str
    generation: int
    at: int
    slots: tuple[str, ...]
    ended_at: int = 0


@dataclass(frozen=True, slots=True)
class DiskNotes:
    """What is noted of a VM."""

    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class InTheWay:
    """A limit that is met until ``until`` (ms since the epoch); ``why`` is a sentence."""

    until: int
    why: str


def note(
    known: DiskNotes, saga: str, generation: int, disks: Iterable[DiskFacts], now: int, *, read_at: int = 0
) -> tuple[DiskNotes, InTheWay | None]:
    """Note that a generation is about to snapshot these disks, unless a limit is in the way of one.

    The disks were read at ``read_at`` (ms since the epoch): what had ended by then is in Azure's own list.
    """
    alive = DiskNotes(tuple(one for one in known.notes if one.at > now - WINDOW_MS))
    if any((one.saga, one.generation) == (saga, generation) for one in alive.notes):
        return alive, None
    wanted = tuple(disks)
    met = [found for disk in wanted if (found := _in_the_way(alive, disk, now, read_at)) is not None]
    if met:
        return alive, max(met, key=lambda one: one.until)
    mine = Note(saga, generation, now, tuple(disk.slot for disk in wanted))
    return replace(alive, notes=(*alive.notes, mine)), None


def ended(known: DiskNotes, saga: str, generation: int, now: int) -> DiskNotes:
    """Note that the snapshots of a generation have been made: whoever reads the disks now sees them."""
    notes = tuple(
        replace(one, ended_at=one.ended_at or now)
        if (one.saga, one.generation) == (saga, generation)
        else one
        for one in known.notes
    )
    return replace(known, notes=notes)


def forget(known: DiskNotes, saga: str, generation: int) -> DiskNotes:
    """Take back a note: nothing was asked for after all."""
    kept = tuple(one for one in known.notes if (one.saga, one.generation) != (saga, generation))
    return replace(known, notes=kept)


def _in_the_way(known: DiskNotes, disk: DiskFacts, now: int, read_at: int) -> InTheWay | None:
    seen = {each.name for each in disk.recent}
    noted = [
        one.at
        for one in known.notes
        if disk.slot in one.slots
        and (not one.ended_at or one.ended_at > read_at)
        and not any(is_snapshot_of(name, one.saga, one.generation, disk.slot) for name in seen)
    ]
    times = sorted([each.created_at for each in disk.recent] + noted)
    young = [at for at in times if at > now - WINDOW_MS]
    if len(young) >= SNAPSHOTS_PER_WINDOW:
        until = young[-SNAPSHOTS_PER_WINDOW] + WINDOW_MS
        why = f"disk {disk.name} got {len(young)} incremental snapshots within 5 minutes"
        return InTheWay(until, f"{why}, and {SNAPSHOTS_PER_WINDOW} are allowed")
    copying = sum(1 for each in disk.recent if each.in_flight) + len(noted)
    if disk.sku in COPYING_SKUS and copying >= COPIES_IN_FLIGHT:
        why = f"disk {disk.name} ({disk.sku}) has {copying} snapshots in flight"
        return InTheWay(now + COPYING_PAUSE_MS, f"{why}, and {COPIES_IN_FLIGHT} are allowed")
    return None
