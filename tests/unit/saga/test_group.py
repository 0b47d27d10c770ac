"""Groups: barriers, who falls and what becomes of the others, one attempt at a time."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.saga import group
from shared.saga.group import (
    Barrier,
    Break,
    Fell,
    GroupEffect,
    GroupEvent,
    GroupRules,
    GroupState,
    Joined,
    OnMemberFailure,
    Open,
    TimePassed,
    advance_group,
    awaited,
    new_group,
)
from tests.unit.saga.group_world import Worlds, Wrong

T0 = 1_700_000_000_000
A, B, C = "a", "b", "c"
RULES = {rule: GroupRules(on_member_failure=rule) for rule in OnMemberFailure}
BOTH = pytest.mark.parametrize("rule", OnMemberFailure)


class Group:
    """Walks a group of three by the real machine; ``now`` is moved by the test."""

    def __init__(self, rule: OnMemberFailure = OnMemberFailure.ALL) -> None:
        self.state: GroupState = new_group(RULES[rule], (A, B, C))
        self.now = T0
        self.told: tuple[GroupEffect, ...] = ()
        self.ignored = ""

    def take(self, *events: GroupEvent) -> "Group":
        for event in events:
            step = advance_group(self.state, event, self.now)
            self.state, self.told, self.ignored = step.state, step.effects, step.ignored
        return self

    def come(self, barrier: Barrier, *sagas: str, until: int | None = None) -> "Group":
        return self.take(*(Joined(saga, self.state.attempt, barrier, until) for saga in sagas))

    def all_held(self) -> "Group":
        self.come(Barrier.ARMED, A, B, C)
        return self.come(Barrier.HELD, A, B, C, until=T0 + 20_000)


def test_each_barrier_opens_when_the_last_one_comes_and_not_before() -> None:
    walk = Group()
    for barrier in Barrier:
        walk.come(barrier, A, B, until=T0 + 20_000)
        assert list(walk.told) == []
        walk.come(barrier, C, until=T0 + 20_000)
        assert list(walk.told) == [Open(1, barrier, (A, B, C))]
    assert walk.state.proved == (A, B, C)
    assert walk.state.ended


def test_under_all_one_that_falls_breaks_the_group_for_everybody() -> None:
    walk = Group(OnMemberFailure.ALL).come(Barrier.ARMED, A, B, C)
    walk.come(Barrier.HELD, A, until=T0 + 20_000).take(Fell(B, 1, "its pre-script failed"))
    assert walk.told[-1] == Break(1, "b: its pre-script failed", (A, C))
    assert (walk.state.ended, walk.state.proved) == (True, ())
    walk.come(Barrier.HELD, C, until=T0 + 20_000)
    assert list(walk.told) == [Break(1, "b: its pre-script failed", (C,))]


def test_under_rest_the_others_go_on_and_are_still_held_at_the_same_time() -> None:
    walk = Group(OnMemberFailure.REST).come(Barrier.ARMED, A, B, C)
    walk.come(Barrier.HELD, A, until=T0 + 20_000).take(Fell(B, 1, "its pre-script failed"))
    assert walk.state.opened is Barrier.ARMED, "c is not held yet"
    walk.come(Barrier.HELD, C, until=T0 + 20_000)
    assert list(walk.told) == [Open(1, Barrier.HELD, (A, C))]
    walk.come(Barrier.CAPTURED, A, C).come(Barrier.PROVED, A, C)
    assert walk.state.proved == (A, C)


def test_the_last_one_that_was_waited_for_opens_the_barrier_by_falling() -> None:
    walk = Group(OnMemberFailure.REST).come(Barrier.ARMED, A, B).take(Fell(C, 1, "it was cancelled"))
    assert walk.told == (Break(1, "it was cancelled", (C,)), Open(1, Barrier.ARMED, (A, B)))


@BOTH
def test_one_that_tries_again_takes_all_others_with_it(rule: OnMemberFailure) -> None:
    walk = Group(rule).all_held().take(Fell(B, 1, "a snapshot failed", again=True))
    assert list(walk.told) == [Break(1, "b: a snapshot failed", (A, C), again=True)]
    assert (walk.state.attempt, walk.state.opened) == (2, None)
    walk.come(Barrier.ARMED, A, B, C)
    assert list(walk.told) == [Open(2, Barrier.ARMED, (A, B, C))]


@BOTH
def test_who_tries_again_before_its_failure_was_heard_of_takes_the_others_with_it_too(
    rule: OnMemberFailure,
) -> None:
    walk = Group(rule).all_held().take(Joined(B, 2, Barrier.ARMED))
    assert list(walk.told) == [Break(1, "b tries again", (A, C), again=True)]
    walk.take(Fell(B, 1, "a snapshot failed", again=True))  # now it comes
    assert (walk.state.attempt, walk.ignored) == (2, "it belongs to another attempt")


@BOTH
def test_one_that_comes_with_an_older_attempt_is_told_that_there_is_a_new_one(rule: OnMemberFailure) -> None:
    walk = Group(rule).all_held().take(Fell(B, 1, "a snapshot failed", again=True))
    walk.take(Joined(A, 1, Barrier.CAPTURED))
    assert list(walk.told) == [Break(1, "the group tries again", (A,), again=True)]


@pytest.mark.parametrize(("rule", "left"), [(OnMemberFailure.ALL, ()), (OnMemberFailure.REST, (A, B))])
def test_one_that_is_late_falls_at_the_deadline(rule: OnMemberFailure, left: tuple[str, ...]) -> None:
    walk = Group(rule).come(Barrier.ARMED, A, B)
    assert walk.state.deadline == T0 + RULES[rule].armed_timeout_ms
    walk.now = walk.state.deadline
    walk.take(TimePassed())
    opened = [effect for effect in walk.told if isinstance(effect, Open)]
    assert opened == ([Open(1, Barrier.ARMED, left)] if left else [])
    assert bool(walk.state.broken) is not bool(left)


def test_one_that_comes_after_the_deadline_falls_all_the_same() -> None:
    walk = Group().come(Barrier.ARMED, A, B)
    assert walk.state.deadline is not None
    walk.now = walk.state.deadline
    walk.come(Barrier.ARMED, C)
    assert walk.state.broken == "c: it was not armed in time"


def test_one_whose_budget_runs_out_while_it_waits_lets_go_and_falls() -> None:
    walk = Group(OnMemberFailure.REST).come(Barrier.ARMED, A, B, C)
    walk.come(Barrier.HELD, A, until=T0 + 2_000).come(Barrier.HELD, B, until=T0 + 9_000)
    walk.now = T0 + 2_000
    walk.come(Barrier.HELD, C, until=T0 + 9_000)
    assert walk.told[-1] == Open(1, Barrier.HELD, (B, C))
    assert "budget" in walk.state.members[0].fallen


def test_captures_have_until_the_first_guest_has_to_let_go() -> None:
    walk = Group().come(Barrier.ARMED, A, B, C).come(Barrier.HELD, A, B, until=T0 + 20_000)
    walk.come(Barrier.HELD, C, until=T0 + 12_000)
    assert walk.state.deadline == T0 + 12_000


def test_one_that_missed_its_answer_is_answered_again() -> None:
    walk = Group().all_held().come(Barrier.HELD, B, until=T0 + 20_000)
    assert (walk.told, walk.ignored) == ((Open(1, Barrier.HELD, (B,)),), "the barrier is open")


def test_what_was_proved_stays_so_whatever_becomes_of_a_member_later() -> None:
    walk = Group().all_held().come(Barrier.CAPTURED, A, B, C).come(Barrier.PROVED, A, B, C)
    walk.take(Fell(A, 1, "its copies were lost"), Joined(B, 2, Barrier.ARMED))
    assert walk.state.proved == (A, B, C)


def test_a_stranger_is_not_let_in() -> None:
    walk = Group().take(Joined("d", 1, Barrier.ARMED), Fell("d", 1, "it failed"))
    assert walk.state == new_group(RULES[OnMemberFailure.ALL], (A, B, C))


# --- every interleaving ---------------------------------------------------------------------------


@pytest.mark.timeout(600)  # the machine may be a busy one
@pytest.mark.parametrize(("size", "faults"), [(2, 2), (3, 0), (3, 1)])
@BOTH
def test_everything_holds_in_every_interleaving(rule: OnMemberFailure, size: int, faults: int) -> None:
    report = Worlds(group, rule, size, faults).explore()

    assert report.proved > 0
    assert report.worlds > (1_000 if faults else 50)
    assert bool(report.broken) is bool(faults)


PLANTED = {
    "held opens for those who are there": (
        "all(member.reached is following for member in state.left)",
        "(any if following is Barrier.HELD else all)(member.reached is following for member in state.left)",
    ),
    "captured opens for those who are there": (
        "all(member.reached is following for member in state.left)",
        "(any if following is Barrier.CAPTURED else all)(m.reached is following for m in state.left)",
    ),
    "who fell is waited for": (
        "return tuple(member for member in self.members if not member.fallen)",
        "return self.members",
    ),
    "who comes late is not told that it is out": (
        'return GroupStep(state, (out,), ignored="it is out of the group")',
        'return GroupStep(state, ignored="it is out of the group")',
    ),
    "an older attempt counts": (
        "    if event.attempt < state.attempt:\n",
        "    if event.attempt < 0:\n",
    ),
    "an older failure counts": (
        "    if event.attempt != state.attempt:\n",
        "    if event.attempt < 0:\n",
    ),
    "another attempt begins where the last one ended": (
        "replace(m, reached=None, until=None)",
        "m",
    ),
    "nobody is late": ("overdue = state.deadline is not None and now >= state.deadline", "overdue = False"),
    "an attempt has no deadline before somebody is armed": (
        "if state.deadline is not None or state.opened is not None:",
        "if not any(m.reached for m in state.members) or state.opened is not None:",
    ),
}


@pytest.fixture
def planted(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The group's module with a fault in it."""
    old, new = PLANTED[request.param]
    source = Path(group.__file__).read_text()
    assert source.count(old) == 1, "the code has moved on"
    module = ModuleType("planted_group")
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    exec(compile(source.replace(old, new), group.__file__, "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("planted", PLANTED, indirect=True)
def test_a_fault_in_the_group_is_noticed(planted: ModuleType) -> None:
    assert _notices(planted)


def _notices(planted: ModuleType) -> bool:
    for faults in (1, 2):
        for rule in OnMemberFailure:
            try:
                Worlds(planted, rule, 2, faults).explore()
            except Wrong:
                return True
    return False


# --- any events -----------------------------------------------------------------------------------

_SAGAS = st.sampled_from((A, B, C, "stranger"))
_JOINED = st.builds(
    Joined,
    _SAGAS,
    st.integers(1, 3),
    st.sampled_from(Barrier),
    st.one_of(st.none(), st.integers(T0, T0 + 60_000)),
)
_FELL = st.builds(Fell, _SAGAS, st.integers(1, 3), st.just("it failed"), st.booleans())
_EVENTS = st.lists(st.tuples(st.one_of(_JOINED, _FELL, st.just(TimePassed())), st.integers(0, 30_000)))


@given(st.sampled_from(OnMemberFailure), _EVENTS)
def test_any_events_in_any_order_have_an_answer_and_undo_nothing(
    rule: OnMemberFailure, events: list[tuple[GroupEvent, int]]
) -> None:
    states, now = [new_group(RULES[rule], (A, B, C))], T0
    for event, later in events:
        now += later
        step = advance_group(states[-1], event, now)
        states.append(step.state)
        assert advance_group(step.state, event, now).state == step.state
        assert step.state != states[-2] or all(len(effect.sagas) == 1 for effect in step.effects)
    for before, after in pairwise(states):
        assert after.attempt >= before.attempt
        assert {m.saga for m in after.left} <= {m.saga for m in before.left}
        assert not before.broken or after == before
        assert not before.proved or after == before
        same = after.attempt == before.attempt
        assert not same or before.opened is None or _place(after) >= _place(before)
        if after.opened is not None and not after.broken and (not same or after.opened is not before.opened):
            assert all(member.reached is after.opened for member in after.left)


def _place(state: GroupState) -> int:
    following = awaited(state)
    return len(Barrier) if following is None else tuple(Barrier).index(following)
