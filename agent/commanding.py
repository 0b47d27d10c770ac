"""What the app's commands mean to a session. Pure, like session.

A repeated command is answered with its stored ack, a lower sequence is refused. Sequences outlive their
session, so that a recorded `arm` and `quiesce` cannot be played back once it has ended.

Sagas of overlapping runs are armed side by side. One session is under way; the others are put aside, and each
goes on with its next command, or when the one before it has ended. What is held is held for one of them.
"""

from typing import Callable, Dict, Optional

from agent.moves import ArmDeadMan, Defer, End, Refuse, SendAck, StartDeadMan
from agent.orders import Arm, Order, Quiesce
from agent.records import BY_AGENT, BY_ORDER, Failure, QuiesceFailed, Ready, Released, Resumed
from agent.releasing import PAST_SAGAS, let_go, wait
from agent.state import (
    ARMED,
    ARMING,
    IDLE,
    PREPARING,
    RESTING,
    Attempt,
    Past,
    State,
    Step,
    answer,
    close,
    put_aside,
    remember,
    taken_up,
)
from shared import protocol


def take(state: State, order: Order, now: int) -> Step:
    """Say what follows from ``order`` at ``now`` (ms, monotonic)."""
    if order.saga != state.saga or state.phase == IDLE:
        return _other_saga(state, order, now)
    if order.sequence < state.last_sequence:
        return state, (Refuse(protocol.Replayed.reason, order.sequence),)
    if order.sequence == state.last_sequence:
        return _repeat(state)
    return _COMMANDS[order.kind](state._replace(last_sequence=order.sequence, answer=None), order, now)


def _other_saga(state: State, order: Order, now: int) -> Step:
    """Take a command of a saga without a session: `arm` begins one, but only while nothing is held."""
    past = next((p for p in state.past if p.saga == order.saga), None)
    if past is not None and order.sequence <= past.last_sequence:
        if order.sequence == past.last_sequence and past.answer is not None:
            return state, (SendAck(past.answer),)
        return state, (Refuse(protocol.Replayed.reason, order.sequence),)
    busy = state.attempt is not None or state.phase == ARMING
    if order.kind == protocol.ARM:
        if busy:
            return state, (Defer(),)
        begun = _begin(put_aside(state, PAST_SAGAS), order, past)
        offset = state.clock_offset
        return _arm(begun._replace(clock_offset=offset, session_offset=offset), order, now)
    if past is not None and past.ends_at > now:
        if not busy:
            return _take_up(state, past, order, now)
        if order.kind == protocol.QUIESCE:  # its turn comes when what is held has been let go
            return state, (Defer(),)
    # A session that is over, or never was: nothing of it can be held, which is the answer.
    alone = _begin(State(past=()), order, past)._replace(phase=ARMED)
    alone, actions = _COMMANDS[order.kind](alone, order, now)
    kept = remember(alone, PAST_SAGAS).past
    others = tuple(p for p in state.past if p.saga != order.saga)
    told = tuple(a for a in actions if not isinstance(a, (StartDeadMan, ArmDeadMan, End)))
    return state._replace(past=(*others, *kept)[-PAST_SAGAS:]), told


def _take_up(state: State, past: Past, order: Order, now: int) -> Step:
    """Take a command of a session that was put aside; the one that rests now is put aside for it."""
    aside = put_aside(state, PAST_SAGAS)._replace(locked=state.locked, clock_offset=state.clock_offset)
    own = taken_up(aside, past)._replace(last_sequence=order.sequence, answer=None)
    return _COMMANDS[order.kind](own, order, now)


def _repeat(state: State) -> Step:
    """Answer a repeated command as before; one that is still under way is answered when it has ended."""
    return state, () if state.answer is None else (SendAck(state.answer),)


def _begin(state: State, order: Order, past: Optional[Past]) -> State:
    """Open the session of ``order``'s saga, going on where an earlier one of the same saga ended."""
    return State(
        phase=ARMED,
        saga=order.saga,
        last_sequence=order.sequence,
        acks=past.acks if past else 0,
        closed=past.closed if past else 0,
        past=tuple(p for p in state.past if p.saga != order.saga),
    )


def _arm(state: State, order: Order, now: int) -> Step:
    details = order.details
    assert isinstance(details, Arm)
    state = state._replace(ends_at=now + details.session_ms, linger_ms=details.linger_ms)
    if state.phase in RESTING or state.phase == ARMING:
        waiting = wait(state, order).waiting
        return state._replace(phase=ARMING, waiting=waiting), (StartDeadMan(),)
    return answer(state, order, Ready(armed=True, locked=state.locked))


def _quiesce(state: State, order: Order, now: int) -> Step:
    plan = order.details
    assert isinstance(plan, Quiesce)
    if state.attempt is not None:
        return let_go(wait(state, order), BY_AGENT, _OVERTAKEN, now)
    if order.generation <= state.closed:
        return _cannot(state, order, "generation_closed", "This generation was resumed or has failed before.")
    if not state.ends_at:
        return _cannot(state, order, "not_armed", "No session of this saga is armed here.")
    attempt = Attempt(
        generation=order.generation,
        sequence=order.sequence,
        plan=plan,
        started=now,
        quiesce_deadline=now + plan.quiesce_timeout_ms,
        budget_deadline=now + plan.freeze_budget_ms,
        clock_offset=state.clock_offset,
    )
    arm = ArmDeadMan(state.saga, attempt.generation, attempt.budget_deadline, plan)
    return state._replace(phase=PREPARING, attempt=attempt, result=None), (arm,)


def _cannot(state: State, order: Order, reason: str, detail: str) -> Step:
    return answer(state, order, QuiesceFailed(Failure(reason, detail)))


def _resume(state: State, order: Order, now: int) -> Step:
    attempt = state.attempt
    if attempt is None:
        closed = max(state.closed, order.generation)
        result = state.result or Resumed(BY_ORDER)
        if order.generation != state.result_generation:
            result = result._replace(held_until_order=False)
        return answer(state._replace(closed=closed), order, result)
    if order.generation < attempt.generation:
        return state, (Refuse("stale_generation", order.sequence),)
    state = wait(state._replace(closed=max(state.closed, order.generation)), order)
    return let_go(state, BY_ORDER, _OVERTAKEN, now)


def _release(state: State, order: Order, now: int) -> Step:
    state = state._replace(closed=max(state.closed, order.generation))
    if state.attempt is None:
        state, actions = answer(state, order, Released(was_held=False))
        state, ended = close(state, PAST_SAGAS, now)
        return state, (*actions, *ended)
    return let_go(wait(state, order), BY_ORDER, _OVERTAKEN, now)


_OVERTAKEN = Failure("overtaken", "The order to let go came before everything was held.")

_COMMANDS: Dict[str, Callable[[State, Order, int], Step]] = {
    protocol.ARM: _arm,
    protocol.QUIESCE: _quiesce,
    protocol.RESUME: _resume,
    protocol.RELEASE: _release,
}
