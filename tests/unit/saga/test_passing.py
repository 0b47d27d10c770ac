"""Which failures are tried again: only those that can pass by waiting."""

from dataclasses import replace

import pytest

from shared.compute.errors import ComputeError
from shared.policy.retry import Retry
from shared.saga.advice import TOLD
from shared.saga.causes import Cause
from shared.saga.passing import AZURE_PASSES, PASSES, is_tried_again, passes
from shared.saga.state import Outcome, Phase, SagaState, SnapshotCopy, Trouble
from tests.unit.saga.build import spec
from tests.unit.saga.codes import errors_of_captures


def trouble(cause: Cause, code: str = "") -> Trouble:
    return Trouble(cause=cause, step=Phase.ARMING, code=code)


def failed(number: int = 1, attempts: int = 2) -> SagaState:
    asked = replace(spec(), retry=Retry(attempts=attempts), try_number=number)
    return SagaState(
        spec=asked,
        started_at=0,
        phase=Phase.DONE,
        outcome=Outcome.FAILED,
        trouble=trouble(Cause.AGENT_SILENT),
    )


def test_of_every_cause_it_is_known_whether_it_passes() -> None:
    assert set(PASSES) == set(Cause)


def test_of_azures_errors_those_pass_that_say_so_themselves() -> None:
    said = {kind.cause for kind in _kinds(ComputeError) if kind.passing}

    assert said == AZURE_PASSES


def _kinds(kind: type[ComputeError]) -> list[type[ComputeError]]:
    return [kind, *(deeper for each in kind.__subclasses__() for deeper in _kinds(each))]


def test_codes_that_pass_are_codes_that_there_are() -> None:
    for cause, codes in PASSES.items():
        if not isinstance(codes, bool):
            known = {*TOLD[cause].by_code, *errors_of_captures(), "stopping", "not_ready"}
            assert codes - known <= {"quiesce_timeout"}, cause


@pytest.mark.parametrize("cause", Cause)
def test_a_code_that_nobody_knows_passes_only_where_the_code_is_no_matter(cause: Cause) -> None:
    assert passes(trouble(cause, "a-code-of-tomorrow")) is (PASSES[cause] is True)


def test_a_script_that_failed_is_not_tried_again_and_a_busy_handler_is() -> None:
    assert not passes(trouble(Cause.QUIESCE_FAILED, "script_failed"))
    assert passes(trouble(Cause.QUIESCE_FAILED, "handler_busy"))


def test_a_saga_is_followed_by_as_many_tries_as_are_asked_for() -> None:
    assert is_tried_again(failed(1))
    assert is_tried_again(failed(2))
    assert not is_tried_again(failed(3))
    assert not is_tried_again(failed(1, attempts=0))


def test_only_what_failed_and_left_nothing_is_tried_again() -> None:
    assert not is_tried_again(replace(failed(), outcome=Outcome.DEGRADED))
    assert not is_tried_again(replace(failed(), outcome=Outcome.CANCELLED))
    assert not is_tried_again(replace(failed(), recovery_point=(SnapshotCopy("kept"),)))
    assert not is_tried_again(replace(failed(), trouble=None))
