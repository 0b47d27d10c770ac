"""The clocks of the model: it is always ``NOW``, and when time passes everything else moves into the past.

Saga and session only subtract and compare times, so two states that differ by a shift of all times are one.
What no decision ever reads is set to one value: notes, reasons, and times that only people look at.
"""

from dataclasses import replace
from typing import Any

from agent.state import HELD, Attempt, State
from shared.engine.sweeping import OVERDUE_MS
from shared.saga.causes import Cause
from shared.saga.effects import Admit, Capture, Effect, JoinBarrier, Order, SendCommand, StartAgent, Watch
from shared.saga.evidence import Evidence
from shared.saga.state import Phase, SagaState, Trouble

#: The time in ms, by the app's clock and the guest's wall clock; and by the guest's monotonic clock.
NOW = 1_700_000_000_000
MONOTONIC = 1_000_000_000

#: When a saga ended that the sweep finds: it leaves the newly ended ones to whoever ended them.
_LONG_AGO = NOW - 2 * OVERDUE_MS

#: Whether something went wrong is kept, what it was is only told.
_TROUBLE = Trouble(cause=Cause.UNRECORDED, step=Phase.PENDING)

#: Phases in which nothing of the guest is waited for any more.
SETTLED = frozenset({Phase.COMPLETING, Phase.COPYING, Phase.CLEANING, Phase.DONE})


def canonical(state: SagaState) -> SagaState:
    """Leave out what no decision reads."""
    changes: dict[str, Any] = {
        "started_at": NOW,
        "notes": (),
        "reasons": ("because",) if state.reasons else (),
        "trouble": _TROUBLE if state.trouble else None,
        "standing": replace(state.standing, out="out" if state.standing.out else ""),
        "copies": tuple(replace(copy, detail="") for copy in state.copies),
        "evidence": _canonical_evidence(state),
    }
    if state.phase is Phase.DONE:
        changes |= {
            "ended_at": _LONG_AGO if state.ended_at is not None else None,
            "watch_number": 1,
            "sequence": 1,
            "pauses": 0,
            "guest_failure": "",
            "agent_refused": False,
            "agent_generations": 0,
            "discard": (),
        }
    return replace(state, **changes)


def _canonical_evidence(state: SagaState) -> Evidence | None:
    """Leave the grade's own evidence while it is not graded; afterwards it is only told."""
    evidence = state.evidence
    if evidence is None:
        return None
    if state.phase in SETTLED and state.guest_released and state.capture_ended:
        return Evidence(generation=evidence.generation, disks=evidence.disks)
    captured = NOW if evidence.captured_at is not None else None
    resumed = NOW if evidence.resumed_at is not None else None
    quiesced = evidence.quiesced
    if quiesced is not None:
        quiesced = replace(quiesced, quiesce_ms=0, budget_left_ms=0)
    all_held = NOW if evidence.all_held_at is not None else None
    together = (evidence.resume_ordered_at or NOW) if evidence.all_captured_at is not None else None
    return replace(
        evidence,
        quiesced=quiesced,
        captured_at=captured,
        resumed_at=resumed,
        all_held_at=all_held,
        all_captured_at=together,
    )


def shift_saga(state: SagaState, by: int) -> SagaState:
    """Move a saga ``by`` ms into the past."""
    changes: dict[str, Any] = {}
    if state.deadline is not None:
        changes["deadline"] = state.deadline - by
    evidence = state.evidence
    if evidence is not None:
        changes["evidence"] = replace(
            evidence,
            quiesced_at=_minus(evidence.quiesced_at, by),
            resume_ordered_at=_minus(evidence.resume_ordered_at, by),
            all_captured_at=_minus(evidence.all_captured_at, by),
        )
    return replace(state, **changes) if changes else state


def _minus(at: int | None, by: int) -> int | None:
    return None if at is None else at - by


def shift_effect(effect: Effect, by: int) -> Effect:
    """Move an effect of the outbox ``by`` ms into the past."""
    match effect:
        case SendCommand(order):
            return SendCommand(_shift_order(order, by))
        case StartAgent(order):
            return StartAgent(_shift_order(order, by))
        case Capture(generation, disks, not_before, deadline):
            return Capture(generation, disks, not_before - by, deadline - by)
        case Admit(generation, expires_at):
            return Admit(generation, expires_at - by)
        case JoinBarrier(generation, barrier, until):
            return JoinBarrier(generation, barrier, until - by)
        case Watch(number, at):
            return Watch(number, at - by)
        case _:
            return effect


def _shift_order(order: Order, by: int) -> Order:
    return replace(order, expires_at=order.expires_at - by)


#: A session that ends later than this is taken not to end by itself: it outlasts every generation (ms).
FAR_MS = 60_000


def canonical_session(state: State) -> State:
    """Leave out of a session what no decision reads any more."""
    attempt = state.attempt
    if state.ends_at > MONOTONIC + FAR_MS:
        state = state._replace(ends_at=MONOTONIC + 1_000 * FAR_MS)
    if attempt is None:  # the next command says anew how far the clocks are apart
        return state._replace(clock_offset=0)
    if attempt.released_by:
        late = attempt.released_at > attempt.budget_deadline
        attempt = attempt._replace(
            released_at=MONOTONIC, budget_deadline=MONOTONIC - 1 if late else MONOTONIC + 1
        )
    if attempt.released_by or state.phase == HELD:
        attempt = attempt._replace(quiesce_deadline=MONOTONIC)
    return state._replace(attempt=attempt)


def shift_session(state: State, by: int) -> State:
    """Move an agent's session ``by`` ms into the past, by its monotonic clock."""
    attempt = None if state.attempt is None else _shift_attempt(state.attempt, by)
    ends_at = state.ends_at and state.ends_at - by
    return canonical_session(state._replace(ends_at=ends_at, attempt=attempt))


def _shift_attempt(attempt: Attempt, by: int) -> Attempt:
    return attempt._replace(
        started=attempt.started - by,
        quiesce_deadline=attempt.quiesce_deadline - by,
        budget_deadline=attempt.budget_deadline - by,
        overdue=attempt.overdue and attempt.overdue - by,
        released_at=attempt.released_at and attempt.released_at - by,
    )
