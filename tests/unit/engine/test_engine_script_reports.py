"""What acks say of scripts, by the scripts' own rules."""

from typing import Any

import pytest

from shared.engine.reports import event_of
from shared.protocol import QUIESCE_FAILED, Ack, Malformed
from shared.saga.events import QuiesceFailed
from shared.saga.evidence import ScriptReport

OLD = {"path": "/pre", "exit_code": 3, "timed_out": False, "duration_ms": 5, "output": "x"}


def report_of(script: dict[str, Any]) -> ScriptReport:
    body = {"reason": "r", "detail": "d", "released": True, "script": script, "post_script": None}
    event = event_of(Ack(QUIESCE_FAILED, "vm", "saga", 1, 2, 3, 4, body), 7)
    assert isinstance(event, QuiesceFailed)
    assert event.script is not None
    return event.script


def test_how_often_it_ran_and_why_it_failed_is_read() -> None:
    report = report_of(OLD | {"attempts": 3, "reason": "script_failed"})

    assert (report.attempts, report.reason, report.failed) == (3, "script_failed", True)


def test_an_exit_code_that_its_rules_accept_is_no_failure() -> None:
    assert not report_of(OLD | {"reason": ""}).failed


def test_a_script_that_ended_with_0_may_have_failed_by_its_rules() -> None:
    assert report_of(OLD | {"exit_code": 0, "reason": "script_stderr"}).failed


@pytest.mark.parametrize(("code", "failed"), [(0, False), (3, True), (None, True)])
def test_an_agent_that_says_no_reason_is_judged_by_the_exit_code(code: int | None, failed: bool) -> None:  # noqa: FBT001
    assert report_of(OLD | {"exit_code": code}).failed is failed


@pytest.mark.parametrize("wrong", [{"attempts": "3"}, {"attempts": -1}, {"reason": None}, {"reason": 1}])
def test_a_report_of_a_wrong_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        report_of(OLD | wrong)
