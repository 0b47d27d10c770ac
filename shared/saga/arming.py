"""The agent is started, and says that it is ready and its dead-man stands by."""

from dataclasses import replace

from shared.saga.admitting import enter_admitting
from shared.saga.agents import is_too_old, replace_agent
from shared.saga.barriers import enter_armed, in_group
from shared.saga.causes import Cause
from shared.saga.decide import guest_gave_up
from shared.saga.events import AgentNotStarted, AgentReady
from shared.saga.phases import Transition, enter_quiescing, too_late
from shared.saga.state import Phase, SagaState
from shared.saga.troubles import troubled


def on_agent_ready(state: SagaState, event: AgentReady, now: int) -> Transition:
    """Go on to hold the guest: by the gate, or with its group, or at once."""
    if state.phase is not Phase.ARMING:
        return too_late(state)
    if not event.dead_man_armed:
        unsafe = troubled(state, Cause.DEAD_MAN_NOT_ARMED)
        return guest_gave_up(unsafe, now, "the guest's dead-man could not be armed", passing=False)
    if is_too_old(event.agent_version):
        return replace_agent(state, event.agent_version, now)
    if state.spec.admission is not None:
        return enter_admitting(state, now)
    return enter_armed(state, now) if in_group(state) else enter_quiescing(state, now)


def on_agent_not_started(state: SagaState, event: AgentNotStarted, now: int) -> Transition:
    """Leave it to the next watch to try again, or go on without the guest where that is of no use."""
    if state.phase is not Phase.ARMING:
        return too_late(state)
    detail = f"{event.detail} ({event.code})"
    refused = troubled(state, Cause.AGENT_NOT_STARTED, code=event.cause, detail=detail)
    if event.passing:  # the next watch tries again, until the phase's deadline
        return Transition(replace(refused, agent_refused=True))
    return guest_gave_up(refused, now, f"the agent could not be started: {detail}", passing=False)
