"""The agent's side of a saga, as a pure machine: ``react(state, given, now) -> (state, actions)``.

No clock, no I/O, no randomness: times are ms of the monotonic clock and come in as ``now``. Every pair of
state and input has an answer. The rules:

- A repeated command (same sequence) is answered with its stored ack and changes nothing; a lower one is
  refused.
- Quiesce: dead-man armed -> pre-script -> handlers -> filesystems -> ack `quiesced`. Resume in reverse.
- With an anchor: pre-script -> handlers -> anchor -> handlers resumed -> post-script -> ack `quiesced`; to
  resume then means to say whether the anchor is whole, and to delete it.
- Whatever fails: release what is held, run the post-script if the pre-script was started, then say so.
- The first cause of a release stands, but the dead-man's overrides it: what that released was not held until
  the order.
"""

from typing import Any, Callable, Dict, Optional

from agent import commanding, holding, moves, releasing, verdicts
from agent.moves import (
    AgentRestarted,
    AnchorCreated,
    AnchorDropped,
    AnchorFailed,
    DeadManArmed,
    DeadManFired,
    DeadManLost,
    DeadManReady,
    FilesystemsHeld,
    FilesystemsReleased,
    FreezeFailed,
    HandlerLost,
    HandlersFailed,
    HandlersHeld,
    HandlersReleased,
    Input,
    RunScript,
    ScriptEnded,
    StartDeadMan,
    Stopping,
)
from agent.records import (
    BY_AGENT,
    BY_DEAD_MAN,
    BY_ORDER,
    BY_RESTART,
    PRE,
    Failure,
    Ready,
    ScriptResult,
)
from agent.releasing import PAST_SAGAS, SILENCE_MS
from agent.state import (
    ARMED,
    ARMING,
    FREEZING,
    HELD,
    POST_SCRIPT,
    PRE_SCRIPT,
    PREPARING,
    RESTING,
    State,
    Step,
    Waiting,
    change,
    close,
    close_all,
    tell,
)
from shared import protocol


def react(state: State, given: Input, now: int) -> Step:
    """Say what follows from ``given`` in ``state`` at ``now`` (ms, monotonic)."""
    return _REACTIONS[type(given)](state, given, now)


def next_deadline(state: State) -> Optional[int]:
    """When a ``Tick`` is due at the latest (ms, monotonic); None while nothing waits for time."""
    if state.phase in RESTING:
        return state.ends_at
    attempt = state.attempt
    if attempt is None:  # idle; or the dead-man is being started, which has a time-out of its own
        return None
    if attempt.released_by:
        return attempt.overdue or None
    if state.phase == HELD:
        return attempt.budget_deadline + SILENCE_MS
    return min(attempt.quiesce_deadline, attempt.budget_deadline)


# --- the dead-man -----------------------------------------------------------------------


def _ready(state: State, given: DeadManReady, _now: int) -> Step:
    return _armed(state, Ready(armed=True, locked=given.locked))


def _armed(state: State, facts: Ready) -> Step:
    """Answer the `arm` commands that wait for the dead-man's process; a `quiesce` may have come since."""
    arms = [w for w in state.waiting if w.kind == protocol.ARM]
    others = tuple(w for w in state.waiting if w.kind != protocol.ARM)
    phase = ARMED if state.phase == ARMING else state.phase
    state = state._replace(phase=phase, locked=facts.locked, waiting=others)
    actions: moves.Actions = ()
    for one in arms:
        state, told = tell(state, one.sequence, one.generation, facts)
        actions += told
    return state, actions


def _dead_man_armed(state: State, given: DeadManArmed, now: int) -> Step:
    attempt = state.attempt
    if attempt is None or state.phase != PREPARING or attempt.generation != given.generation:
        return state, ()
    state = change(state._replace(locked=given.locked), not_held=given.not_held)
    spec = attempt.plan.pre_script
    if spec is None:  # from here on the window counts, and a post-script alone is owed too
        return holding.begin(change(state, begun=True), now)
    timeout = min(spec.total_ms, holding.time_left(state, now))
    run = RunScript(state.saga, attempt.generation, PRE, spec, timeout)
    return change(state._replace(phase=PRE_SCRIPT), pre_running=True), (run,)


def _dead_man_fired(state: State, given: DeadManFired, now: int) -> Step:
    attempt = state.attempt
    if attempt is None or attempt.generation != given.generation:
        return state, ()
    if attempt.post_by and attempt.anchored is None:  # it crossed the agent's own release
        return state, ()
    if attempt.dead_man_lost:  # its last word, read after the agent took over: nothing more comes from it
        return change(state, released_by=BY_DEAD_MAN), ()
    return releasing.fired(state, given.evidence, now)


