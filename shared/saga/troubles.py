"""Noting in a saga what went wrong and where, so that people can be told in words. Decides nothing."""

from collections.abc import Sequence
from dataclasses import replace

from shared.saga.causes import Cause, Lacking, Proof
from shared.saga.chain import CLOCK_TOLERANCE_MS
from shared.saga.consistency import APPLICATIONS, Verdict
from shared.saga.events import QuiesceFailed
from shared.saga.evidence import DiskCapture, Evidence, QuiesceReport
from shared.saga.restore_points import by_platforms_word
from shared.saga.state import Phase, SagaState, Trouble
from shared.saga.warnings import blemish

#: A trouble's detail is cut to this many characters: the history has the whole of it.
LONGEST_DETAIL = 500

#: A trouble's detail has no more reasons than this.
MOST_REASONS = 2

#: The kind of a held thing that is an application with a handler of ours.
HANDLER = "handler"

#: The capture's code for a disk that was given up because another one failed.
ABANDONED = "abandoned"


def troubled(
    state: SagaState,
    cause: Cause,
    *,
    step: Phase | None = None,
    code: str = "",
    subject: str = "",
    detail: str = "",
) -> SagaState:
    """Note what goes wrong; ``step`` is the phase in which it did, by default the current one."""
    trouble = Trouble(
        cause=cause,
        step=step or state.phase,
        generation=state.generation,
        code=code,
        subject=subject,
        detail=detail[:LONGEST_DETAIL],
    )
    return replace(state, trouble=trouble)


def quiesce_troubled(state: SagaState, event: QuiesceFailed) -> SagaState:
    """Note what the guest says of its failure to hold."""
    script = event.script
    subject = script.path if script is not None and script.failed else ""
    return troubled(
        state,
        Cause.QUIESCE_FAILED,
        step=Phase.QUIESCING,
        code=event.reason,
        subject=subject,
        detail=event.detail,
    )


def capture_troubled(state: SagaState) -> SagaState:
    """Note which disk's snapshot failed first, and how."""
    evidence = state.evidence
    failed = [capture for capture in evidence.captures if not capture.captured] if evidence else []
    if evidence is None or not failed:
        return troubled(state, Cause.SNAPSHOTS_UNSEEN, step=Phase.CAPTURING)
    first = next((capture for capture in failed if capture.error != ABANDONED), failed[0])
    point = evidence.restore_point
    return troubled(
        state,
        Cause.RESTORE_POINT_FAILED if point else Cause.SNAPSHOT_FAILED,
        step=Phase.CAPTURING,
        code=first.error,
        subject=_name(point.point_id if point else first.disk_id),
        detail=first.detail,
    )


def grade_troubled(state: SagaState, verdict: Verdict) -> SagaState:
    """Note why the grade is not what was asked for."""
    evidence, why = state.evidence, _first(verdict.reasons)
    if evidence is not None and not verdict.unbroken:
        code = _missing_link(evidence)
        return troubled(state, Cause.NOT_PROVED, step=Phase.RESUMING, code=code, detail=why)
    if evidence is not None and evidence.restore_point is not None and not _our_own_lack(state, evidence):
        point = evidence.restore_point
        return troubled(
            state,
            Cause.LOWER_CONSISTENCY,
            step=Phase.CAPTURING,
            code=point.reached,
            subject=_name(point.point_id),
            detail=why,
        )
    if state.spec.guest.application_required:
        return lacking_applications(state, why)
    return troubled(state, Cause.TOO_LITTLE_HELD, step=Phase.QUIESCING, detail=why)


