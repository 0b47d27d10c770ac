"""The state of a session, and the few ways in which it is changed."""

from typing import Any, NamedTuple, Optional, Tuple

from agent.anchors import Anchored
from agent.moves import Action, End, SendAck
from agent.orders import Order, Quiesce
from agent.records import (
    Answer,
    Evidence,
    Facts,
    Failure,
    Hold,
    NotHeld,
    Quiesced,
    QuiesceFailed,
    Ready,
    Released,
    Resumed,
    ScriptResult,
    Warning_,
)
from shared import protocol

#: No session.
IDLE = "idle"
#: The dead-man is being started for an `arm` command.
ARMING = "arming"
ARMED = "armed"
#: The dead-man gets its deadline and its mounts; nothing is held yet.
PREPARING = "preparing"
PRE_SCRIPT = "pre-script"
#: The applications are being made to hold still.
HANDLERS = "handlers"
#: The in-guest snapshot is being made.
ANCHORING = "anchoring"
FREEZING = "freezing"
#: Everything is held; with an anchor, that alone.
HELD = "held"
#: The filesystems are being thawed.
RELEASING = "releasing"
#: The applications are being let go.
RESUMING = "resuming"
POST_SCRIPT = "post-script"
#: The anchor is being deleted.
DROPPING = "dropping"
#: A generation is over, and its result is known.
RELEASED = "released"

PHASES = (
    IDLE,
    ARMING,
    ARMED,
    PREPARING,
    PRE_SCRIPT,
    HANDLERS,
    ANCHORING,
    FREEZING,
    HELD,
    RELEASING,
    RESUMING,
    POST_SCRIPT,
    DROPPING,
    RELEASED,
)

#: A session in which nothing is held and nothing is under way.
RESTING = (ARMED, RELEASED)


class Waiting(NamedTuple):
    """A command that is answered when what is under way has ended."""

    kind: str
    sequence: int
    generation: int


class Past(NamedTuple):
    """What is kept of a session that is over: enough to refuse a replay and to answer a repetition.

    One whose place another saga's took while it rested is still armed: until ``ends_at`` (ms, monotonic; 0:
    it is over) it can go on where it was.
    """

    saga: str
    last_sequence: int
    answer: Optional[Answer]
    acks: int
    closed: int
    ends_at: int = 0
    linger_ms: int = 0
    session_offset: int = 0


class Attempt(NamedTuple):
    """One generation, from its `quiesce` until everything has been let go. Times in ms, monotonic.

    ``begun``: a write may be held, so that the post-script is owed. ``failure``: why there was no `quiesced`.
    ``released_by``: who began the release, "" while nobody did, and ``released_at`` when. ``post_by``: who
    runs the post-script. ``overdue``: when the dead-man's silence means that it is lost, 0 while nothing is
    asked of it. ``anchoring``: an anchor is being made; ``dropped``: it has been deleted again.
    ``window_ms``: the freeze window, where it ended before the release. ``clock_offset``: by how much the
    wall clock was ahead of the monotonic one at the beginning.
    """

    generation: int
    sequence: int
    plan: Quiesce
    started: int
    quiesce_deadline: int
    budget_deadline: int
    begun: bool = False
    pre_running: bool = False
    pre: Optional[ScriptResult] = None
    held: Tuple[Hold, ...] = ()
    not_held: Tuple[NotHeld, ...] = ()
    quiesced: bool = False
    failure: Optional[Failure] = None
    released_by: str = ""
    dead_man_lost: bool = False
    overdue: int = 0
    evidence: Tuple[Evidence, ...] = ()
    post_by: str = ""
    post_ended: bool = False
    post: Optional[ScriptResult] = None
    warnings: Tuple[Warning_, ...] = ()
    handlers_asked: bool = False
    handlers_released: bool = False
    handler_evidence: Tuple[Evidence, ...] = ()
    anchoring: bool = False
    anchored: Optional[Anchored] = None
    dropped: bool = False
    anchor_evidence: Tuple[Evidence, ...] = ()
    window_ms: int = 0
    released_at: int = 0
    clock_offset: int = 0


