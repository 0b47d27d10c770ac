"""What the catalogue knows of a recovery point."""

from dataclasses import dataclass
from enum import StrEnum

from shared.saga.consistency import Grade
from shared.saga.state import Outcome


class PointState(StrEnum):
    """What became of a recovery point."""

    AVAILABLE = "available"
    """All of it is there, as far as is known."""

    MISSING = "missing"
    """Reconciliation found that some of it is gone, and nobody here deleted it."""

    DELETING = "deleting"
    """It is to be deleted, and may be gone in part."""

    DELETED = "deleted"
    """All of it is gone; the record is kept for a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Somebody wants a recovery point kept, whatever retention says. Times in ms since the epoch.

    ``until`` None means until it is released. An ``immutable`` hold is neither released nor shortened before
    its time, by anybody.
    """

    reason: str
    since: int
    until: int | None = None
    immutable: bool = False

    def holds(self, now: int) -> bool:
        """Whether the hold still holds at ``now``."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMark:
    """What a recovery point says of the group of VMs that its own belonged to.

    ``one_instant``: it was proved that all ``members`` (ids of VMs) were held from before the first of their
    snapshots until after the last; ``skew_ms`` is how far these lie apart. ``why`` says why, or why not.
    """

    name: str
    members: tuple[str, ...]
    skew_ms: int | None = None
    one_instant: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """A recovery point: what one saga made of one VM. Times in ms since the epoch.

    ``point_id`` is the saga's id, ``created`` the instant of the first of its snapshots, ``recorded`` the end
    of its saga. ``resources`` are the ARM ids of its snapshots, or that of its restore point, ``missing``
    those of them that were found gone. ``copies`` are the ARM ids of
    the copies in other regions, of which some may not be there: a point is whole without them, and they are
    deleted with it. ``why`` says how it came to its state, ``changed`` when. ``group`` is None for a VM by
    itself. ``rebuilt``: the record was lost, and made again from tags; ``lacking`` are the places of disks
    (``os``, LUNs) of which nothing was found then.
    """

    point_id: str
    vm_id: str
    policy: str
    run_id: str
    generation: int
    outcome: Outcome
    grade: Grade
    created: int
    recorded: int
    resources: tuple[str, ...]
    copies: tuple[str, ...] = ()
    freeze_window_ms: int | None = None
    evidence_sha256: str = ""
    warnings: int = 0
    reasons: tuple[str, ...] = ()
    state: PointState = PointState.AVAILABLE
    hold: Hold | None = None
    missing: tuple[str, ...] = ()
    why: str = ""
    changed: int | None = None
    group: GroupMark | None = None
    rebuilt: bool = False
    lacking: tuple[str, ...] = ()

    def held(self, now: int) -> bool:
        """Whether a hold keeps it at ``now``."""
        return self.hold is not None and self.hold.holds(now)
