"""What people read of a problem, word by word: its values, what is left, and where it is cut."""

from dataclasses import replace

import pytest

from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.problems import LONGEST_SENTENCE, Problem, problem_of
from shared.saga.state import Outcome, Phase, SagaState, Trouble
from tests.unit.saga.build import SAGA, completing

DONE = replace(completing().state, phase=Phase.DONE, outcome=Outcome.FAILED, recovery_point=(), grade=None)
NOTHING_LEFT = "; there is no recovery point."


def told(
    cause: Cause, state: SagaState = DONE, *, code: str = "", subject: str = "", detail: str = ""
) -> Problem:
    trouble = Trouble(
        cause=cause, step=Phase.CAPTURING, generation=1, code=code, subject=subject, detail=detail
    )
    problem = problem_of(replace(state, trouble=trouble))
    assert problem is not None
    return problem


def test_names_of_vm_group_and_saga_are_those_of_the_saga() -> None:
    assert "`az vm convert -g app -n db-1`" in told(Cause.NO_DISK).what_to_do
    assert f"=='{SAGA}'" in told(Cause.LEFT_OVER).what_to_do
    assert f"saga={SAGA}" in told(Cause.POISONED).what_to_do


@pytest.mark.parametrize("vm_id", ["db-1", "/subscriptions/s1/resourceGroups"])
def test_an_id_that_names_no_group_leaves_a_place_for_it(vm_id: str) -> None:
    spec = replace(DONE.spec, vm_id=vm_id)

    assert "-g GROUP -n" in told(Cause.NO_DISK, replace(DONE, spec=spec)).what_to_do


def test_times_are_those_of_the_policy() -> None:
    assert told(Cause.AGENT_SILENT).sentence == f"The agent in db-1 did not answer within 2 min{NOTHING_LEFT}"
    assert "say within 20 s that everything was held;" in told(Cause.HOLD_UNCONFIRMED).sentence
    assert told(Cause.COPIES_LATE, detail="one is at 3 %").sentence.endswith(
        f"24 h: one is at 3 %{NOTHING_LEFT}"
    )


def test_what_nobody_said_is_said_to_be_so() -> None:
    assert told(Cause.SNAPSHOT_FAILED).sentence == (
        f"The snapshot of db-1's disk ? failed: no reason was given (no answer){NOTHING_LEFT}"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [("deadline", "it was not seen to succeed in time"), ("abandoned", "another one had failed before")],
)
def test_a_capture_that_gave_no_reason_has_that_of_its_code(code: str, words: str) -> None:
    assert f"failed: {words} ({code})" in told(Cause.SNAPSHOT_FAILED, code=code, subject="db-1-os").sentence


def test_the_end_of_a_detail_is_not_punctuated_twice() -> None:
    assert told(Cause.OBSTACLE, detail=" the limit is X. ").sentence == (
        f"Snapshots of db-1 would fail: the limit is X{NOTHING_LEFT}"
    )


@pytest.mark.parametrize(
    ("outcome", "grade", "kept", "end"),
    [
        (Outcome.FAILED, None, False, NOTHING_LEFT),
        (Outcome.CANCELLED, None, False, NOTHING_LEFT),
        (Outcome.FAILED, Grade.CRASH, True, "; its snapshots are kept, but should not be relied on."),
        (Outcome.DEGRADED, Grade.CRASH, True, "; the recovery point is crash-consistent."),
        (Outcome.DEGRADED, None, True, "; the recovery point is not graded."),
        (
            Outcome.SUCCEEDED,
            Grade.APPLICATION,
            True,
            "; the recovery point itself is well, and application-consistent.",
        ),
    ],
)
def test_what_is_left_is_said_at_the_end(
    outcome: Outcome, grade: Grade | None, *, kept: bool, end: str
) -> None:
    point = completing().state.recovery_point if kept else ()
    state = replace(DONE, outcome=outcome, grade=grade, recovery_point=point)

    assert told(Cause.POISONED, state, detail="watch 3").sentence.endswith(f"watch 3{end}")


def test_a_long_sentence_is_cut_before_its_end_and_says_so() -> None:
    room = LONGEST_SENTENCE - 100
    before = "Azure would not show db-1 or its disks: "
    whole = "x" * (room - len(before))

    assert told(Cause.VM_UNREADABLE, detail=whole).sentence == f"{before}{whole}{NOTHING_LEFT}"
    assert told(Cause.VM_UNREADABLE, detail=f"{whole}x").sentence == f"{before}{whole[:-3]}...{NOTHING_LEFT}"
