"""What a saga wants done. Doing an effect twice changes nothing: names and numbers derive from the saga."""

from dataclasses import dataclass

from shared.saga.facts import DiskFacts
from shared.saga.group import Barrier
from shared.saga.state import RegionCopy, SagaWarning


@dataclass(frozen=True, slots=True)
class Order:
    """A command to the agent. Its body follows from the saga's spec; ``expires_at`` is ms since the epoch."""

    kind: str
    generation: int
    sequence: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ReadFacts:
    """Read the VM, its instance view and its disks. Changes nothing."""

    vm_id: str


@dataclass(frozen=True, slots=True)
class StartAgent:
    """Start the agent in the guest by managed run command, handing it the ``arm`` order.

    An agent that runs already takes the order over from the newcomer.
    """

    order: Order


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Put an order into the VM's command queue."""

    order: Order


@dataclass(frozen=True, slots=True)
class Admit:
    """Reserve what holding the guest and snapshotting its disks will need, or learn until when to wait.

    The reservation is the saga's and the generation's: asking twice reserves once. It ends by itself at
    ``expires_at`` (ms since the epoch), when nothing can be held by it any more whatever died.
    """

    generation: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Give up what was reserved for a generation, or its place among those that wait.

    ``captured``: snapshots may have been asked for, and count on.
    """

    generation: int
    captured: bool


@dataclass(frozen=True, slots=True)
class JoinBarrier:
    """Tell the group that this member has come to a barrier in this generation; telling it twice is the same.

    The group may answer with ``BarrierOpened`` or ``GroupBroke`` at any time. ``until`` (ms since the epoch)
    is when the member waits no longer; at ``held`` and ``captured`` it lets its guest go by itself then.
    """

    generation: int
    barrier: Barrier
    until: int


@dataclass(frozen=True, slots=True)
class LeaveGroup:
    """Tell the group that this member fell in this generation, and ``why`` in a sentence.

    ``again``: it tries again, and takes the others with it. Otherwise it is out of the group for good.
    """

    generation: int
    why: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """Snapshot all disks at once, and poll until each has ended or ``deadline`` (ms since the epoch) is over.

    A snapshot whose ``timeCreated`` lies before ``not_before`` is an older one of the same name.
    """

    generation: int
    disks: tuple[DiskFacts, ...]
    not_before: int
    deadline: int


@dataclass(frozen=True, slots=True)
class TakeRestorePoint:
    """Make a VM restore point over all disks, and poll until it has ended or ``deadline`` is over.

    ``consistency`` is what is asked for: ``CrashConsistent``, or empty for the best that the platform can do.
    One whose ``timeCreated`` lies before ``not_before`` is an older one of the same name.
    """

    generation: int
    point_id: str
    consistency: str
    disks: tuple[DiskFacts, ...]
    not_before: int
    deadline: int


@dataclass(frozen=True, slots=True)
class CheckCopies:
    """Look how far the background copies are. Changes nothing."""

    snapshot_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CopySnapshots:
    """Begin those of these copies that are not there, and look how far the others are."""

    copies: tuple[RegionCopy, ...]


@dataclass(frozen=True, slots=True)
class Clean:
    """Tag what is kept, delete what is not, remove the run commands.

    Run commands may have started the agent for the generations 1 to ``agent_generations``.
    """

    keep: tuple[str, ...]
    discard: tuple[str, ...]
    agent_generations: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell the operator, now, what the guest said that a person should look at."""

    warnings: tuple[SagaWarning, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """Send this saga a delayed message that arrives at ``at`` (ms since the epoch)."""

    number: int
    at: int


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """Write the saga's end into the run's index, and take back the first watch.

    Not before: a saga that has not ended must never be without a watch.
    """

    watch_receipt: str = ""


Effect = (
    ReadFacts
    | StartAgent
    | SendCommand
    | Admit
    | Leave
    | JoinBarrier
    | LeaveGroup
    | Capture
    | TakeRestorePoint
    | CheckCopies
    | CopySnapshots
    | Clean
    | Alert
    | Watch
    | RecordEnd
)

#: Effects that take their time, while other messages of the saga are processed.
CAPTURES = (Capture, TakeRestorePoint)

#: Effects that are answered, and that change nothing (or only what ends by itself): a transition with only
#: these needs no save of its own. After a crash its message comes again, and does them again.
READS = (ReadFacts, CheckCopies, Admit)

#: Effects that may go along with those: done twice they do no more than done once.
HARMLESS = (*READS, Leave)