class State(NamedTuple):
    """All that an agent knows of its session. Times in ms, monotonic.

    ``answer``: the ack of the last command, None while it is under way. ``acks``: sequence of the last ack.
    ``closed``: the highest generation that was resumed or has failed; it is never quiesced again.
    ``result``: how the last generation was resumed, for a `resume` that comes after the fact.
    ``clock_offset``: by how much the wall clock was ahead of the monotonic one at the last command, and
    ``session_offset`` at the session's `arm`: by this one the expiry of its commands is judged.
    """

    phase: str = IDLE
    saga: str = ""
    last_sequence: int = 0
    answer: Optional[Answer] = None
    acks: int = 0
    closed: int = 0
    ends_at: int = 0
    linger_ms: int = 0
    locked: bool = False
    attempt: Optional[Attempt] = None
    waiting: Tuple[Waiting, ...] = ()
    result: Optional[Resumed] = None
    result_generation: int = 0
    past: Tuple[Past, ...] = ()
    clock_offset: int = 0
    session_offset: int = 0


Step = Tuple[State, Tuple[Action, ...]]

_KINDS = {
    Ready: protocol.READY,
    Quiesced: protocol.QUIESCED,
    QuiesceFailed: protocol.QUIESCE_FAILED,
    Resumed: protocol.RESUMED,
    Released: protocol.RELEASED,
}


def change(state: State, **members: Any) -> State:
    """Set members of the attempt under way."""
    assert state.attempt is not None
    return state._replace(attempt=state.attempt._replace(**members))


def tell(state: State, sequence: int, generation: int, facts: Facts) -> Step:
    """Make the ack of command ``sequence`` (0: unsolicited), and keep it if that is the last command."""
    acks = state.acks + 1
    told = Answer(_KINDS[type(facts)], state.saga, generation, acks, sequence, facts)
    kept = told if sequence and sequence == state.last_sequence else state.answer
    return state._replace(acks=acks, answer=kept), (SendAck(told),)


def answer(state: State, order: Order, facts: Facts) -> Step:
    """Answer ``order`` at once."""
    return tell(state, order.sequence, order.generation, facts)


def remember(state: State, limit: int) -> State:
    """Close the session: of it only what guards against replays is kept, of ``limit`` sessions at most."""
    if not state.saga:
        return State(past=state.past)
    past = Past(state.saga, state.last_sequence, state.answer, state.acks, state.closed)
    older = tuple(p if p.ends_at else p._replace(answer=None) for p in state.past)
    return State(past=(*older, past)[-limit:])


def put_aside(state: State, limit: int) -> State:
    """Make room for another saga's session; one that is armed stays so."""
    after = remember(state, limit)
    if state.phase != ARMED:
        return after
    armed = after.past[-1]._replace(
        ends_at=state.ends_at, linger_ms=state.linger_ms, session_offset=state.session_offset
    )
    return after._replace(past=(*after.past[:-1], armed))


def taken_up(state: State, past: Past) -> State:
    """Let a session that was put aside go on in the place of ``state``, whose own is over or put aside."""
    return State(
        phase=ARMED,
        saga=past.saga,
        last_sequence=past.last_sequence,
        answer=past.answer,
        acks=past.acks,
        closed=past.closed,
        ends_at=past.ends_at,
        linger_ms=past.linger_ms,
        locked=state.locked,
        past=tuple(p for p in state.past if p.saga != past.saga),
        clock_offset=state.clock_offset,
        session_offset=past.session_offset,
    )


def close(state: State, limit: int, now: int) -> Step:
    """End the session. One that was put aside for it and is still armed goes on, and the agent with it."""
    after = remember(state, limit)
    armed = next((p for p in reversed(after.past) if p.ends_at > now), None)
    if armed is None:
        return after, (End(),)
    return taken_up(after._replace(locked=state.locked, clock_offset=state.clock_offset), armed), ()


def close_all(state: State, limit: int) -> Step:
    """End the session and those that were put aside: the agent ends."""
    after = remember(state, limit)
    return after._replace(past=tuple(p._replace(ends_at=0) for p in after.past)), (End(),)
