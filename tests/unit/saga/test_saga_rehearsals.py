"""Rehearsals: the guest is held and let go as in a backup, and nothing is ever captured."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.guest_processing import Filesystems, GuestProcessing, OnGuestFailure
from shared.policy.snapshots import RecoveryPointKind
from shared.saga.causes import Cause
from shared.saga.consistency import Grade, grade
from shared.saga.effects import CAPTURES, Clean
from shared.saga.events import CancelRequested, Cleaned, Event, FactsRead, Resumed, Started, TimePassed
from shared.saga.evidence import GuestWarning, Held, HeldUntil, NotHeld
from shared.saga.phases import pending
from shared.saga.problems import problem_of
from shared.saga.rehearsing import as_if_captured, best_verdict, left_for_snapshots_ms, what_was_held
from shared.saga.state import Outcome, Phase
from tests.unit.saga import build
from tests.unit.saga.build import (
    MOUNTS,
    PRE,
    SCRIPTS,
    Saga,
    facts,
    quiesce_failed,
    quiesce_report,
    quiesced,
    ready,
    resume_report,
    resumed,
)


def rehearsal(
    processing: GuestProcessing = SCRIPTS, kind: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS
) -> Saga:
    saga = Saga(processing, kind)
    saga.state = pending(replace(build.spec(processing, kind), rehearsal=True), build.T0)
    return saga


def held(processing: GuestProcessing = SCRIPTS) -> Saga:
    saga = rehearsal(processing).take(Started("receipt-1"), FactsRead(facts()), ready())
    return saga.take(quiesced(at=saga.now))


def test_it_resumes_the_moment_everything_is_held_and_ends_without_a_recovery_point() -> None:
    saga = held()
    assert saga.state.evidence is not None
    assert saga.state.evidence.resume_ordered_at == saga.now
    phases = [saga.state.phase, saga.take(resumed()).state.phase]
    assert phases == [Phase.RESUMING, Phase.CLEANING]
    saga.take(Cleaned())
    assert (saga.state.phase, saga.state.outcome) == (Phase.DONE, Outcome.REHEARSED)
    assert (saga.state.grade, saga.state.recovery_point, saga.state.discard) == (None, (), ())
    assert [each for each in saga.effects if isinstance(each, CAPTURES)] == []
    assert [(each.keep, each.discard) for each in saga.done(Clean)] == [((), ())]
    assert problem_of(saga.state) is None


def test_it_says_how_consistent_a_recovery_point_would_be_and_why_not_more() -> None:
    saga = held().take(resumed(), Cleaned())
    assert best_verdict(saga.state).grade is Grade.APPLICATION
    assert "3400 ms" in " ".join(saga.state.reasons)


@pytest.mark.parametrize("rule", OnGuestFailure)
def test_a_guest_that_cannot_be_held_fails_it_whatever_a_backup_would_do_then(rule: OnGuestFailure) -> None:
    saga = rehearsal(build.guest(on_guest_failure=rule)).take(Started(""), FactsRead(facts()), ready())
    saga.take(quiesce_failed(), Cleaned())
    assert saga.state.outcome is Outcome.FAILED
    problem = problem_of(saga.state)
    assert problem is not None
    assert problem.cause is Cause.QUIESCE_FAILED
    assert problem.sentence.endswith("; it was a rehearsal, and nothing was snapshotted.")
    assert problem.what_to_do
    assert [each for each in saga.effects if isinstance(each, CAPTURES)] == []


def test_a_guest_that_let_go_by_itself_is_tried_again_and_then_fails_it() -> None:
    saga = held().take(resumed(released_by="dead-man"))
    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    saga.take(ready(2))
    saga.take(quiesced(2, at=saga.now), resumed(2, released_by="dead-man"), Cleaned())
    assert saga.state.outcome is Outcome.FAILED
    problem = problem_of(saga.state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.NOT_PROVED, "dead-man")


def test_a_guest_that_never_says_that_it_went_on_fails_it() -> None:
    saga = held(build.guest(attempts=1))
    saga.wait_out().take(TimePassed(saga.state.watch_number), Cleaned())
    problem = problem_of(saga.state)
    assert problem is not None
    assert (saga.state.outcome, problem.cause, problem.code) == (
        Outcome.FAILED,
        Cause.NOT_PROVED,
        "silent",
    )


def test_too_short_a_budget_fails_it_as_it_would_fail_a_backup() -> None:
    saga = rehearsal(build.guest(attempts=1)).take(Started(""), FactsRead(facts()), ready())
    saga.take(quiesced(at=saga.now, report=quiesce_report(budget_left_ms=1_900)), resumed(), Cleaned())
    problem = problem_of(saga.state)
    assert problem is not None
    assert (saga.state.outcome, problem.cause) == (Outcome.FAILED, Cause.BUDGET_TOO_SHORT)


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [(OnGuestFailure.FAIL, Outcome.FAILED), (OnGuestFailure.CONTINUE, Outcome.REHEARSED)],
)
def test_less_held_than_asked_for_ends_it_as_the_policy_would_end_a_backup(
    rule: OnGuestFailure, outcome: Outcome
) -> None:
    saga = rehearsal(build.guest(on_guest_failure=rule)).take(Started(""), FactsRead(facts()), ready())
    missing = (NotHeld("filesystem", "/data", "freeze_error"),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=missing)), resumed(), Cleaned())
    problem = problem_of(saga.state)
    assert problem is not None
    assert (saga.state.outcome, problem.cause) == (outcome, Cause.TOO_LITTLE_HELD)
    assert "/data" in problem.sentence
    assert best_verdict(saga.state).grade is Grade.CRASH


def test_what_would_degrade_a_backup_is_told() -> None:
    warning = GuestWarning("handler", "postgresql:5432", "probe_failed", "it does not answer")
    saga = held().take(resumed(warnings=(warning,)), Cleaned())
    problem = problem_of(saga.state)
    assert problem is not None
    assert (saga.state.outcome, problem.cause) == (Outcome.REHEARSED, Cause.WARNED)
    assert problem.sentence.endswith("; a backup would be degraded.")


@pytest.mark.parametrize(
    ("processing", "event", "told"),
    [
        (SCRIPTS, FactsRead(facts(power_state="deallocated")), "not running"),
        (build.guest(enabled=False), FactsRead(facts()), "guest processing is off"),
    ],
)
def test_where_no_guest_is_to_be_held_it_has_nothing_to_do(
    processing: GuestProcessing, event: Event, told: str
) -> None:
    saga = rehearsal(processing).take(Started(""), event, Cleaned())
    assert (saga.state.phase, saga.state.outcome) == (Phase.DONE, Outcome.REHEARSED)
    assert told in saga.state.reasons[0]
    assert [each for each in saga.effects if isinstance(each, CAPTURES)] == []
    assert problem_of(saga.state) is None


def test_what_would_keep_a_snapshot_from_being_made_fails_it() -> None:
    saga = rehearsal().take(Started(""), FactsRead(facts(obstacles=("seven snapshots are there",))))
    assert saga.take(Cleaned()).state.outcome is Outcome.FAILED


def test_a_cancelled_one_resumes_first() -> None:
    saga = rehearsal().take(Started(""), FactsRead(facts()), ready(), CancelRequested())
    assert saga.state.phase is Phase.RESUMING
    saga.take(quiesced(at=saga.now), resumed(), Cleaned())
    assert (saga.state.outcome, saga.state.discard) == (Outcome.CANCELLED, ())


def test_azure_decides_about_a_restore_point_that_it_is_to_hold_for() -> None:
    saga = rehearsal(build.guest(filesystems=Filesystems.NONE), RecoveryPointKind.RESTORE_POINT)
    saga.take(Started(""), FactsRead(facts()), ready())
    script = (Held("script", PRE),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(held=script)))
    saga.take(Resumed(1, 3, resume_report(held=script)), Cleaned())
    assert saga.state.outcome is Outcome.REHEARSED
    assert any("Azure's word" in reason for reason in saga.state.reasons)
    assert [each for each in saga.effects if isinstance(each, CAPTURES)] == []


def test_each_thing_has_the_time_until_it_was_held_and_the_time_for_which_it_was() -> None:
    evidence = build.whole_evidence()
    assert evidence.quiesced is not None
    assert evidence.resumed is not None
    timed = tuple(replace(item, took_ms=40) for item in evidence.quiesced.held)
    until = tuple(replace(item, held_ms=1_500) for item in evidence.resumed.held)
    evidence = replace(
        evidence,
        quiesced=replace(evidence.quiesced, held=timed),
        resumed=replace(evidence.resumed, held=until),
    )
    found = what_was_held(evidence)
    assert [(each.kind, each.name) for each in found] == [
        ("script", PRE),
        *(("filesystem", mount) for mount in MOUNTS),
    ]
    # The script's run took 120 ms of the window of 3,400 ms, and so did the post-script's.
    assert [(each.took_ms, each.held_ms) for each in found] == [(120, 3_160)] + 3 * [(40, 1_500)]
    assert left_for_snapshots_ms(evidence) == 26_500


def test_an_agent_that_measures_nothing_is_shown_without_times() -> None:
    [_, first, *_] = what_was_held(build.whole_evidence())
    assert (first.took_ms, first.held_ms, first.held_until_order) == (None, None, True)


@given(
    st.sampled_from(("order", "dead-man", "agent", "restart")),
    st.sets(st.sampled_from(MOUNTS)),
    st.integers(0, 2),
)
def test_a_rehearsal_never_promises_more_than_the_same_hold_with_snapshots_is_graded(
    released_by: str,
    broken: set[str],
    left_out: int,
) -> None:
    evidence = build.whole_evidence()
    assert evidence.quiesced is not None
    assert evidence.resumed is not None
    until = tuple(HeldUntil(i.kind, i.name, i.name not in broken) for i in evidence.quiesced.held[left_out:])
    evidence = replace(evidence, resumed=replace(evidence.resumed, released_by=released_by, held=until))
    bare = replace(evidence, captures=(), captured_at=None)
    assert grade(as_if_captured(bare)).grade is grade(evidence).grade
