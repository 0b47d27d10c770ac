"""The second half of a generation: letting go, whatever began it, and saying how it went. Pure, like session.

The order is always the same: the pre-script is dead -> filesystems thawed -> post-script -> acks.
"""

from typing import Optional, Tuple

from agent.moves import (
    Action,
    Disarm,
    End,
    KillScript,
    Release,
    RunScript,
    ThawOurselves,
)
from agent.orders import Order
from agent.records import (
    BY_AGENT,
    BY_DEAD_MAN,
    BY_ORDER,
    POST,
    PRE,
    SCRIPT,
    Evidence,
    Failure,
    QuiesceFailed,
    Ready,
    Released,
    Resumed,
)
from agent.state import (
    POST_SCRIPT,
    PRE_SCRIPT,
    PREPARING,
    RELEASED,
    RELEASING,
    Attempt,
    State,
    Step,
    Waiting,
    change,
    remember,
    tell,
)
from shared import protocol

#: Sagas whose last sequence is remembered after their session, against replays.
PAST_SAGAS = 64

#: The dead-man is taken for lost when it is silent for so long after its deadline or an order (ms).
SILENCE_MS = 2_000

#: A Waiting of this kind ends the session and is answered to nobody: the system stops the agent.
STOP = "stop"

_STILL_HELD = Failure("still_held", "An earlier generation was still held; it has been let go.")


def wait(state: State, order: Order) -> State:
    """Note a command that is answered when everything has been let go."""
    return state._replace(waiting=(*state.waiting, Waiting(order.kind, order.sequence, order.generation)))


def let_go(state: State, by: str, failure: Optional[Failure], now: int) -> Step:
    """Begin the release, unless it has begun; ``failure`` says why, should `quiesced` not have been sent."""
    attempt = state.attempt
    assert attempt is not None
    if attempt.released_by:
        return state, ()
    state = change(state, released_by=by, failure=None if attempt.quiesced else failure)
    if state.phase == PREPARING:
        return finish(state, now)
    if state.phase == PRE_SCRIPT:
        return state, (KillScript(attempt.generation, PRE),)
    return thaw(state, now)


def thaw(state: State, now: int) -> Step:
    """Have the filesystems thawed: by the dead-man, or without it once it is lost."""
    attempt = state.attempt
    assert attempt is not None
    state = change(state._replace(phase=RELEASING), overdue=now + SILENCE_MS)
    if attempt.dead_man_lost:
        return change(state, overdue=0), (ThawOurselves(attempt.generation),)
    return state, (Release(attempt.generation),)


def thawed(state: State, evidence: Tuple[Evidence, ...], now: int) -> Step:
    """Go on after the filesystems: with the post-script if it is owed."""
    attempt = state.attempt
    assert attempt is not None
    state = change(state, evidence=evidence, overdue=0)
    spec = attempt.plan.post_script
    if not attempt.begun or spec is None:
        return finish(state, now)
    state = change(state._replace(phase=POST_SCRIPT), post_by=BY_AGENT)
    return state, (RunScript(state.saga, attempt.generation, POST, spec, spec.total_ms),)


def fired(state: State, evidence: Tuple[Evidence, ...], now: int) -> Step:
    """Note that the dead-man let go by itself; it runs the post-script as well, and says when."""
    attempt = state.attempt
    assert attempt is not None
    spec = attempt.plan.post_script
    patience = SILENCE_MS + (spec.total_ms if spec else 0)
    failure = attempt.failure
    if not attempt.quiesced and failure is None:
        failure = Failure("budget_spent", "The freeze budget was spent before everything was held.")
    state = change(
        state._replace(phase=POST_SCRIPT),
        released_by=BY_DEAD_MAN,
        failure=failure,
        evidence=evidence,
        post_by=BY_DEAD_MAN,
        overdue=now + patience,
    )
    return state, (KillScript(attempt.generation, PRE),) if attempt.pre_running else ()


