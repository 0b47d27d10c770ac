"""What becomes of a saga once its guest goes on and its snapshots have ended."""

from dataclasses import replace

from shared.policy.guest_processing import Filesystems
from shared.saga.barriers import enter_proved, is_unproved, may_go_alone, shares_instant
from shared.saga.causes import Cause, Unfit
from shared.saga.consistency import APPLICATIONS, Grade, Verdict, grade
from shared.saga.evidence import DiskCapture, Evidence, GuestWarning
from shared.saga.phases import (
    Transition,
    enter_arming,
    enter_cleaning,
    enter_completing,
    enter_unheld_capturing,
    snapshot_ids,
)
from shared.saga.rehearsing import as_if_captured, best_verdict
from shared.saga.restore_points import (
    PLATFORMS_BEST,
    asked_consistency,
    asked_of_platform,
    by_platforms_word,
    held_by_platform,
    platform_grade,
)
from shared.saga.state import Ending, Outcome, SagaState
from shared.saga.troubles import (
    blemished,
    capture_troubled,
    grade_troubled,
    lacking_applications,
    missed_applications,
    troubled,
)
from shared.saga.warnings import blemish, warned

#: The agent's reasons of ``quiesce_failed`` that may pass by themselves.
PASSING_REASONS = frozenset(
    {
        "agent_restarted",
        "already_frozen",
        "dead_man_lost",
        "handler_busy",
        "handler_held_already",
        "handler_lost",
        "handler_timed_out",
        "handler_unreachable",
        "not_armed",
        "not_ready",
        "overtaken",
        "quiesce_timeout",
        "script_unreachable",
        "set_in_progress",
        "stopping",
        "writer_retryable",
    }
)


#: Our own warning of a restore point that came to less than was asked for.
LOWER_CONSISTENCY = "lower_consistency"

#: The agent's warning of a handler that failed and is not required.
OPTIONAL_HANDLER_FAILED = "optional_handler_failed"


def guest_gave_up(state: SagaState, now: int, reason: str, *, passing: bool) -> Transition:
    """Go on after a generation whose guest was not held; nothing is held any more. Its trouble is noted."""
    note = f"generation {state.generation}: {reason}"
    noted = replace(state, notes=(*state.notes, note), guest_failure="")
    if passing and state.generation < state.spec.guest.attempts:
        return enter_arming(noted, now)
    alone = state.spec.guest.keeps_less and may_go_alone(state)
    if alone and not state.spec.rehearsal:
        return enter_unheld_capturing(noted, now, "snapshotted without the guest, as on_guest_failure says")
    given_up = replace(state, guest_failure="")  # the ending says what the note would
    return enter_cleaning(given_up, now, Ending(Outcome.FAILED, f"the guest could not be held: {reason}"))


def without_guest(state: SagaState, now: int, why: Unfit, note: str) -> Transition:
    """Go on where no guest is to be held; ``note`` says why. A rehearsal has nothing to do then.

    Where an application has to be held, nothing is snapshotted that could not be kept.
    """
    if state.spec.group is not None:
        state = troubled(state, Cause.GROUP_UNFIT, code=why, detail=note)
    if not may_go_alone(state):
        return enter_cleaning(state, now, Ending(Outcome.FAILED, note))
    if state.spec.guest.application_required and not _left_to_platform(state):
        reason = f"the recovery point has to be application-consistent, and {note}"
        return enter_cleaning(lacking_applications(state, note), now, Ending(Outcome.FAILED, reason))
    if not state.spec.rehearsal:
        return enter_unheld_capturing(state, now, note)
    notes = (*state.notes, note)
    return enter_cleaning(replace(state, notes=notes, reasons=notes, outcome=Outcome.REHEARSED), now)


def settle(state: SagaState, now: int) -> Transition:
    """Decide about the snapshots of the current generation."""
    assert state.guest_released
    assert state.capture_ended
    assert state.evidence is not None
    if state.ending is not None:
        return enter_cleaning(_discarding(state), now, state.ending)
    if state.guest_failure:
        return guest_gave_up(_discarding(state), now, state.guest_failure, passing=True)
    if state.spec.rehearsal:
        return _settle_rehearsal(state, now)
    failure = _capture_failure(state.evidence)
    if failure:
        return _capture_failed(_discarding(state), now, failure)
    return _settle_graded(state, now, state.evidence)


