"""The gate before the freeze: an armed guest is not held before its saga is admitted.

What is limited (guests that are held at the same time, requests to Azure, snapshots of a disk) is asked for
and reserved while the applications still write. So nobody is held while a saga waits.
"""

from dataclasses import replace

from shared.saga.barriers import armed_wait_ms, enter_armed, in_group
from shared.saga.causes import Cause
from shared.saga.effects import Admit, Leave
from shared.saga.events import Admitted, MustWait
from shared.saga.phases import (
    GRACE_MS,
    Transition,
    enter_cleaning,
    enter_quiescing,
    first_watch_ms,
    too_late,
    watch_again,
)
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.troubles import troubled

#: A saga that has to wait asks again no sooner than this (ms).
SHORTEST_WAIT_MS = 1_000

#: What a clock of another instance may be off by, and a message late, before a lease is taken for given up.
LEASE_RESERVE_MS = 30_000


#: Phases in which no snapshot was asked for yet.
_UNCAPTURED = (Phase.ADMITTING, Phase.ARMED, Phase.QUIESCING, Phase.HELD)

#: A disk that has no room for a snapshot is looked at again after this long (ms).
DISK_PAUSE_MS = 20_000


def wait_for_disks(state: SagaState, now: int) -> Transition:
    """Have the VM read again later: a limit of its disks passes by itself, and no agent waits for it."""
    facts = state.facts
    assert facts is not None
    why = "; ".join(facts.passing_obstacles)
    hindered = troubled(state, Cause.OBSTACLE, detail=why)
    rules = state.spec.admission
    if rules is None or now >= state.started_at + rules.timeout_ms:
        return enter_cleaning(hindered, now, Ending(Outcome.FAILED, why))
    deadline = state.started_at + rules.timeout_ms
    waiting = replace(hindered, deadline=deadline, pauses=state.pauses + 1)
    return watch_again(waiting, min(deadline, now + DISK_PAUSE_MS))


def enter_admitting(state: SagaState, now: int) -> Transition:
    """Ask for admission; the guest is armed and not held, however long it takes."""
    assert state.spec.admission is not None
    after = replace(
        state,
        phase=Phase.ADMITTING,
        deadline=now + state.spec.admission.timeout_ms,
        admission=state.generation,
        pauses=0,
    )
    return Transition(after, (admit(after, now),))


def admit(state: SagaState, now: int) -> Admit:
    """Give what the admitting phase owes."""
    return Admit(state.generation, lease_until(state, now))


def lease_until(state: SagaState, now: int) -> int:
    """Say until when a saga that is admitted now has its place: its dead-man has acted for certain then.

    An ask that a crash had put off for minutes is for a hold that begins now, not when it was decided.
    """
    guest = state.spec.guest
    quiesced = now + _armed_wait_ms(state) + guest.quiesce_timeout_ms + GRACE_MS
    released = quiesced + guest.longest_hold_ms + GRACE_MS + max(guest.resume_timeout_ms, GRACE_MS)
    return released + LEASE_RESERVE_MS


def _armed_wait_ms(state: SagaState) -> int:
    return armed_wait_ms(state.spec.group.rules if state.spec.group else None)


def on_admitted(state: SagaState, event: Admitted, now: int) -> Transition:
    """Hold the guest. One that is admitted although its saga went another way leaves again."""
    if state.phase is Phase.ADMITTING and in_group(state):
        return enter_armed(state, now)
    if state.phase is Phase.ADMITTING:
        waited = state.pauses > 0
        held = enter_quiescing(replace(state, pauses=0, trouble=None), now)
        if not waited:
            return held
        # The watch that brought it here is used up.
        return watch_again(held.state, now + first_watch_ms(state.spec), *held.effects)
    if state.admission == event.generation or not state.guest_released:
        return Transition(state, ignored=f"it is {state.phase} already")
    return Transition(state, (Leave(event.generation, captured=False),))


def on_must_wait(state: SagaState, event: MustWait, now: int) -> Transition:
    """Ask again later, up to the phase's deadline."""
    if state.phase is not Phase.ADMITTING:
        return too_late(state)
    assert state.deadline is not None
    waiting = troubled(state, Cause.NOT_ADMITTED, code=event.code, detail=event.why)
    if now >= state.deadline:
        return not_admitted(waiting, now)
    at = min(state.deadline, max(event.until, now + SHORTEST_WAIT_MS))
    return watch_again(replace(waiting, pauses=state.pauses + 1), at)


def not_admitted(state: SagaState, now: int) -> Transition:
    """Give up: what would be asked of the guest now, Azure or the policy's own limit would not allow."""
    known = state if state.trouble else troubled(state, Cause.NOT_ADMITTED)
    why = known.trouble.detail if known.trouble else ""
    reason = f"it was not admitted to be held in time: {why or 'nobody said why'}"
    return enter_cleaning(known, now, Ending(Outcome.FAILED, reason))


def leaving(before: SagaState, transition: Transition) -> Transition:
    """Give up a reservation that is of no more use: nothing is held by it any more, and nothing will be."""
    after = transition.state
    in_use = after.phase in (Phase.ADMITTING, Phase.ARMED) or not after.guest_released
    if not after.admission or (in_use and after.generation == after.admission):
        return transition
    captured = before.phase not in _UNCAPTURED and not after.spec.rehearsal
    left = Leave(after.admission, captured=captured)
    return replace(transition, state=replace(after, admission=0), effects=(*transition.effects, left))
