"""The VM is read: what there is to snapshot, what stops it, and whether its guest is to be held."""

from dataclasses import replace

from shared.policy.layers import anchored_by_default
from shared.saga.admitting import wait_for_disks
from shared.saga.causes import Cause, Unfit
from shared.saga.decide import without_guest
from shared.saga.events import FactsRead, FactsUnavailable, Started
from shared.saga.phases import Transition, enter_arming, enter_cleaning, enter_preflight, look_later, too_late
from shared.saga.restore_points import held_by_platform, obstacles_of_restore_point
from shared.saga.script_values import too_large
from shared.saga.snapshots import remarks
from shared.saga.state import Ending, Outcome, Phase, SagaState
from shared.saga.tags_of_vm import told_of_tags, with_own_tags
from shared.saga.troubles import troubled


def on_started(state: SagaState, event: Started, now: int) -> Transition:
    """Begin to read the VM."""
    if state.phase is not Phase.PENDING:
        return too_late(state)
    watched = replace(state, watch_receipt=event.watch_receipt, watch_number=1)
    return enter_preflight(watched, now)


def on_facts_read(state: SagaState, event: FactsRead, now: int) -> Transition:
    """Bring the guest to hold still, or go on without it, or end: whatever the VM as it is allows."""
    if state.phase is not Phase.PREFLIGHT:
        return too_late(state)
    facts, spec = event.facts, state.spec
    spec, remarks_on_tags = with_own_tags(spec, facts)
    guest = spec.guest
    if not spec.snapshots.is_restore_point:  # there the platform's own VSS is asked
        guest = anchored_by_default(guest, facts.os_type)
    left_out = (disk.sentence for disk in facts.left_out)
    notes = (*state.notes, *left_out, *remarks(spec.snapshots, facts.disks))
    known = replace(state, facts=facts, notes=notes, spec=replace(spec, guest=guest))
    known = told_of_tags(known, remarks_on_tags)
    unable = _unable(known)
    if unable is not None:
        noted, why = unable
        return enter_cleaning(noted, now, Ending(Outcome.FAILED, why))
    if facts.passing_obstacles:
        return wait_for_disks(replace(state, facts=facts), now)
    if not facts.running:
        note = f"the VM was not running (it was {facts.power_state}): there was no guest to hold"
        return without_guest(known, now, Unfit.NOT_RUNNING, note)
    if not guest.enabled:
        return without_guest(known, now, Unfit.DISABLED, "guest processing is off")
    if held_by_platform(known):
        return without_guest(known, now, Unfit.PLATFORM, "Azure's own VSS holds the guest, and no agent")
    problem = too_large(known)
    if problem:
        unfit = troubled(known, Cause.SCRIPT_TOO_LARGE, detail=problem)
        return enter_cleaning(unfit, now, Ending(Outcome.FAILED, problem))
    return enter_arming(known, now)


def _unable(state: SagaState) -> tuple[SagaState, str] | None:
    """Note why there can be no recovery point, and say it; None where nothing is known to stop it."""
    assert state.facts is not None
    if not state.facts.disks and state.facts.left_out:
        return troubled(state, Cause.NOTHING_SELECTED), "no disk of the VM is selected"
    if not state.facts.disks:
        return troubled(state, Cause.NO_DISK), "the VM has no managed disk to snapshot"
    why = "; ".join((*state.facts.obstacles, *obstacles_of_restore_point(state)))
    return (troubled(state, Cause.OBSTACLE, detail=why), why) if why else None


def on_facts_unavailable(state: SagaState, event: FactsUnavailable, now: int) -> Transition:
    """Read again what could not be read, up to the phase's deadline, where that may help."""
    if state.phase is not Phase.PREFLIGHT:
        return too_late(state)
    assert state.deadline is not None
    detail = f"{event.detail} ({event.code})"
    unread = troubled(state, Cause.VM_UNREADABLE, code=event.cause, detail=detail)
    if event.passing and now < state.deadline:
        return look_later(unread, now)
    return enter_cleaning(unread, now, Ending(Outcome.FAILED, f"the VM could not be read: {detail}"))
