"""What a guest warns of is kept, told at once, and no success where an application may need help."""

from dataclasses import replace

import pytest

from shared.policy.guest_processing import OnGuestFailure
from shared.saga.consistency import Grade
from shared.saga.effects import Alert
from shared.saga.events import Cleaned, CopiesSeen
from shared.saga.evidence import GuestWarning, HeldUntil, NotHeld
from shared.saga.state import Outcome, SnapshotCopy
from shared.saga.warnings import LONGEST_DETAIL, MOST_WARNINGS
from tests.unit.saga.build import (
    Saga,
    captured,
    capturing,
    guest,
    quiesce_failed,
    quiesce_report,
    quiesced,
    quiescing,
    ready,
    resumed,
    resuming,
)

PROBE = GuestWarning("handler", "postgresql:5432", "probe_failed", "SELECT 1 was refused")
EXIT_CODE = GuestWarning("script", "/etc/stillframe/pre.sh", "exit_code", "it ended with 4")
OPTIONAL = GuestWarning("handler", "mysql:3306", "optional_handler_failed", "not running")


def ended(saga: Saga) -> Saga:
    copies = tuple(SnapshotCopy(copy.snapshot_id, 100.0) for copy in saga.state.recovery_point)
    return saga.take(CopiesSeen(copies), Cleaned())


def test_an_application_that_does_not_answer_makes_a_whole_recovery_point_degraded() -> None:
    saga = ended(resuming().take(resumed(warnings=(PROBE,))))

    assert saga.state.grade is Grade.APPLICATION, "what was snapshotted is as good as ever"
    assert saga.state.outcome is Outcome.DEGRADED
    assert [(w.generation, w.code) for w in saga.state.warnings] == [(1, "probe_failed")]


def test_what_the_rules_for_scripts_call_a_warning_is_a_success_that_says_so() -> None:
    saga = ended(resuming().take(resumed(warnings=(EXIT_CODE,))))

    assert saga.state.outcome is Outcome.SUCCEEDED
    assert [warning.code for warning in saga.state.warnings] == ["exit_code"]


def test_the_operator_is_told_of_each_warning_once_and_when_it_comes() -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now, report=quiesce_report(warnings=(EXIT_CODE,))))
    assert [w.code for alert in saga.done(Alert) for w in alert.warnings] == ["exit_code"]

    saga.take(captured(at=saga.now), resumed(warnings=(PROBE,)), resumed(warnings=(PROBE,)))
    assert [w.code for alert in saga.done(Alert) for w in alert.warnings] == ["exit_code", "probe_failed"]


def test_a_guest_that_failed_warns_all_the_same() -> None:
    saga = quiescing().take(replace(quiesce_failed(), warnings=(PROBE,)))

    assert [warning.code for warning in saga.state.warnings] == ["probe_failed"]
    assert saga.state.outcome is Outcome.FAILED


def test_a_guest_that_failed_and_still_holds_warns_once() -> None:
    failed = replace(quiesce_failed(), warnings=(PROBE,), released=False)
    saga = quiescing().take(failed, failed)

    assert len(saga.state.warnings) == 1


def test_a_warning_of_an_attempt_that_was_given_up_is_kept_and_does_not_blemish_the_next() -> None:
    saga = quiescing().take(replace(quiesce_failed(reason="already_frozen"), warnings=(PROBE,)))
    saga.take(ready(2), quiesced(2, at=saga.now), captured(2, at=saga.now), resumed(2))

    assert ended(saga).state.outcome is Outcome.SUCCEEDED
    assert [warning.generation for warning in saga.state.warnings] == [1]


@pytest.mark.parametrize("on_guest_failure", OnGuestFailure)
def test_an_optional_handler_that_failed_costs_the_grade_but_not_the_recovery_point(
    on_guest_failure: OnGuestFailure,
) -> None:
    saga = quiescing(guest(on_guest_failure=on_guest_failure))
    missed = (NotHeld("handler", "mysql:3306", "not_running"),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=missed, warnings=(OPTIONAL,))))
    saga.take(captured(at=saga.now), resumed())

    assert ended(saga).state.outcome is Outcome.DEGRADED
    assert saga.state.grade is Grade.FILESYSTEM


def test_an_application_that_is_not_optional_costs_a_strict_policy_the_recovery_point() -> None:
    saga = quiescing(guest())
    missed = (NotHeld("handler", "mysql:3306", "x"), NotHeld("handler", "postgresql:5432", "x"))
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=missed, warnings=(OPTIONAL,))))
    saga.take(captured(at=saga.now), resumed())

    assert saga.state.outcome is Outcome.FAILED


def test_a_flood_of_warnings_is_bounded() -> None:
    flood = tuple(replace(PROBE, name=str(number), detail="x" * 9_000) for number in range(500))
    saga = resuming().take(resumed(warnings=flood))

    assert len(saga.state.warnings) == MOST_WARNINGS
    assert {len(warning.detail) for warning in saga.state.warnings} == {LONGEST_DETAIL}


def test_a_guest_that_was_paused_is_tried_again() -> None:
    saga = resuming()
    word = resumed()
    saga.take(replace(word, report=replace(word.report, clock_jump_ms=30_000)))

    assert saga.state.generation == 2
    assert "it was paused" in saga.state.notes[0]


def test_an_anchored_guest_goes_through_the_same_chain() -> None:
    held = quiesce_report().held[:1]
    anchor = replace(held[0], kind="vss", name="C:", mode="anchor")
    report = replace(quiesce_report(held=(anchor,)), anchored=True, budget_left_ms=600_000)
    saga = quiescing(replace(guest(scripts=False), freeze_budget_ms=600_000))
    saga.take(quiesced(at=saga.now, report=report), captured(at=saga.now))
    word = resumed()
    told = (HeldUntil("vss", "C:", held_until_order=True),)
    saga.take(replace(word, report=replace(word.report, held=told)))

    assert ended(saga).state.grade is Grade.APPLICATION


def test_no_warning_no_alert() -> None:
    saga = ended(capturing().take(captured(), resumed()))
    assert saga.done(Alert) == []
