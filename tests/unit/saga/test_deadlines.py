"""The deadline of every phase, to the millisecond, and what an order is valid for."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.saga.effects import Capture, SendCommand, StartAgent
from shared.saga.events import CancelRequested, Cleaned, FactsRead, Started
from shared.saga.phases import first_watch_ms
from shared.saga.state import Phase
from tests.unit.saga.build import (
    SCRIPTS,
    Saga,
    arming,
    capturing,
    completing,
    copying,
    facts,
    guest,
    quiescing,
    resuming,
    spec,
)

#: The budgets and time-outs of these sagas (ms): the defaults of a policy.
ARMING, QUIESCE, BUDGET, RESUME, COMPLETION = 120_000, 20_000, 30_000, 60_000, 86_400_000


def unheld() -> Saga:
    return Saga(guest(enabled=False)).take(Started(), FactsRead(facts()))


def cleaning() -> Saga:
    return arming().take(CancelRequested())


def test_the_defaults_are_those_that_are_counted_with_here() -> None:
    assert (SCRIPTS.arming_timeout_ms, SCRIPTS.quiesce_timeout_ms) == (ARMING, QUIESCE)
    assert (SCRIPTS.longest_hold_ms, SCRIPTS.resume_timeout_ms) == (BUDGET, RESUME)
    assert spec().snapshots.completion_timeout_ms == COMPLETION


@pytest.mark.parametrize(
    ("walk", "phase", "after_ms"),
    [
        (lambda: Saga().take(Started()), Phase.PREFLIGHT, 300_000),
        (arming, Phase.ARMING, ARMING),
        (quiescing, Phase.QUIESCING, QUIESCE + 10_000),
        (capturing, Phase.CAPTURING, 28_000 - 1_500 + 10_000 - 10),
        (unheld, Phase.CAPTURING, 480_000 + 10_000),
        (resuming, Phase.RESUMING, RESUME),
        (completing, Phase.COMPLETING, COMPLETION),
        (copying, Phase.COPYING, COMPLETION),
        (cleaning, Phase.CLEANING, 3_600_000),
    ],
)
def test_a_phase_is_over_after(walk: Callable[[], Saga], phase: Phase, after_ms: int) -> None:
    saga = walk()
    assert (saga.state.phase, saga.state.deadline) == (phase, saga.now + after_ms)


def test_a_saga_that_is_done_has_no_deadline() -> None:
    saga = cleaning().take(Cleaned())

    assert (saga.state.phase, saga.state.deadline, saga.state.ended_at) == (Phase.DONE, None, saga.now)


def test_snapshots_without_a_guest_may_take_until_shortly_before_that() -> None:
    saga = unheld()
    [capture] = saga.done(Capture)

    assert (capture.not_before, capture.deadline) == (saga.now, saga.now + 480_000)


def test_orders_are_void_when_nobody_waits_for_them_any_more() -> None:
    armed, quiesced = arming(), quiescing()
    resumed, gone = resuming(), cleaning()
    ends = RESUME + BUDGET

    assert armed.done(StartAgent)[-1].order.expires_at == armed.state.deadline
    assert quiesced.done(SendCommand)[-1].order.expires_at == quiesced.state.deadline
    assert resumed.done(SendCommand)[-1].order.expires_at == resumed.now + RESUME + ends
    assert gone.done(SendCommand)[-1].order.expires_at == gone.now + ends


def test_a_guest_that_may_only_now_begin_to_hold_is_waited_for_longer() -> None:
    saga = quiescing()
    last_start = saga.state.deadline
    assert last_start is not None
    saga.take(CancelRequested())

    assert saga.state.deadline == last_start + BUDGET + 10_000


def test_a_long_time_to_resume_is_waited_for() -> None:
    saga = resuming(replace(SCRIPTS, resume_timeout_ms=90_000))

    assert saga.state.deadline == saga.now + 90_000


@pytest.mark.parametrize(
    ("arming_ms", "quiesce_ms", "expected"),
    [(120_000, 20_000, 30_000), (7_000, 20_000, 7_000), (120_000, 5_000, 15_000), (30_000, 20_001, 30_000)],
)
def test_the_first_look_comes_no_later_than_the_shortest_phase_ends(
    arming_ms: int, quiesce_ms: int, expected: int
) -> None:
    shorter = replace(SCRIPTS, arming_timeout_ms=arming_ms, quiesce_timeout_ms=quiesce_ms)

    assert first_watch_ms(spec(shorter)) == expected
