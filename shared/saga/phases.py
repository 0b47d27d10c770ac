"""How each phase is entered: the state it starts with, its deadline, and the effects it owes."""

from dataclasses import dataclass, replace

from shared.policy.guest_processing import AgentUse
from shared.protocol import ARM, QUIESCE, RELEASE, RESUME
from shared.saga.effects import (
    Capture,
    CheckCopies,
    Clean,
    Effect,
    Order,
    ReadFacts,
    RecordEnd,
    SendCommand,
    StartAgent,
    TakeRestorePoint,
    Watch,
)
from shared.saga.evidence import Evidence
from shared.saga.facts import VmFacts
from shared.saga.names import restore_point_id
from shared.saga.restore_points import asked_consistency
from shared.saga.snapshots import snapshot_of
from shared.saga.state import Ending, Outcome, Phase, SagaSpec, SagaState, SnapshotCopy

#: Reading a VM that Azure cannot show right now is tried again for this long.
PREFLIGHT_TIMEOUT_MS = 5 * 60_000
#: Snapshots of a VM whose guest is not held may take their time, within host.json's functionTimeout.
UNHELD_CAPTURE_TIMEOUT_MS = 8 * 60_000
#: Deleting and tagging is tried again for this long before what is left over is only recorded.
CLEANING_TIMEOUT_MS = 3_600_000
#: What a message and an invocation may need on top of what the guest does by itself.
GRACE_MS = 10_000
#: The part of the freeze budget kept back so that the order to resume arrives before the dead-man acts.
RESUME_RESERVE_MS = 1_500
#: A freeze window shorter than this is not worth a snapshot request.
SHORTEST_CAPTURE_MS = 500
#: A saga is looked at this often while it waits, so that a lost message is repeated soon.
WATCH_INTERVAL_MS = 30_000
#: An idle resident agent looks at its queue every 5 s. One that has not answered by now is started (ms).
WAKE_MS = 8_000
#: Pauses between looks at a background copy double from the first to the last.
FIRST_PAUSE_MS, LAST_PAUSE_MS = 5_000, 300_000


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads: the next state and what is to be done. ``ignored`` says why nothing changes."""

    state: SagaState
    effects: tuple[Effect, ...] = ()
    ignored: str = ""


def too_late(state: SagaState) -> Transition:
    """Ignore an event that comes when its phase is over."""
    return Transition(state, ignored=f"nothing waits for it while {state.phase}")


def pending(spec: SagaSpec, now: int) -> SagaState:
    """Make the state of a saga that nothing has happened to yet."""
    return SagaState(spec=spec, started_at=now)


def first_watch_ms(spec: SagaSpec) -> int:
    """Say after how many ms a saga is first looked at: no waiting phase is shorter than that."""
    guest = spec.guest
    return min(WATCH_INTERVAL_MS, guest.arming_timeout_ms, guest.quiesce_timeout_ms + GRACE_MS)


def enter_preflight(state: SagaState, now: int) -> Transition:
    """Look at the VM before anything is touched."""
    after = replace(state, phase=Phase.PREFLIGHT, deadline=now + PREFLIGHT_TIMEOUT_MS)
    return Transition(after, (ReadFacts(state.spec.vm_id),))


def enter_arming(state: SagaState, now: int) -> Transition:
    """Begin a new generation: wake or start the agent, which arms its dead-man and says ``ready``.

    One that is woken is given ``WAKE_MS``; the watch then starts it by a run command, unless it may not.
    """
    after = replace(
        state,
        phase=Phase.ARMING,
        deadline=now + state.spec.guest.arming_timeout_ms,
        generation=state.generation + 1,
        sequence=state.sequence + 1,
        agent_refused=False,
        pauses=0,
        guest_failure="",
        trouble=None,
        evidence=None,
    )
    if state.spec.guest.agent is AgentUse.RESIDENT or _is_resident(state):
        at = min(now + WAKE_MS, now + state.spec.guest.arming_timeout_ms)
        return watch_again(replace(after, pauses=1), at, SendCommand(arm_order(after)))
    return start_agent(after)


def start_agent(state: SagaState) -> Transition:
    """Start the agent by a run command, whatever was tried before."""
    after = replace(state, agent_generations=state.generation)
    return Transition(after, (StartAgent(arm_order(after)),))


def enter_quiescing(state: SagaState, now: int) -> Transition:
    """Order the agent to make everything hold still."""
    after = replace(
        state,
        phase=Phase.QUIESCING,
        deadline=now + state.spec.guest.quiesce_timeout_ms + GRACE_MS,
        sequence=state.sequence + 1,
        guest_released=False,
        evidence=_new_evidence(state),
    )
    return Transition(after, (SendCommand(quiesce_order(after)),))


def enter_capturing(state: SagaState, *, not_before: int, capture_deadline: int) -> Transition:
    """Snapshot all disks while the guest holds still."""
    after = replace(state, phase=Phase.CAPTURING, deadline=capture_deadline + GRACE_MS, capture_ended=False)
    return Transition(after, (_capture(after, not_before, capture_deadline),))


def enter_unheld_capturing(state: SagaState, now: int, note: str) -> Transition:
    """Snapshot all disks although nothing in the guest is held; ``note`` says why nothing is."""
    following = replace(state, generation=state.generation + 1, notes=(*state.notes, note))
    after = replace(
        following,
        phase=Phase.CAPTURING,
        deadline=now + UNHELD_CAPTURE_TIMEOUT_MS + GRACE_MS,
        capture_ended=False,
        evidence=_new_evidence(following),
    )
    return Transition(after, (_capture(after, now, now + UNHELD_CAPTURE_TIMEOUT_MS),))


def enter_resuming(state: SagaState, now: int) -> Transition:
    """Order the agent to let everything go on; decide afterwards."""
    assert state.evidence is not None
    guest = state.spec.guest
    # A quiesce order may be obeyed until it expires; the dead-man acts a freeze budget later.
    last_start = quiesce_order(state).expires_at if state.phase is Phase.QUIESCING else now
    dead_man_acted = max(now, last_start) + guest.longest_hold_ms + GRACE_MS
    after = replace(
        state,
        phase=Phase.RESUMING,
        deadline=max(now + guest.resume_timeout_ms, dead_man_acted),
        sequence=state.sequence + 1,
        evidence=replace(state.evidence, resume_ordered_at=now),
    )
    return Transition(after, (SendCommand(resume_order(after)),))


def enter_completing(state: SagaState, now: int, snapshots: tuple[str, ...], outcome: Outcome) -> Transition:
    """Wait for the background copies; the guest has gone on long since."""
    after = replace(
        state,
        phase=Phase.COMPLETING,
        deadline=now + state.spec.snapshots.completion_timeout_ms,
        outcome=outcome,
        recovery_point=tuple(SnapshotCopy(snapshot) for snapshot in snapshots),
        pauses=0,
    )
    return Transition(after, (CheckCopies(snapshots),))


def enter_cleaning(state: SagaState, now: int, ending: Ending | None = None) -> Transition:
    """Put everything in order and end the saga; with ``ending`` before its work is done."""
    after = replace(state, phase=Phase.CLEANING, deadline=now + CLEANING_TIMEOUT_MS, pauses=0)
    if ending is not None:
        before = state.reasons if state.recovery_point else state.notes
        after = replace(after, outcome=ending.outcome, reasons=(*before, ending.reason))
    if not after.recovery_point:
        after = replace(after, grade=None)
    if state.phase not in (Phase.ARMING, Phase.ADMITTING, Phase.ARMED):
        return Transition(after, (clean(after),))
    after = replace(after, sequence=after.sequence + 1)  # an agent that comes late is told to go
    release = Order(RELEASE, after.generation, after.sequence, _session_end(after, now))
    return Transition(after, (SendCommand(release), clean(after)))


def enter_done(state: SagaState, now: int) -> Transition:
    """End the saga."""
    after = replace(state, phase=Phase.DONE, deadline=None, ended_at=now)
    return Transition(after, (RecordEnd(state.watch_receipt),))


def arm_order(state: SagaState) -> Order:
    """Give the order that the arming phase owes."""
    assert state.deadline is not None
    return Order(ARM, state.generation, state.sequence, state.deadline)


def quiesce_order(state: SagaState) -> Order:
    """Give the order that the quiescing phase owes: void once nobody waits for its answer."""
    assert state.deadline is not None
    return Order(QUIESCE, state.generation, state.sequence, state.deadline)


def resume_order(state: SagaState) -> Order:
    """Give the order that the resuming phase owes: never too late to be obeyed."""
    assert state.deadline is not None
    return Order(RESUME, state.generation, state.sequence, _session_end(state, state.deadline))


def clean(state: SagaState) -> Clean:
    """Give what the cleaning phase owes."""
    return Clean(
        keep=kept_ids(state),
        discard=state.discard,
        agent_generations=state.agent_generations,
    )


def watch_again(state: SagaState, at: int, *others: Effect) -> Transition:
    """Stay, do the others again, and be looked at again at ``at`` (ms since the epoch) at the latest."""
    after = replace(state, watch_number=state.watch_number + 1)
    return Transition(after, (*others, Watch(after.watch_number, at)))


def look_later(state: SagaState, now: int) -> Transition:
    """Stay, and look again after a pause that grows, at the phase's deadline at the latest."""
    assert state.deadline is not None
    at = min(state.deadline, now + pause_ms(state.pauses))
    return watch_again(replace(state, pauses=state.pauses + 1), at)


