"""What a group says and keeps at the edge of a rule: the very words, the very deadline."""

import pytest

from shared.saga.group import Barrier, Break, Fell, GroupEvent, Joined, OnMemberFailure, TimePassed
from tests.unit.saga.test_group import BOTH, RULES, T0, A, B, C, Group


@BOTH
def test_members_that_do_not_say_how_long_they_can_hold_have_the_time_to_hold_for_their_captures(
    rule: OnMemberFailure,
) -> None:
    group = Group(rule).come(Barrier.ARMED, A, B, C).come(Barrier.HELD, A, B, C)

    assert group.state.opened is Barrier.HELD
    assert group.state.deadline == T0 + RULES[rule].held_timeout_ms


def test_nothing_is_waited_for_once_all_proved_it() -> None:
    group = Group().all_held().come(Barrier.CAPTURED, A, B, C).come(Barrier.PROVED, A, B, C)

    assert (group.state.opened, group.state.deadline) == (Barrier.PROVED, None)


def test_a_look_at_the_clock_before_anybody_is_late_says_that_nobody_is() -> None:
    assert Group().come(Barrier.ARMED, A).take(TimePassed()).ignored == "nobody is late"


def _ended() -> Group:
    return Group().all_held().come(Barrier.CAPTURED, A, B, C).come(Barrier.PROVED, A, B, C)


@pytest.mark.parametrize(
    ("group", "event", "why"),
    [
        (Group(), Joined("stranger", 1, Barrier.ARMED), "it is no member"),
        (Group(), Fell("stranger", 1, "x"), "it is no member"),
        (Group().take(Fell(A, 1, "x")), Joined(B, 1, Barrier.ARMED), "it is out of the group"),
        (Group().take(Fell(A, 1, "x")), Fell(B, 1, "y"), "it is out of the group already"),
        (Group().come(Barrier.ARMED, A), Joined(A, 1, Barrier.ARMED), "it waits there already"),
        (Group().come(Barrier.ARMED, A), Joined(A, 1, Barrier.HELD), "held is not what comes next"),
        (Group().all_held(), Joined(A, 1, Barrier.ARMED), "the barrier is open"),
        (_ended(), Fell(A, 1, "x"), "the group is over"),
        (Group(), Fell(A, 2, "x", again=True), "it belongs to another attempt"),
    ],
)
def test_what_changes_nothing_says_why(group: Group, event: GroupEvent, why: str) -> None:
    before = group.state
    group.take(event)
    assert (group.state, group.ignored) == (before, why)


@BOTH
@pytest.mark.parametrize(
    ("attempt", "barrier"), [(3, Barrier.ARMED), (2, Barrier.HELD), (3, Barrier.HELD), (4, Barrier.ARMED)]
)
def test_who_comes_further_ahead_than_the_next_attempts_first_barrier_is_sent_away(
    rule: OnMemberFailure, attempt: int, barrier: Barrier
) -> None:
    group = Group(rule).come(Barrier.ARMED, A, B)
    before = group.state
    group.take(Joined(C, attempt, barrier))

    assert group.state == before
    assert group.told == (Break(attempt, "the group does not try again", (C,)),)
    assert group.ignored == "the group is not at that attempt"


def test_who_fell_and_the_others_are_told_why_in_their_own_words_and_nothing_is_waited_for() -> None:
    group = Group().come(Barrier.ARMED, A, B).take(Fell(C, 1, "its disk is gone"))

    assert group.told == (
        Break(1, "its disk is gone", (C,)),
        Break(1, "c: its disk is gone", (A, B)),
    )
    assert (group.state.broken, group.state.deadline) == ("c: its disk is gone", None)


def test_who_fell_keeps_how_far_it_came_when_the_others_try_again() -> None:
    group = Group(OnMemberFailure.REST).all_held().take(Fell(C, 1, "its disk is gone"))
    group.take(Fell(B, 1, "a snapshot failed", again=True))

    assert [(one.reached, bool(one.fallen)) for one in group.state.members] == [
        (None, False),
        (None, False),
        (Barrier.HELD, True),
    ]


def test_the_deadline_of_an_attempt_that_failed_is_not_that_of_the_next() -> None:
    group = Group().all_held()
    group.now = T0 + 5_000
    group.take(Fell(B, 1, "a snapshot failed", again=True))

    assert group.state.deadline == T0 + 5_000 + RULES[OnMemberFailure.ALL].armed_timeout_ms
