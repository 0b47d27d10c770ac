"""Which phase may follow which, as one table, and that the phases lead to the end."""

from dataclasses import replace

import pytest

from shared.saga import machine
from shared.saga.errors import IllegalTransitionError
from shared.saga.events import Cleaned, Started
from shared.saga.phases import Transition
from shared.saga.state import Phase
from shared.saga.transitions import FOLLOWS, is_legal
from tests.unit.saga.build import SAGA, T0, Saga

# Rows: from; columns: to, in the order of the rows. "." may not, "x" may, "=" stays.
TABLE = """
pending     = x . . . . . . . . . . . x .
preflight   . = x . . . . x . . . . . x .
arming      . . = x x x . x . . . . . x .
admitting   . . x = x x . . . . . . . x .
armed       . . x . = x . . . . . . . x .
quiescing   . . x . . = x x . x . . . x .
held        . . x . . . = x x x . . . x .
capturing   . . x . . . . = x x . x . x .
captured    . . x . . . . . = x . x . x .
resuming    . . x . . . . x . = x x . x .
proved      . . x . . . . . . . = x . x .
completing  . . . . . . . . . . . = x x .
copying     . . . . . . . . . . . . = x .
cleaning    . . . . . . . . . . . . . = x
done        . . . . . . . . . . . . . . =
"""


def rows() -> list[tuple[Phase, Phase, bool]]:
    cells = [(line.split()[0], line.split()[1:]) for line in TABLE.strip().splitlines()]
    columns = [Phase(row) for row, _marks in cells]
    return [
        (Phase(row), to, mark != ".") for row, marks in cells for to, mark in zip(columns, marks, strict=True)
    ]


@pytest.mark.parametrize(("from_phase", "to_phase", "legal"), rows())
def test_every_pair_of_phases_is_legal_or_not(from_phase: Phase, to_phase: Phase, *, legal: bool) -> None:
    assert is_legal(from_phase, to_phase) is legal


def test_the_table_knows_every_phase() -> None:
    assert len(rows()) == len(Phase) ** 2
    assert set(FOLLOWS) == set(Phase)


@pytest.mark.parametrize("phase", Phase)
def test_the_end_can_be_reached_from_every_phase(phase: Phase) -> None:
    reached = {phase}
    while more := {after for known in reached for after in FOLLOWS[known]} - reached:
        reached |= more

    assert Phase.DONE in reached
    assert phase is Phase.DONE or FOLLOWS[phase]


def test_a_machine_that_is_wrong_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = Saga().take(Started())
    wrong = Transition(replace(saga.state, phase=Phase.COMPLETING))
    monkeypatch.setitem(machine._HANDLERS, Cleaned, lambda *_: wrong)
    with pytest.raises(IllegalTransitionError) as stopped:
        machine.advance(saga.state, Cleaned(), T0)

    told = (stopped.value.saga_id, stopped.value.from_phase, stopped.value.to_phase)
    assert told == (SAGA, Phase.PREFLIGHT, Phase.COMPLETING)


def test_an_illegal_transition_says_of_which_saga_from_where_to_where() -> None:
    error = IllegalTransitionError(SAGA, Phase.ARMING, Phase.DONE)

    assert str(error) == f"saga {SAGA}: arming may not be followed by done"
    assert (error.saga_id, error.from_phase, error.to_phase) == (SAGA, Phase.ARMING, Phase.DONE)