def lost(state: State, failure: Failure, now: int) -> Step:
    """Go on without the dead-man: what it held or owed falls to the agent."""
    attempt = state.attempt
    assert attempt is not None
    if attempt.dead_man_lost:
        return state, ()
    state = change(state, dead_man_lost=True)
    if state.phase == RELEASING:
        return thaw(state, now)
    if state.phase == POST_SCRIPT:
        if attempt.post_by != BY_DEAD_MAN or attempt.post_ended:
            return state, ()
        state = change(state, post_by=BY_AGENT, overdue=0)
        return (state, ()) if attempt.pre_running else thaw(state, now)
    return let_go(state, BY_AGENT, failure, now)


def conclude(state: State, now: int) -> Step:
    """Finish, unless the post-script is still owed: the pre-script may start just as the dead-man fires."""
    attempt = state.attempt
    assert attempt is not None
    spec = attempt.plan.post_script
    if attempt.begun and spec is not None and attempt.post is None and attempt.post_by == BY_DEAD_MAN:
        state = change(state, post_by=BY_AGENT, post_ended=False)
        return state, (RunScript(state.saga, attempt.generation, POST, spec, spec.total_ms),)
    return finish(state, now)


def finish(state: State, now: int) -> Step:
    """Say how the generation went, to everybody who waits for it, and rest."""
    attempt = state.attempt
    assert attempt is not None
    result = _result(attempt, state.waiting, now)
    waiting = state.waiting
    state = state._replace(
        phase=RELEASED,
        attempt=None,
        waiting=(),
        closed=max(state.closed, attempt.generation),
        result=result,
        result_generation=attempt.generation,
        ends_at=min(state.ends_at, now + state.linger_ms),
    )
    actions: Tuple[Action, ...] = (Disarm(attempt.generation),)
    if not attempt.quiesced:
        state, told = tell(state, attempt.sequence, attempt.generation, _failed(attempt, result))
        actions += told
    elif all(w.kind != protocol.RESUME for w in waiting):
        state, told = tell(state, 0, attempt.generation, result)
        actions += told
    return _answer_waiting(state, waiting, actions)


def _answer_waiting(state: State, waiting: Tuple[Waiting, ...], actions: Tuple[Action, ...]) -> Step:
    result = state.result
    assert result is not None
    for one in waiting:
        if one.kind == protocol.RESUME:
            state, told = tell(state, one.sequence, one.generation, result)
        elif one.kind == protocol.RELEASE:
            state, told = tell(state, one.sequence, one.generation, Released(was_held=True))
        elif one.kind == protocol.QUIESCE:
            refused = QuiesceFailed(_STILL_HELD)
            state, told = tell(state, one.sequence, one.generation, refused)
        elif one.kind == protocol.ARM:  # the generation was over before the dead-man's process was there
            state, told = tell(state, one.sequence, one.generation, Ready(armed=False, locked=False))
        else:
            continue
        actions += told
    if any(w.kind in (protocol.RELEASE, STOP) for w in waiting):
        return remember(state, PAST_SAGAS), (*actions, End())
    return state, actions


def _result(attempt: Attempt, waiting: Tuple[Waiting, ...], now: int) -> Resumed:
    """Judge the generation: held until the order only if order, evidence and generation all agree."""
    ordered = attempt.released_by == BY_ORDER
    held = attempt.evidence
    if attempt.pre is not None and attempt.pre.started:
        detail = "" if ordered else "The post-script was due before the order."
        held = (Evidence(SCRIPT, attempt.pre.path, whole=ordered, detail=detail), *held)
    resumes = [w for w in waiting if w.kind == protocol.RESUME]
    meant = all(w.generation == attempt.generation for w in resumes)
    whole = attempt.quiesced and ordered and meant and bool(held) and all(e.whole for e in held)
    window = now - attempt.started if attempt.begun else 0
    return Resumed(attempt.released_by, whole, held, window, attempt.post)


def _failed(attempt: Attempt, result: Resumed) -> QuiesceFailed:
    failure = attempt.failure or Failure("failed", "Quiescing ended without a result.")
    released = all(e.released for e in attempt.evidence)
    return QuiesceFailed(failure, released, result.window_ms, attempt.pre, attempt.post)