def pause_ms(pauses: int) -> int:
    """Give the pause before the next look: doubled each time, within bounds."""
    return min(FIRST_PAUSE_MS << min(pauses, 10), LAST_PAUSE_MS)


def snapshot_ids(state: SagaState) -> tuple[str, ...]:
    """Give the ids of all snapshots, or of the restore point, that the current generation may have made."""
    settings, saga = state.spec.snapshots, state.spec.saga_id
    if settings.is_restore_point:
        return (restore_point_id(state.spec.vm_id, settings.resource_group, saga, state.generation),)
    return tuple(snapshot_of(state, disk, state.generation) for disk in facts(state).disks)


def kept_ids(state: SagaState) -> tuple[str, ...]:
    """Give the ids of the snapshots that make the recovery point."""
    return tuple(copy.snapshot_id for copy in state.recovery_point)


def facts(state: SagaState) -> VmFacts:
    """Give what preflight read; every phase after it has it."""
    assert state.facts is not None
    return state.facts


def _is_resident(state: SagaState) -> bool:
    known = state.facts is not None and state.facts.resident_agent
    return known and state.spec.guest.agent is AgentUse.AUTO


def _capture(state: SagaState, not_before: int, deadline: int) -> Capture | TakeRestorePoint:
    disks = facts(state).disks
    if not state.spec.snapshots.is_restore_point:
        return Capture(state.generation, disks, not_before, deadline)
    [point_id] = snapshot_ids(state)
    return TakeRestorePoint(state.generation, point_id, asked_consistency(state), disks, not_before, deadline)


def _new_evidence(state: SagaState) -> Evidence:
    disks = tuple(disk.disk_id for disk in facts(state).disks)
    return Evidence(generation=state.generation, disks=disks)


def _session_end(state: SagaState, at: int) -> int:
    return at + state.spec.guest.resume_timeout_ms + state.spec.guest.longest_hold_ms