def _settle_graded(state: SagaState, now: int, evidence: Evidence) -> Transition:
    """Keep snapshots that are as consistent as asked for; in a group, once all proved that they held."""
    verdict = _held_verdict(evidence) if _was_held(state) else _unheld_verdict(evidence)
    graded = replace(state, grade=verdict.grade, reasons=(*state.notes, *verdict.reasons))
    as_asked = verdict.unbroken and verdict.grade.at_least(_asked(state))
    if as_asked and is_unproved(state) and shares_instant(evidence):
        return enter_proved(state, now)
    if as_asked and not is_unproved(state):
        given_up = _gave_up_guest(state) or bool(state.standing.out)
        marred = blemished(graded, guest_given_up=given_up)
        return _keep(marred, now, _clean_outcome(state))
    if _may_try_again(state) and (not verdict.unbroken or lack_may_pass(state)):
        return enter_arming(_regretting(graded, verdict.reasons), now)
    lacking = grade_troubled(graded, verdict)
    if state.spec.guest.keeps_less and may_go_alone(state):
        return _keep(_telling(lacking, verdict), now, Outcome.DEGRADED)
    why = f"only {verdict.grade} consistent: {'; '.join(verdict.reasons)}"
    return enter_cleaning(_discarding(lacking), now, Ending(Outcome.FAILED, why))


def _settle_rehearsal(state: SagaState, now: int) -> Transition:
    """Say how a rehearsal went. It fails where a backup could not have proved, or kept, what it held."""
    assert state.evidence is not None
    verdict = best_verdict(state)
    told = replace(state, reasons=(*state.notes, *verdict.reasons))
    as_asked = verdict.unbroken and verdict.grade.at_least(_asked(state))
    if as_asked and is_unproved(state) and shares_instant(as_if_captured(state.evidence)):
        return enter_proved(state, now)
    if as_asked and not is_unproved(state):
        marred = blemished(told, guest_given_up=False)
        return enter_cleaning(replace(marred, outcome=Outcome.REHEARSED), now)
    if _may_try_again(state) and (not verdict.unbroken or lack_may_pass(state)):
        return enter_arming(_regretting(told, verdict.reasons), now)
    imagined = replace(told, evidence=as_if_captured(state.evidence))
    lacking = replace(grade_troubled(imagined, verdict), evidence=state.evidence)
    lenient = state.spec.guest.keeps_less and may_go_alone(state)
    if verdict.unbroken and lenient:
        return enter_cleaning(replace(lacking, outcome=Outcome.REHEARSED), now)
    why = f"a recovery point would be only {verdict.grade} consistent: {'; '.join(verdict.reasons)}"
    return enter_cleaning(lacking, now, Ending(Outcome.FAILED, why))


def _held_verdict(evidence: Evidence) -> Verdict:
    """Grade by our own chain; where the platform held too, inside a whole chain, by the better of the two."""
    ours = grade(evidence)
    if evidence.restore_point is None or not by_platforms_word(evidence) or not ours.unbroken:
        return ours
    theirs = platform_grade(evidence.restore_point)
    if theirs.grade is not Grade.CRASH and theirs.grade.at_least(ours.grade):
        return theirs
    return replace(ours, reasons=(*ours.reasons, *theirs.reasons))


def _unheld_verdict(evidence: Evidence) -> Verdict:
    if evidence.restore_point is not None:
        return platform_grade(evidence.restore_point)
    return Verdict(Grade.CRASH, _instants(evidence))


def _telling(state: SagaState, verdict: Verdict) -> SagaState:
    """Warn of a restore point that came to less than it was to be: the platform falls back silently."""
    point = state.evidence.restore_point if state.evidence else None
    if point is None:
        return state
    name, why = point.point_id.rpartition("/")[2], "; ".join(verdict.reasons)
    return warned(state, (GuestWarning("restore_point", name, LOWER_CONSISTENCY, why),))


def _keep(state: SagaState, now: int, outcome: Outcome) -> Transition:
    assert state.evidence is not None
    if state.evidence.restore_point is not None:
        return enter_completing(state, now, (state.evidence.restore_point.point_id,), outcome)
    snapshots = tuple(capture.snapshot_id for capture in state.evidence.captures)
    return enter_completing(state, now, snapshots, outcome)


def _capture_failed(state: SagaState, now: int, failure: str) -> Transition:
    if _may_try_again(state):
        return enter_arming(_regretting(state, (failure,)), now)
    return enter_cleaning(capture_troubled(state), now, Ending(Outcome.FAILED, failure))


def _asked(state: SagaState) -> Grade:
    """Say what the policy asks for: scripts alone cannot prove more than ``crash``, and need not."""
    if state.spec.guest.application_required and not _only_azure_knows(state):
        return Grade.APPLICATION
    if not _was_held(state):
        return Grade.APPLICATION if _left_to_platform(state) else Grade.CRASH
    if state.evidence and by_platforms_word(state.evidence):
        return asked_of_platform(state)
    if state.spec.guest.filesystems is Filesystems.NONE:
        return Grade.CRASH
    if not state.spec.guest.quiesces_applications or _lacks_only_optional(state):
        return Grade.FILESYSTEM
    return Grade.APPLICATION


