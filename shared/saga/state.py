"""The saga's state."""

from dataclasses import dataclass, field
from enum import StrEnum

from shared.policy.concurrency import AdmissionRules
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.retry import NO_RETRY, Retry
from shared.policy.snapshots import SnapshotSettings
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.evidence import Evidence
from shared.saga.facts import VmFacts
from shared.saga.group import GroupRules


class Phase(StrEnum):
    """Where a saga is. Which phase may follow which is said in ``transitions.py``.

    A member of a group waits for the others in ``armed``, ``held``, ``captured`` and ``proved``, which are
    the group's barriers (``group.py``); no other saga comes there.
    """

    PENDING = "pending"
    PREFLIGHT = "preflight"
    ARMING = "arming"
    ADMITTING = "admitting"
    ARMED = "armed"
    QUIESCING = "quiescing"
    HELD = "held"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    RESUMING = "resuming"
    PROVED = "proved"
    COMPLETING = "completing"
    COPYING = "copying"
    CLEANING = "cleaning"
    DONE = "done"


class Outcome(StrEnum):
    """How a saga ended."""

    SUCCEEDED = "succeeded"
    """A recovery point as consistent as asked for."""

    DEGRADED = "degraded"
    """A recovery point, but less consistent than asked for, or its guest did not go on as it should.

    Warnings of the guest make it so too, but for those that the operator's own rules for scripts ask for.
    """

    FAILED = "failed"
    """No recovery point that may be relied on."""

    CANCELLED = "cancelled"
    """Ended on request; no recovery point."""

    REHEARSED = "rehearsed"
    """The guest was held and let go as in a backup, and nothing was snapshotted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """The group of VMs that a saga's VM is to share one instant with.

    ``key`` names the group in this run, ``name`` is what people call it, ``vms`` are the ids of all its VMs.
    """

    key: str
    name: str
    rules: GroupRules = field(default_factory=GroupRules)
    vms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a saga stands with its group.

    ``fell`` is the last generation that the group knows to have failed, because the saga or the group said
    so; the saga tries again then. ``out`` is why it is no member any more, whatever it does; empty while it
    is one. ``proved``: all that are left proved it, so its recovery point is one of theirs.
    """

    fell: int = 0
    out: str = ""
    proved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaSpec:
    """What a saga was asked to do.

    It never changes but for one thing: once preflight has read the VM, the ``layers`` that fit it, and those
    of its own tags that ``own_tags`` lets count, are put on ``guest``, which holds from then on. ``trace`` is
    its run's ``traceparent``, empty when there is none. Without ``admission`` the guest is held as soon as it
    is armed. ``try_number`` counts the sagas of this VM in this run: the first is 1.
    ``rehearsal``: hold the guest and let it go, and snapshot nothing. ``group``: None for a VM by itself.
    """

    saga_id: str
    run_id: str
    vm_id: str
    policy_name: str = ""
    trace: str = ""
    guest: GuestProcessing = field(default_factory=GuestProcessing)
    layers: tuple[Layer, ...] = ()
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    disks: DiskSelection = ALL_DISKS
    admission: AdmissionRules | None = None
    retry: Retry = NO_RETRY
    try_number: int = 1
    rehearsal: bool = False
    group: GroupMember | None = None
    own_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a saga is to end before its work is done."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong in a generation, and in which phase; ``problems.py`` tells it in words.

    ``code`` is more exact than the cause (the agent's reason, the class of Azure's error), ``subject`` the
    name of the disk, script or application, ``detail`` a sentence of whoever met it.
    """

    cause: Cause
    step: Phase
    generation: int = 0
    code: str = ""
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaWarning:
    """What the guest said in a generation that a person should look at."""

    generation: int
    kind: str
    name: str
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotCopy:
    """A snapshot of the recovery point and how much of its background copy is done."""

    snapshot_id: str
    completion_percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCopy:
    """A copy of a snapshot in another region, and how much of it is done.

    ``seen``: it was there when it was last looked at. ``error`` is why it is given up (stable), ``detail`` a
    sentence; a detail without an error is why it has not begun yet, or could not be looked at. One that is
    given up may be there all the same, but for those with the error ``copy_failed``, which are deleted.
    """

    source_id: str
    snapshot_id: str
    region: str
    completion_percent: float = 0.0
    seen: bool = False
    error: str = ""
    detail: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return bool(self.error) or self.completion_percent >= 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaState:
    """All that is known of a saga. Times in ms since the epoch.

    ``guest_released`` and ``capture_ended`` say what is still out there: while one of them is False the
    saga may not decide about its recovery point. ``guest_failure`` is why the current generation's hold is
    given up. ``agent_generations`` is the last generation that a run command may have started the agent for.
    ``admission`` is the generation that may have a reservation, 0 when there is none.
    ``agent_refused`` says that the last attempt to start the agent was turned down for now.
    ``notes`` are sentences for people on what happened on the way, ``warnings`` what the guest said that a
    person should look at, in all generations. ``trouble`` is the last thing that went wrong in the current
    generation. ``discard`` are snapshots to delete, ``recovery_point`` those to keep, ``copies`` what there
    is of these in other regions. ``watch_number`` counts the delayed messages that carry the deadline;
    only the newest counts. ``watch_receipt`` lets the first of them be taken back before it is due.
    ``standing`` is how it stands with the group that its spec names.
    """

    spec: SagaSpec
    phase: Phase = Phase.PENDING
    started_at: int
    deadline: int | None = None
    facts: VmFacts | None = None
    generation: int = 0
    sequence: int = 0
    guest_released: bool = True
    capture_ended: bool = True
    agent_generations: int = 0
    agent_refused: bool = False
    guest_failure: str = ""
    ending: Ending | None = None
    evidence: Evidence | None = None
    grade: Grade | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[SagaWarning, ...] = ()
    trouble: Trouble | None = None
    recovery_point: tuple[SnapshotCopy, ...] = ()
    copies: tuple[RegionCopy, ...] = ()
    discard: tuple[str, ...] = ()
    outcome: Outcome | None = None
    ended_at: int | None = None
    watch_number: int = 0
    watch_receipt: str = ""
    pauses: int = 0
    admission: int = 0
    standing: Standing = Standing()
