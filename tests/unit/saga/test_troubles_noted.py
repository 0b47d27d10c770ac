"""What is noted of a generation that is not proved: the link that people can do most about, and why."""

from dataclasses import replace

import pytest

from shared.saga.causes import Cause, Proof
from shared.saga.consistency import Grade, Verdict, grade
from shared.saga.events import CopiesSeen
from shared.saga.evidence import Evidence, RestorePointReport, ScriptReport
from shared.saga.state import Phase, SagaWarning, Trouble
from shared.saga.troubles import blemished, capture_troubled, grade_troubled, left_over, quiesce_troubled
from tests.unit.saga.build import (
    DISKS,
    POST,
    PRE,
    T0,
    capture_of,
    completing,
    quiesce_failed,
    resuming,
    script_report,
    snapshot_of,
    whole_evidence,
)
from tests.unit.saga.test_consistency import BREAKAGES, with_quiesced, with_resumed

WHOLE = whole_evidence()
JUMPED = with_resumed(WHOLE, clock_jump_ms=-5_001)

#: What is noted of each link of the chain that may be missing, by the names of ``BREAKAGES``; of the others
#: that nothing more exact can be said.
PROOFS: dict[str, Proof] = {
    "never resumed": Proof.SILENT,
    "another boot": Proof.REBOOTED,
    "the dead-man let go": Proof.DEAD_MAN,
    "the agent let go": Proof.AGENT,
    "a restart let go": Proof.RESTART,
    "not held until the order": Proof.LET_GO,
    "its clock was put forward": Proof.PAUSED,
    "its clock was put back": Proof.PAUSED,
    "its clocks stood still": Proof.PAUSED,
}

#: The same at their bounds, and where several are missing.
BOUNDS: dict[str, tuple[Evidence, Proof]] = {
    "no snapshot, and its clock jumped": (replace(JUMPED, captures=()), Proof.INCOMPLETE),
    "its clock jumped by what is allowed": (
        with_quiesced(with_resumed(WHOLE, clock_jump_ms=5_000), dead_man_armed=False),
        Proof.INCOMPLETE,
    ),
    "its clocks stood still for more than is allowed": (replace(WHOLE, quiesced_at=T0 - 7_201), Proof.PAUSED),
    "its clocks stood still for what is allowed": (
        with_quiesced(replace(WHOLE, quiesced_at=T0 - 7_200), dead_man_armed=False),
        Proof.INCOMPLETE,
    ),
    "no moment is known": (replace(WHOLE, resume_ordered_at=None, quiesced_at=None), Proof.INCOMPLETE),
}
LINKS = BOUNDS | {
    name: (breakage(WHOLE), PROOFS.get(name, Proof.INCOMPLETE)) for name, (breakage, _) in BREAKAGES.items()
}


def noted(evidence: Evidence, verdict: Verdict) -> Trouble:
    trouble = grade_troubled(
        replace(resuming().state, phase=Phase.CLEANING, evidence=evidence), verdict
    ).trouble
    assert trouble is not None
    return trouble


@pytest.mark.parametrize(("evidence", "proof"), LINKS.values(), ids=LINKS)
def test_the_missing_link_is_noted_where_it_was_to_be_seen(evidence: Evidence, proof: Proof) -> None:
    verdict = grade(evidence)
    assert not verdict.unbroken

    trouble = noted(evidence, verdict)

    assert (trouble.cause, trouble.step, trouble.code) == (Cause.NOT_PROVED, Phase.RESUMING, proof)
    assert trouble.detail.startswith(verdict.reasons[0])


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.RESUMING])
def test_a_guest_that_could_not_hold_is_noted_with_its_script(phase: Phase) -> None:
    failed = replace(quiesce_failed(), script=script_report(PRE, 3))

    trouble = quiesce_troubled(replace(resuming().state, phase=phase), failed).trouble

    assert trouble is not None
    assert (trouble.cause, trouble.step, trouble.subject) == (Cause.QUIESCE_FAILED, Phase.QUIESCING, PRE)
    assert (trouble.code, trouble.detail) == (failed.reason, failed.detail)


@pytest.mark.parametrize("script", [None, script_report(PRE)])
def test_a_script_that_did_not_fail_is_not_what_is_noted(script: ScriptReport | None) -> None:
    trouble = quiesce_troubled(resuming().state, replace(quiesce_failed(), script=script)).trouble

    assert trouble is not None
    assert trouble.subject == ""


@pytest.mark.parametrize(
    ("errors", "code", "subject"),
    [
        (("abandoned", "Conflict", "abandoned"), "Conflict", "db-1-data-0"),
        (("", "abandoned", "abandoned"), "abandoned", "db-1-data-0"),
        (("", "", "deadline"), "deadline", "db-1-data-1"),
    ],
)
def test_the_snapshot_that_failed_first_is_noted(errors: tuple[str, ...], code: str, subject: str) -> None:
    captures = tuple(
        replace(capture_of(item, error=error), detail=f"why {error}")
        for item, error in zip(DISKS, errors, strict=True)
    )

    trouble = capture_troubled(replace(resuming().state, evidence=replace(WHOLE, captures=captures))).trouble

    assert trouble is not None
    assert (trouble.cause, trouble.step) == (Cause.SNAPSHOT_FAILED, Phase.CAPTURING)
    assert (trouble.code, trouble.subject, trouble.detail) == (code, subject, f"why {code}")