def _only_azure_knows(state: SagaState) -> bool:
    """Whether a rehearsal cannot say what a restore point would be: Azure's word on a Windows guest is it."""
    assert state.facts is not None
    by_azure = state.spec.snapshots.is_restore_point and asked_consistency(state) == PLATFORMS_BEST
    return state.spec.rehearsal and by_azure and state.facts.is_windows


def lack_may_pass(state: SagaState) -> bool:
    """Whether only applications are missing that may be held in another generation, and all have to be."""
    quiesced = state.evidence.quiesced if state.evidence else None
    missed = missed_applications(quiesced) if quiesced else ()
    required = state.spec.guest.application_required
    return required and bool(missed) and all(reason in PASSING_REASONS for _, reason in missed)


def _left_to_platform(state: SagaState) -> bool:
    """Whether the policy leaves it to the platform to hold a running guest."""
    return state.facts is not None and state.facts.running and held_by_platform(state)


def _lacks_only_optional(state: SagaState) -> bool:
    """Whether the applications that were not held are those that the policy can do without.

    The guest warns of each of them; the grade says no more than what was held all the same.
    """
    quiesced = state.evidence.quiesced if state.evidence else None
    if quiesced is None:
        return False
    optional = {warning.name for warning in quiesced.warnings if warning.code == OPTIONAL_HANDLER_FAILED}
    missed = {item.name for item in quiesced.not_held if item.kind in APPLICATIONS}
    return bool(missed) and missed <= optional


def _instants(evidence: Evidence) -> tuple[str, ...]:
    """Say what a recovery point of several disks lacks when nothing was held across their snapshots."""
    if len(evidence.disks) < 2:
        return ()
    return (f"the {len(evidence.disks)} disks were not snapshotted at one instant, and nothing held them",)


def _was_held(state: SagaState) -> bool:
    return state.evidence is not None and state.evidence.quiesced is not None


def _may_try_again(state: SagaState) -> bool:
    return _was_held(state) and state.generation < state.spec.guest.attempts


def _clean_outcome(state: SagaState) -> Outcome:
    """Say whether a recovery point as good as asked for has a blemish all the same."""
    resumed = state.evidence.resumed if state.evidence else None
    post_script_failed = resumed and resumed.script and resumed.script.failed
    if _gave_up_guest(state) or state.standing.out or post_script_failed or blemish(state):
        return Outcome.DEGRADED
    return Outcome.SUCCEEDED


def _gave_up_guest(state: SagaState) -> bool:
    """Whether the snapshots were made of a guest that was asked to hold still, and was not held."""
    return state.sequence > 0 and not _was_held(state)


def _capture_failure(evidence: Evidence) -> str:
    """Say in a sentence which snapshots failed; empty when all succeeded."""
    if not evidence.captures:
        return "the snapshots were not seen to succeed in time"
    if evidence.restore_point is not None and not all(capture.captured for capture in evidence.captures):
        of_disk = next(capture for capture in evidence.captures if not capture.captured)
        name = evidence.restore_point.point_id.rpartition("/")[2]
        return f"the restore point {name} failed: {of_disk.error} {of_disk.detail}".strip()
    by_disk = {capture.disk_id: capture for capture in evidence.captures}
    told = tuple(_disk_failure(disk, by_disk.get(disk)) for disk in evidence.disks)
    failed = "; ".join(failure for failure in told if failure)
    return f"snapshots failed ({failed})" if failed else ""


def _disk_failure(disk_id: str, capture: DiskCapture | None) -> str:
    if capture is not None and capture.captured:
        return ""
    error = capture.error if capture is not None else ""
    detail = capture.detail if capture is not None else ""
    return f"{disk_id.rpartition('/')[2]}: {error or 'not seen to succeed'} {detail}".strip()


def _discarding(state: SagaState) -> SagaState:
    """Mark everything that the current generation may have made for deletion; a rehearsal makes nothing."""
    if state.spec.rehearsal:
        return state
    mine = snapshot_ids(state)
    others = tuple(snapshot for snapshot in state.discard if snapshot not in mine)
    return replace(state, discard=others + mine)


def _regretting(state: SagaState, reasons: tuple[str, ...]) -> SagaState:
    """Discard a generation that another one shall make good."""
    note = f"generation {state.generation}: {'; '.join(reasons)}"
    return replace(_discarding(state), notes=(*state.notes, note), grade=None, reasons=())
