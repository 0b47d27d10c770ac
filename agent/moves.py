"""What comes into a session (inputs, in the past tense) and what follows from it (actions, as orders).

Tell them apart by type: named tuples with equal members are equal whatever their names.
"""

from typing import NamedTuple, Optional, Tuple, Union

from agent.anchors import Anchored
from agent.orders import AnchorSpec, Order, Quiesce, ScriptSpec
from agent.records import Answer, Evidence, Hold, NotHeld, ScriptResult, Warning_

# --- inputs -----------------------------------------------------------------------------


class CommandReceived(NamedTuple):
    """A command came whose signature, time and body were found right.

    ``clock_offset``: by how much the wall clock was ahead of the monotonic one then (ms).
    """

    order: Order
    clock_offset: int = 0


class DeadManReady(NamedTuple):
    """The dead-man's process runs. ``locked``: its memory cannot be swapped out."""

    locked: bool


class DeadManArmed(NamedTuple):
    """The dead-man watches this generation's budget and has the mounts open."""

    generation: int
    locked: bool
    not_held: Tuple[NotHeld, ...]


class ScriptEnded(NamedTuple):
    """The pre- or post-script of a generation ended; ``result`` is None where there was none to run."""

    generation: int
    phase: str
    result: Optional[ScriptResult]


class HandlersHeld(NamedTuple):
    """Every application that has a handler holds still, but those that may be left."""

    generation: int
    held: Tuple[Hold, ...]
    not_held: Tuple[NotHeld, ...] = ()
    warnings: Tuple[Warning_, ...] = ()


class HandlersFailed(NamedTuple):
    """An application that must be held is not; others may be."""

    generation: int
    reason: str
    detail: str


class HandlerLost(NamedTuple):
    """A handler's process ended while it held its application; what it held has been undone."""

    generation: int
    name: str
    detail: str


class HandlersReleased(NamedTuple):
    """The applications go on; the evidence says of each whether it had been held until then."""

    generation: int
    evidence: Tuple[Evidence, ...]
    warnings: Tuple[Warning_, ...] = ()


class AnchorCreated(NamedTuple):
    """The instant lies in an in-guest snapshot; ``not_held`` are the filesystems that it does not cover."""

    generation: int
    anchored: Anchored
    not_held: Tuple[NotHeld, ...] = ()


class AnchorFailed(NamedTuple):
    """There is no anchor, and nothing is left of one."""

    generation: int
    reason: str
    detail: str


class AnchorDropped(NamedTuple):
    """The anchor was looked at and deleted; the evidence says whether it was whole until then."""

    generation: int
    evidence: Tuple[Evidence, ...]


class FilesystemsHeld(NamedTuple):
    """Every filesystem that can be is frozen."""

    generation: int
    held: Tuple[Hold, ...]
    not_held: Tuple[NotHeld, ...]


class FreezeFailed(NamedTuple):
    """A filesystem could not be frozen, or not even be found; others may be frozen."""

    generation: int
    reason: str
    detail: str


class FilesystemsReleased(NamedTuple):
    """What was frozen is thawed; the evidence says what the kernel answered."""

    generation: int
    evidence: Tuple[Evidence, ...]


class DeadManFired(NamedTuple):
    """The dead-man released everything by itself and sees to the post-script."""

    generation: int
    evidence: Tuple[Evidence, ...]


class DeadManLost(NamedTuple):
    """The dead-man's process ended, or could not be started."""

    detail: str


class AgentRestarted(NamedTuple):
    """An earlier agent of this state died; everything it left held has been released, by ``released_by``."""

    released_by: str
    evidence: Tuple[Evidence, ...]
    post: Optional[ScriptResult]


class Stopping(NamedTuple):
    """The system wants the agent to end."""


class Tick(NamedTuple):
    """Time went by."""


Input = Union[
    CommandReceived,
    DeadManReady,
    DeadManArmed,
    ScriptEnded,
    HandlersHeld,
    HandlersFailed,
    HandlerLost,
    HandlersReleased,
    AnchorCreated,
    AnchorFailed,
    AnchorDropped,
    FilesystemsHeld,
    FreezeFailed,
    FilesystemsReleased,
    DeadManFired,
    DeadManLost,
    AgentRestarted,
    Stopping,
    Tick,
]

# --- actions ----------------------------------------------------------------------------


class StartDeadMan(NamedTuple):
    """Start the dead-man's process unless it runs -> DeadManReady or DeadManLost."""


class ArmDeadMan(NamedTuple):
    """Choose the mounts and give them, with the deadline, to the dead-man -> DeadManArmed or FreezeFailed.

    The plan's handlers are connected before that, and hold nothing yet.
    """

    saga: str
    generation: int
    deadline: int
    plan: Quiesce


class RunScript(NamedTuple):
    """Run a script, all its runs in ``timeout_ms`` -> ScriptEnded.

    A post-script is run once per generation, whoever else wants to.
    """

    saga: str
    generation: int
    phase: str
    spec: ScriptSpec
    timeout_ms: int


class KillScript(NamedTuple):
    """Kill the running script with all its processes -> its ScriptEnded comes."""

    generation: int
    phase: str


class HoldHandlers(NamedTuple):
    """Make the applications hold still, one after the other -> HandlersHeld or HandlersFailed."""

    generation: int
    timeout_ms: int


class ReleaseHandlers(NamedTuple):
    """Let the applications go on, the last one first, also those not held yet -> HandlersReleased."""

    generation: int


class CreateAnchor(NamedTuple):
    """Make the in-guest snapshot -> AnchorCreated or AnchorFailed."""

    generation: int
    spec: AnchorSpec
    timeout_ms: int


class DropAnchor(NamedTuple):
    """Say whether the anchor is whole, and delete it -> AnchorDropped."""

    generation: int
    anchored: Anchored


class ExtendWatch(NamedTuple):
    """Nothing is held any more but the anchor: the dead-man deletes it at ``deadline`` (ms, monotonic)."""

    generation: int
    deadline: int


class Freeze(NamedTuple):
    """Let the dead-man freeze the filesystems -> FilesystemsHeld or FreezeFailed."""

    generation: int


class Release(NamedTuple):
    """Let the dead-man thaw what it froze -> FilesystemsReleased."""

    generation: int


class ThawOurselves(NamedTuple):
    """The dead-man is gone or silent: end it for good, thaw what it froze -> FilesystemsReleased."""

    generation: int


class Disarm(NamedTuple):
    """The generation is over: the dead-man has nothing to watch any more."""

    generation: int


class SendAck(NamedTuple):
    """Send this ack until the queue has confirmed it."""

    answer: Answer


class Refuse(NamedTuple):
    """Do not act on the command, and count it under ``reason``."""

    reason: str
    sequence: int


class Defer(NamedTuple):
    """Leave the command in its queue: it comes again, and can then be taken."""


class End(NamedTuple):
    """The session is over."""


Action = Union[
    StartDeadMan,
    ArmDeadMan,
    RunScript,
    KillScript,
    HoldHandlers,
    ReleaseHandlers,
    CreateAnchor,
    DropAnchor,
    ExtendWatch,
    Freeze,
    Release,
    ThawOurselves,
    Disarm,
    SendAck,
    Refuse,
    Defer,
    End,
]

Actions = Tuple[Action, ...]