def _dead_man_lost(state: State, given: DeadManLost, now: int) -> Step:
    state, told = _armed(state, Ready(armed=False, locked=False))
    if state.attempt is None:
        return state, told
    detail = "The dead-man's process is gone: {}".format(given.detail)
    state, actions = releasing.lost(state, Failure("dead_man_lost", detail), now)
    return state, told + actions


# --- scripts ------------------------------------------------------------


def _script_ended(state: State, given: ScriptEnded, now: int) -> Step:
    attempt = state.attempt
    if attempt is None or attempt.generation != given.generation:
        return state, ()
    if given.phase == PRE:
        return _pre_ended(state, given.result, now) if attempt.pre_running else (state, ())
    if state.phase != POST_SCRIPT or attempt.post_ended:
        return state, ()
    return releasing.conclude(change(state, post_ended=True, post=given.result, overdue=0), now)


def _pre_ended(state: State, result: Optional[ScriptResult], now: int) -> Step:
    attempt = state.attempt
    assert attempt is not None
    begun = result is not None and result.started
    state = change(state, pre_running=False, pre=result, begun=begun)
    if state.phase == POST_SCRIPT:  # the dead-man fired meanwhile
        if attempt.post_ended:
            return releasing.conclude(state, now)
        return releasing.thaw(state, now) if attempt.dead_man_lost else (state, ())
    if attempt.released_by:
        return releasing.thaw(state, now)
    if result is None or result.reason:
        return releasing.let_go(state._replace(phase=FREEZING), BY_AGENT, _script_failure(result), now)
    return holding.begin(state, now)


def _script_failure(result: Optional[ScriptResult]) -> Failure:
    if result is None:
        return Failure("script_failed", "The pre-script gave no result.")
    return Failure(result.reason, verdicts.failure("The pre-script", result))


# --- the agent itself -------------------------------------------------------------------


def _restarted(state: State, given: AgentRestarted, now: int) -> Step:
    if state.phase == ARMING:
        return state, (StartDeadMan(),)
    attempt = state.attempt
    if attempt is None:
        return state, ()
    by = given.released_by
    if by == BY_ORDER:  # the dead-man heard the order from the agent; whose it was, the agent had noted
        by = attempt.released_by or BY_RESTART
    state = change(
        state,
        released_by=by,
        failure=attempt.failure or Failure("agent_restarted", "The agent died while it was quiescing."),
        evidence=given.evidence,
        handler_evidence=(),
        anchor_evidence=(),
        post=given.post,
    )
    return releasing.finish(state, now)


def _stopping(state: State, _given: Stopping, now: int) -> Step:
    if state.attempt is None:
        return close_all(state, PAST_SAGAS)
    state = state._replace(waiting=(*state.waiting, Waiting(releasing.STOP, 0, 0)))
    return releasing.let_go(state, BY_AGENT, Failure("stopping", "The guest's system stops the agent."), now)


def _tick(state: State, _given: moves.Tick, now: int) -> Step:
    due = next_deadline(state)
    if due is None or now < due:
        return state, ()
    attempt = state.attempt
    if attempt is None:
        return close(state, PAST_SAGAS, now)
    if attempt.released_by or state.phase == HELD:
        failure = Failure("dead_man_lost", "The dead-man was silent for {} ms.".format(SILENCE_MS))
        return releasing.lost(state, failure, now)
    failure = Failure("quiesce_timeout", "Not everything was held in time (phase {}).".format(state.phase))
    return releasing.let_go(state, BY_AGENT, failure, now)


def _command(state: State, given: moves.CommandReceived, now: int) -> Step:
    state = state._replace(clock_offset=given.clock_offset)
    return commanding.take(state, given.order, now)


_REACTIONS: Dict[type, Callable[[State, Any, int], Step]] = {
    moves.CommandReceived: _command,
    DeadManReady: _ready,
    DeadManArmed: _dead_man_armed,
    ScriptEnded: _script_ended,
    HandlersHeld: holding.handlers_held,
    HandlersFailed: holding.handlers_failed,
    HandlerLost: holding.handler_lost,
    HandlersReleased: holding.handlers_released,
    AnchorCreated: holding.anchor_created,
    AnchorFailed: holding.anchor_failed,
    AnchorDropped: holding.anchor_dropped,
    FilesystemsHeld: holding.filesystems_held,
    FreezeFailed: holding.freeze_failed,
    FilesystemsReleased: holding.filesystems_released,
    DeadManFired: _dead_man_fired,
    DeadManLost: _dead_man_lost,
    AgentRestarted: _restarted,
    Stopping: _stopping,
    moves.Tick: _tick,
}
