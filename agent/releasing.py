"""The second half of a generation: letting go, whatever began it, and saying how it went. Pure, like session.

The order is always the same: the pre-script is dead -> filesystems thawed -> handlers -> post-script -> the
anchor deleted -> acks. With an anchor the applications are let go as soon as it is there, before the ack.
"""

from typing import Optional, Tuple

from agent import telling
from agent.moves import (
    Action,
    Disarm,
    DropAnchor,
    KillScript,
    Release,
    ReleaseHandlers,
    RunScript,
    ThawOurselves,
)
from agent.orders import Order
from agent.records import (
    BY_AGENT,
    BY_DEAD_MAN,
    POST,
    PRE,
    Evidence,
    Failure,
    QuiesceFailed,
    Ready,
    Released,
)
from agent.state import (
    ANCHORING,
    DROPPING,
    POST_SCRIPT,
    PRE_SCRIPT,
    PREPARING,
    RELEASED,
    RELEASING,
    RESUMING,
    State,
    Step,
    Waiting,
    change,
    close,
    close_all,
    tell,
)
from shared import protocol

#: Sagas whose last sequence is remembered after their session, against replays.
PAST_SAGAS = 64

#: The dead-man is taken for lost when it is silent for so long after its deadline or an order (ms).
SILENCE_MS = 2_000

#: How much longer the dead-man may be silent while it lets applications go and deletes an anchor (ms).
APPLICATIONS_MS = 30_000

#: A Waiting of this kind ends the session and is answered to nobody: the system stops the agent.
STOP = "stop"

#: Phases that come to their end by themselves, and then see that the release has begun.
_ON_THEIR_WAY = (ANCHORING, RESUMING, POST_SCRIPT)

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
    failure = None if attempt.quiesced else failure
    state = change(state, released_by=by, released_at=now, failure=failure)
    if state.phase == PREPARING:
        return finish(state, now)
    if state.phase == PRE_SCRIPT:
        return state, (KillScript(attempt.generation, PRE),)
    if state.phase in _ON_THEIR_WAY:
        return state, ()
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
    """Go on after the filesystems: with the applications."""
    return handlers(change(state, evidence=evidence, overdue=0), now)


def handlers(state: State, now: int) -> Step:
    """Let the applications go on, if their handlers were asked to hold them; then the post-script."""
    attempt = state.attempt
    assert attempt is not None
    if attempt.handlers_asked and not attempt.handlers_released:
        return state._replace(phase=RESUMING), (ReleaseHandlers(attempt.generation),)
    return post_script(state, now)


def post_script(state: State, now: int) -> Step:
    """Run the post-script if it is owed and was not run; then see to the anchor."""
    attempt = state.attempt
    assert attempt is not None
    spec = attempt.plan.post_script
    if not attempt.begun or spec is None or attempt.post_ended or attempt.post is not None:
        return anchor(state, now)
    state = change(state._replace(phase=POST_SCRIPT), post_by=BY_AGENT)
    return state, (RunScript(state.saga, attempt.generation, POST, spec, spec.total_ms),)


def anchor(state: State, now: int) -> Step:
    """Say that the anchor alone holds the instant now, or have it deleted too; without one, finish."""
    attempt = state.attempt
    assert attempt is not None
    if attempt.anchored is None or attempt.dropped:
        return finish(state, now)
    if attempt.released_by:
        return state._replace(phase=DROPPING), (DropAnchor(attempt.generation, attempt.anchored),)
    if not all(e.whole for e in attempt.handler_evidence):
        state, _ = let_go(state, BY_AGENT, telling.broken_handler(attempt), now)
        return anchor(state, now)
    return telling.anchored(state, now)


def fired(state: State, evidence: Tuple[Evidence, ...], now: int) -> Step:
    """Note that the dead-man let go by itself; it runs the post-script as well, and says when.

    What the agent itself has under way, it ends: the pre-script, the handlers.
    """
    attempt = state.attempt
    assert attempt is not None
    spec = attempt.plan.post_script
    more = attempt.handlers_asked or attempt.plan.anchor is not None
    patience = SILENCE_MS + (spec.total_ms if spec else 0) + (APPLICATIONS_MS if more else 0)
    failure = attempt.failure
    if not attempt.quiesced and failure is None:
        failure = Failure("budget_spent", "The freeze budget was spent before everything was held.")
    state = change(
        state._replace(phase=POST_SCRIPT),
        released_by=BY_DEAD_MAN,
        released_at=now,
        failure=failure,
        evidence=evidence,
        post_by=BY_DEAD_MAN,
        post_ended=False,
        overdue=now + patience,
    )
    actions: Tuple[Action, ...] = ()
    if attempt.pre_running:
        actions += (KillScript(attempt.generation, PRE),)
    if attempt.handlers_asked and not attempt.handlers_released:
        actions += (ReleaseHandlers(attempt.generation),)
    return state, actions


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
            return let_go(state, BY_AGENT, failure, now)
        state = change(state, post_by=BY_AGENT, overdue=0)
        return (state, ()) if attempt.pre_running else thaw(state, now)
    return let_go(state, BY_AGENT, failure, now)


def conclude(state: State, now: int) -> Step:
    """Go on once post-script, pre-script, handlers and anchor have all ended, after the dead-man too.

    The post-script may still be owed: the pre-script may start just as the dead-man fires.
    """
    attempt = state.attempt
    assert attempt is not None
    unreleased = attempt.handlers_asked and not attempt.handlers_released
    if not attempt.post_ended or attempt.pre_running or unreleased or attempt.anchoring:
        return state, ()
    spec = attempt.plan.post_script
    if attempt.begun and spec is not None and attempt.post is None and attempt.post_by == BY_DEAD_MAN:
        state = change(state, post_by=BY_AGENT, post_ended=False)
        return state, (RunScript(state.saga, attempt.generation, POST, spec, spec.total_ms),)
    return anchor(state, now)


def finish(state: State, now: int) -> Step:
    """Say how the generation went, to everybody who waits for it, and rest."""
    attempt = state.attempt
    assert attempt is not None
    result = telling.resumed(state, state.waiting, now)
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
        state, told = tell(state, attempt.sequence, attempt.generation, telling.failed(attempt, result))
        actions += told
    elif all(w.kind != protocol.RESUME for w in waiting):
        state, told = tell(state, 0, attempt.generation, result)
        actions += told
    return _answer_waiting(state, waiting, actions, now)


def _answer_waiting(
    state: State, waiting: Tuple[Waiting, ...], actions: Tuple[Action, ...], now: int
) -> Step:
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
    kinds = [w.kind for w in waiting]
    if STOP in kinds:
        state, ended = close_all(state, PAST_SAGAS)
    elif protocol.RELEASE in kinds:
        state, ended = close(state, PAST_SAGAS, now)
    else:
        return state, actions
    return state, (*actions, *ended)