def test_a_restore_point_that_failed_is_noted_by_its_own_name_and_reason() -> None:
    point = RestorePointReport(point_id="/s/restorePoints/p1", asked="", reached="")
    captures = tuple(replace(capture_of(item, error="conflict"), detail="busy") for item in DISKS)
    evidence = replace(WHOLE, captures=captures, restore_point=point)

    trouble = capture_troubled(replace(resuming().state, evidence=evidence)).trouble

    assert trouble is not None
    assert (trouble.cause, trouble.code) == (Cause.RESTORE_POINT_FAILED, "conflict")
    assert (trouble.subject, trouble.detail) == ("p1", "busy")


def test_snapshots_that_nobody_saw_are_noted_as_such() -> None:
    for evidence in (None, replace(WHOLE, captures=())):
        trouble = capture_troubled(replace(resuming().state, evidence=evidence)).trouble

        assert trouble is not None
        assert (trouble.cause, trouble.step) == (Cause.SNAPSHOTS_UNSEEN, Phase.CAPTURING)


def test_a_restore_point_that_came_to_less_is_noted_by_its_name() -> None:
    point = RestorePointReport(point_id="/s/restorePoints/p1", asked="", reached="CrashConsistent")

    trouble = noted(replace(WHOLE, restore_point=point), Verdict(Grade.CRASH, ("too little",)))

    assert (trouble.cause, trouble.step) == (Cause.LOWER_CONSISTENCY, Phase.CAPTURING)
    assert (trouble.code, trouble.subject, trouble.detail) == ("CrashConsistent", "p1", "too little")


@pytest.mark.parametrize(
    ("reasons", "detail"),
    [
        (("one",), "one"),
        (("one", "two"), "one; two"),
        (("one", "two", "three"), "one; two (and 1 more)"),
        (("one", "two", "three", "four"), "one; two (and 2 more)"),
    ],
)
def test_a_sentence_has_two_reasons_and_says_how_many_more_there_are(
    reasons: tuple[str, ...], detail: str
) -> None:
    trouble = noted(WHOLE, Verdict(Grade.CRASH, reasons))

    assert (trouble.cause, trouble.step, trouble.detail) == (Cause.TOO_LITTLE_HELD, Phase.QUIESCING, detail)


def test_what_is_left_over_is_noted_unless_something_worse_is() -> None:
    state = resuming().state
    left = left_over(state, ("a queue", "a snapshot"))
    assert left.trouble is not None
    assert (left.trouble.cause, left.trouble.detail) == (Cause.LEFT_OVER, "a queue; a snapshot")

    assert left_over(left, ("another",)) == left


@pytest.mark.parametrize(
    ("script", "code", "detail"),
    [
        (script_report(POST, 7), "script_failed", "exit code 7"),
        (script_report(POST, None), "script_failed", ""),
        (script_report(POST, None, timed_out=True), "script_timed_out", "it ran out of time"),
        (replace(script_report(POST, None), reason="script_missing"), "script_missing", ""),
    ],
)
def test_a_post_script_that_failed_is_noted_with_how_it_ended(
    script: ScriptReport, code: str, detail: str
) -> None:
    assert script.failed
    state = replace(resuming().state, phase=Phase.CLEANING, evidence=with_resumed(WHOLE, script=script))

    trouble = blemished(state, guest_given_up=False).trouble

    assert trouble is not None
    assert (trouble.cause, trouble.step, trouble.subject) == (Cause.POST_SCRIPT_FAILED, Phase.RESUMING, POST)
    assert (trouble.code, trouble.detail) == (code, detail)


def test_of_a_guest_that_was_given_up_nothing_more_is_noted() -> None:
    state = replace(resuming().state, evidence=with_resumed(WHOLE, script=script_report(POST, 7)))

    assert blemished(state, guest_given_up=True) is state


@pytest.mark.parametrize(
    ("code", "step"), [("probe_failed", Phase.RESUMING), ("optional_handler_failed", Phase.QUIESCING)]
)
def test_a_warning_is_noted_with_the_step_that_it_comes_from(code: str, step: Phase) -> None:
    warning = SagaWarning(generation=1, kind="postgresql", name="main", code=code, detail="it is not well")
    state = replace(resuming().state, evidence=WHOLE, warnings=(warning,))

    assert blemished(state, guest_given_up=False).trouble == Trouble(
        cause=Cause.WARNED,
        step=step,
        generation=1,
        code=code,
        subject="postgresql main",
        detail="it is not well",
    )


def test_nothing_is_noted_of_a_recovery_point_without_a_blemish_whatever_was_noted_before() -> None:
    before = Trouble(cause=Cause.AGENT_SILENT, step=Phase.ARMING, generation=1)
    state = replace(resuming().state, evidence=WHOLE, trouble=before)

    assert blemished(state, guest_given_up=False).trouble is None


def test_snapshots_that_were_lost_are_named() -> None:
    lost = tuple(snapshot_of(disk) for disk in DISKS[:2])
    names = ", ".join(snapshot.rpartition("/")[2] for snapshot in lost)
    saga = completing().take(CopiesSeen((), lost=lost))

    assert saga.state.reasons[-1] == f"snapshots were lost while they were copied: {names}"
    assert saga.state.trouble is not None
    assert (saga.state.trouble.cause, saga.state.trouble.detail) == (Cause.COPIES_LOST, names)
