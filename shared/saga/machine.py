"""The saga's machine: one event, one transition. Pure and total: every event has an answer in every phase.

``_HANDLERS`` says which module answers which event.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared.saga.admitting import leaving, on_admitted, on_must_wait
from shared.saga.arming import on_agent_not_started, on_agent_ready
from shared.saga.copying import on_region_copies_seen
from shared.saga.effects import Alert
from shared.saga.ending_early import on_cancel, on_poisoned
from shared.saga.errors import IllegalTransitionError
from shared.saga.events import (
    Admitted,
    AgentNotStarted,
    AgentReady,
    BarrierOpened,
    CancelRequested,
    CaptureEnded,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    GroupBroke,
    MustWait,
    Poisoned,
    Quiesced,
    QuiesceFailed,
    RegionCopiesSeen,
    Released,
    Resumed,
    Started,
    TimePassed,
)
from shared.saga.finishing import on_cleaned, on_copies_seen
from shared.saga.grouped import leaving_group, on_barrier_opened, on_group_broke
from shared.saga.holding import on_capture_ended, on_quiesce_failed, on_quiesced, on_resumed
from shared.saga.overdue import on_time_passed
from shared.saga.phases import Transition
from shared.saga.preflight import on_facts_read, on_facts_unavailable, on_started
from shared.saga.state import Phase, SagaState
from shared.saga.transitions import is_legal

#: Why an event changes nothing, where others want to know.
OVER = "the saga is done"
OTHER_GENERATION = "it belongs to another generation"


def advance(state: SagaState, event: Event, now: int) -> Transition:
    """Say what follows from an event. ``now`` is in ms since the epoch.

    Raises:
        IllegalTransitionError: the machine itself is wrong.
    """
    if state.phase is Phase.DONE:
        return _ignore(state, OVER)
    if getattr(event, "generation", state.generation) != state.generation:
        return _ignore(state, OTHER_GENERATION)
    transition = leaving_group(state, leaving(state, _HANDLERS[type(event)](state, event, now)))
    if not is_legal(state.phase, transition.state.phase):
        raise IllegalTransitionError(state.spec.saga_id, state.phase, transition.state.phase)
    new = transition.state.warnings[len(state.warnings) :]
    return replace(transition, effects=(*transition.effects, Alert(new))) if new else transition


def _ignore(state: SagaState, why: str) -> Transition:
    return Transition(state, ignored=why)


def _on_released(state: SagaState, _event: Released, _now: int) -> Transition:
    return _ignore(state, "the session is over")


_HANDLERS: Mapping[type, Callable[[SagaState, Any, int], Transition]] = {
    Started: on_started,
    FactsRead: on_facts_read,
    FactsUnavailable: on_facts_unavailable,
    AgentNotStarted: on_agent_not_started,
    AgentReady: on_agent_ready,
    Admitted: on_admitted,
    MustWait: on_must_wait,
    Quiesced: on_quiesced,
    QuiesceFailed: on_quiesce_failed,
    CaptureEnded: on_capture_ended,
    Resumed: on_resumed,
    Released: _on_released,
    BarrierOpened: on_barrier_opened,
    GroupBroke: on_group_broke,
    CopiesSeen: on_copies_seen,
    RegionCopiesSeen: on_region_copies_seen,
    Cleaned: on_cleaned,
    TimePassed: on_time_passed,
    CancelRequested: on_cancel,
    Poisoned: on_poisoned,
}
