"""What can happen to a saga. Each event says what was, never what is to be done.

``key`` tells one event from another: a message delivered twice brings the same key.
"""

from dataclasses import dataclass

from shared.saga.evidence import (
    DiskCapture,
    GuestWarning,
    QuiesceReport,
    RestorePointReport,
    ResumeReport,
    ScriptReport,
)
from shared.saga.facts import VmFacts
from shared.saga.group import Barrier
from shared.saga.state import RegionCopy, SnapshotCopy


@dataclass(frozen=True, slots=True)
class Started:
    """The run reached this VM."""

    watch_receipt: str = ""

    @property
    def key(self) -> str:
        """One start per saga."""
        return "start"


@dataclass(frozen=True, slots=True)
class FactsRead:
    """Preflight saw the VM and its disks."""

    facts: VmFacts

    key = "facts"


@dataclass(frozen=True, slots=True)
class FactsUnavailable:
    """Preflight could not read the VM. ``passing`` when a later try may succeed.

    ``code`` is Azure's own, ``cause`` the class of errors that it belongs to.
    """

    code: str
    detail: str
    passing: bool
    cause: str = ""

    key = "facts"


@dataclass(frozen=True, slots=True)
class AgentNotStarted:
    """The run command that starts the agent was refused. ``passing`` when a later try may succeed.

    ``code`` is Azure's own, ``cause`` the class of errors that it belongs to.
    """

    generation: int
    code: str
    detail: str
    passing: bool
    cause: str = ""

    key = "agent-start"


@dataclass(frozen=True, slots=True)
class AgentReady:
    """The agent answered ``arm``: its dead-man stands by.

    ``resident``: it lives in the guest, and waits for other sessions after this one.
    """

    generation: int
    ack: int
    boot_id: str
    dead_man_armed: bool
    agent_version: str = ""
    resident: bool = False
    key_version: int = 1

    @property
    def key(self) -> str:
        """The ack's kind, generation and number."""
        return f"ready:{self.generation}:{self.ack}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What holding the guest will need is reserved."""

    generation: int

    @property
    def key(self) -> str:
        """One admission per generation."""
        return f"admitted:{self.generation}"


@dataclass(frozen=True, slots=True)
class MustWait:
    """Nothing is reserved yet. Asking again before ``until`` (ms since the epoch) is of no use.

    ``code`` is the limit that is in the way, ``why`` a sentence about it.
    """

    generation: int
    until: int
    code: str
    why: str

    key = "must-wait"


@dataclass(frozen=True, slots=True)
class Quiesced:
    """The agent answered ``quiesce``: everything that could be held is held.

    ``queued_at`` (ms since the epoch, the queue service's clock) is when the ack was put into the queue.
    """

    generation: int
    ack: int
    report: QuiesceReport
    queued_at: int

    @property
    def key(self) -> str:
        """The ack's kind, generation and number."""
        return f"quiesced:{self.generation}:{self.ack}"


@dataclass(frozen=True, slots=True)
class QuiesceFailed:
    """The agent could not hold everything. ``released``: it let go of what it held, which is the rule."""

    generation: int
    ack: int
    reason: str
    detail: str
    released: bool = True
    script: ScriptReport | None = None
    post_script: ScriptReport | None = None
    warnings: tuple[GuestWarning, ...] = ()

    @property
    def key(self) -> str:
        """The ack's kind, generation and number."""
        return f"quiesce_failed:{self.generation}:{self.ack}"


@dataclass(frozen=True, slots=True)
class CaptureEnded:
    """All snapshot requests of a generation ended, well or not; ``captures`` has one entry per disk.

    Where a restore point was made they are the disks in it.
    """

    generation: int
    captures: tuple[DiskCapture, ...]
    restore_point: RestorePointReport | None = None

    @property
    def key(self) -> str:
        """One capture per generation."""
        return f"capture:{self.generation}"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The agent let everything go on, on order or by itself."""

    generation: int
    ack: int
    report: ResumeReport

    @property
    def key(self) -> str:
        """The ack's kind, generation and number."""
        return f"resumed:{self.generation}:{self.ack}"


@dataclass(frozen=True, slots=True)
class Released:
    """The agent ended its session; nothing is held by it."""

    generation: int
    ack: int
    was_held: bool

    @property
    def key(self) -> str:
        """The ack's kind, generation and number."""
        return f"released:{self.generation}:{self.ack}"


@dataclass(frozen=True, slots=True)
class BarrierOpened:
    """All members of the group that are left have come to a barrier in this generation."""

    generation: int
    barrier: Barrier

    @property
    def key(self) -> str:
        """One opening per barrier and generation."""
        return f"opened:{self.generation}:{self.barrier}"


@dataclass(frozen=True, slots=True)
class GroupBroke:
    """The group will not share an instant in this generation, and ``why``.

    ``again``: it tries once more, so its members do; otherwise this one is out of it.
    """

    generation: int
    why: str
    again: bool = False

    @property
    def key(self) -> str:
        """A group may give up a generation after it has said that it tries again."""
        return f"broke:{self.generation}:{'again' if self.again else 'out'}"


@dataclass(frozen=True, slots=True)
class CopiesSeen:
    """The background copies were looked at. ``lost`` are snapshots that are gone or failed."""

    copies: tuple[SnapshotCopy, ...]
    lost: tuple[str, ...] = ()
    unreadable: str = ""

    key = "copies"


@dataclass(frozen=True, slots=True)
class RegionCopiesSeen:
    """Copies in other regions were begun or looked at."""

    copies: tuple[RegionCopy, ...]

    key = "region-copies"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Cleaning was tried; ``problems`` says in sentences what is still there."""

    problems: tuple[str, ...] = ()

    key = "cleaned"


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline message arrived (``watch`` is its number), or the sweep found the saga overdue (None)."""

    watch: int | None = None

    @property
    def key(self) -> str:
        """A watch has its number; a sweep is never the same twice."""
        return "sweep" if self.watch is None else f"watch:{self.watch}"


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody cancelled the run."""

    key = "cancel"


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A message of this saga failed again and again and was put aside; ``detail`` says which."""

    detail: str

    key = "poison"


Event = (
    Started
    | FactsRead
    | FactsUnavailable
    | AgentNotStarted
    | AgentReady
    | Admitted
    | MustWait
    | Quiesced
    | QuiesceFailed
    | CaptureEnded
    | Resumed
    | Released
    | BarrierOpened
    | GroupBroke
    | CopiesSeen
    | RegionCopiesSeen
    | Cleaned
    | TimePassed
    | CancelRequested
    | Poisoned
)