def lacking_applications(state: SagaState, why: str) -> SagaState:
    """Note why what is required cannot be: the first application that was not held, or that none was."""
    quiesced = state.evidence.quiesced if state.evidence else None
    if quiesced is None:
        return troubled(state, Cause.APPLICATION_REQUIRED, code=Lacking.NOT_RUNNING, detail=why)
    missed = missed_applications(quiesced)
    any_held = any(item.kind in APPLICATIONS for item in quiesced.held)
    name, code = missed[0] if missed else ("", Lacking.NOT_QUIESCED if any_held else Lacking.NONE_FOUND)
    return troubled(
        state, Cause.APPLICATION_REQUIRED, step=Phase.QUIESCING, code=code, subject=name, detail=why
    )


def missed_applications(quiesced: QuiesceReport) -> tuple[tuple[str, str], ...]:
    """Give each application that was not held, with the reason as a failure to quiesce would have it."""
    return tuple(
        (item.name, f"handler_{item.reason}" if item.kind == HANDLER else item.reason)
        for item in quiesced.not_held
        if item.kind in APPLICATIONS
    )


def _our_own_lack(state: SagaState, evidence: Evidence) -> bool:
    """Whether it was ours to hold what is required, and not Azure's."""
    return state.spec.guest.application_required and not by_platforms_word(evidence)


def _first(reasons: Sequence[str]) -> str:
    """Give the reasons that a sentence has room for; all of them are in the saga's own."""
    more = len(reasons) - MOST_REASONS
    told = "; ".join(reasons[:MOST_REASONS])
    return f"{told} (and {more} more)" if more > 0 else told


def blemished(state: SagaState, *, guest_given_up: bool) -> SagaState:
    """Note what a recovery point as good as asked for is marred by; nothing, if by nothing.

    Of a guest that was given up it was noted when it was.
    """
    if guest_given_up:
        return state
    resumed = state.evidence.resumed if state.evidence else None
    script = resumed.script if resumed else None
    if script is not None and script.failed:
        code = script.reason or ("script_timed_out" if script.timed_out else "script_failed")
        ended = "" if script.exit_code is None else f"exit code {script.exit_code}"
        return troubled(
            state,
            Cause.POST_SCRIPT_FAILED,
            step=Phase.RESUMING,
            code=code,
            subject=script.path,
            detail="it ran out of time" if script.timed_out else ended,
        )
    warning = blemish(state)
    if warning is None:
        return replace(state, trouble=None)
    subject = f"{warning.kind} {warning.name}"
    step = Phase.RESUMING if warning.code == "probe_failed" else Phase.QUIESCING
    return troubled(state, Cause.WARNED, step=step, code=warning.code, subject=subject, detail=warning.detail)


def left_over(state: SagaState, problems: Sequence[str]) -> SagaState:
    """Note what could not be cleaned up, unless something worse is noted."""
    return state if state.trouble else troubled(state, Cause.LEFT_OVER, detail="; ".join(problems))


def _missing_link(evidence: Evidence) -> Proof:
    """Say which kind of link a chain of evidence lacks: the one that people can do most about."""
    quiesced, resumed = evidence.quiesced, evidence.resumed
    if quiesced is None or not _all_captured(evidence):
        return Proof.INCOMPLETE
    if resumed is None:
        return Proof.SILENT
    if resumed.boot_id != quiesced.boot_id:
        return Proof.REBOOTED
    if resumed.released_by != "order":
        known = (Proof.DEAD_MAN, Proof.AGENT, Proof.RESTART)
        return next((proof for proof in known if proof == resumed.released_by), Proof.INCOMPLETE)
    if not resumed.held_until_order:
        return Proof.LET_GO
    seen = (evidence.resume_ordered_at or 0) - (evidence.quiesced_at or 0)
    paused = abs(resumed.clock_jump_ms) > CLOCK_TOLERANCE_MS or seen > resumed.window_ms + CLOCK_TOLERANCE_MS
    return Proof.PAUSED if paused else Proof.INCOMPLETE


def _all_captured(evidence: Evidence) -> bool:
    captured: dict[str, DiskCapture] = {capture.disk_id: capture for capture in evidence.captures}
    return all(disk in captured and captured[disk].captured for disk in evidence.disks)


def _name(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]
