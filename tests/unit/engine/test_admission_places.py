"""Places: never more than there are, first come first held, and none is lost for ever."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.engine.places import SOON_MS, TURN_KEPT_MS, Places, Taken, Together, ask, called, leave, step_back
from shared.saga.codec import decode

NOW = 1_800_000_000_000
LEASE_MS = 100_000
MOST = 2


def wanted(saga: str, generation: int = 1, now: int = NOW) -> Taken:
    return Taken(saga, generation, now, now + LEASE_MS)


def filled(*sagas: str, most: int = MOST, now: int = NOW) -> Places:
    places = Places()
    for saga in sagas:
        places, _ = ask(places, wanted(saga, now=now), most, now)
    return places


def test_as_many_as_there_are_places_are_admitted_and_the_next_waits() -> None:
    places, third = ask(filled("a", "b"), wanted("c"), MOST, NOW)

    assert [one.saga for one in places.taken] == ["a", "b"]
    assert not third.admitted
    assert third.until > NOW
    assert third.ahead == 0


def test_asking_again_takes_no_second_place_and_renews_the_lease() -> None:
    places, again = ask(filled("a", "b"), wanted("a", now=NOW + 5_000), MOST, NOW + 5_000)

    assert again.admitted
    assert len(places.taken) == 2
    assert max(one.expires_at for one in places.taken) == NOW + 5_000 + LEASE_MS


def test_who_waits_longest_is_next_even_if_another_asks_first() -> None:
    places = filled("a", "b", "c", "d")
    places = leave(places, "a", 1, NOW + 1_000)

    places, late = ask(places, wanted("d", now=NOW + 1_100), MOST, NOW + 1_100)
    assert not late.admitted
    places, first = ask(places, wanted("c", now=NOW + 1_200), MOST, NOW + 1_200)
    assert first.admitted


def waiting_line(*sagas: str) -> Places:
    """As many are held as may be, and these wait, each with where it can be called."""
    places = filled("a", "b")
    for saga in sagas:
        places, _ = ask(places, wanted(saga), MOST, NOW, run="run", vm=f"vm-{saga}")
    return places


def test_of_those_who_wait_as_many_are_called_as_there_are_places_left_by_others() -> None:
    places = waiting_line("c", "d", "e")
    assert called(places, MOST, NOW) == ()
    places = leave(places, "a", 1, NOW + 1)
    assert [(one.saga, one.vm) for one in called(places, MOST, NOW + 1)] == [("c", "vm-c")]
    places = leave(places, "b", 1, NOW + 2)
    assert [one.saga for one in called(places, MOST, NOW + 2)] == ["c", "d"]


def test_who_asks_soon_by_itself_or_waits_for_something_else_or_cannot_be_called_is_not_called() -> None:
    places = leave(waiting_line("c"), "a", 1, NOW + 1)
    [turn] = places.waiting
    assert called(places, MOST, turn.again_at - SOON_MS) == ()
    assert called(step_back(places, "c", NOW + 60_000, NOW + 1), MOST, NOW + 2) == ()
    assert called(leave(filled("a", "b", "c"), "a", 1, NOW + 1), MOST, NOW + 1) == ()


def test_a_group_is_called_when_there_are_places_for_all_of_it_and_nobody_behind_it_before() -> None:
    group = Together("group", ("g2",))
    places, _ = ask(filled("a", "b"), wanted("g1"), MOST, NOW, together=group, run="run", vm="vm-g1")
    places, _ = ask(places, wanted("c"), MOST, NOW + 1, run="run", vm="vm-c")
    places = leave(places, "a", 1, NOW + 2)
    assert called(places, MOST, NOW + 2) == ()
    places = leave(places, "b", 1, NOW + 3)
    assert [(one.member, one.vm) for one in called(places, MOST, NOW + 3)] == [("g1", "vm-g1")]


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    places = leave(filled("a", "b", "c"), "a", 1, NOW)

    assert not ask(places, wanted("a-new", now=NOW + 1), MOST, NOW + 1)[1].admitted


def test_the_lowest_rank_is_next_however_long_others_wait() -> None:
    places = filled("a", "b")
    for saga, rank in (("late", 90), ("usual", 50), ("first", 1)):
        places, asked = ask(places, replace(wanted(saga), rank=rank), MOST, NOW)
        assert not asked.admitted
    assert [one.saga for one in places.waiting] == ["first", "usual", "late"]
    places = leave(places, "a", 1, NOW + 1)

    for saga, rank in (("late", 90), ("usual", 50)):
        again = replace(wanted(saga, now=NOW + 2), rank=rank)
        assert not ask(places, again, MOST, NOW + 2)[1].admitted
    places, first = ask(places, replace(wanted("first", now=NOW + 2), rank=1), MOST, NOW + 2)
    assert first.admitted
    back = step_back(places, "first", NOW + 60_000, NOW + 3)
    assert [one.rank for one in back.waiting] == [1, 50, 90]


def test_a_row_of_before_there_were_ranks_is_read() -> None:
    taken = {"saga": "a", "generation": 1, "since": NOW, "expires_at": NOW + LEASE_MS}
    waiting = {"saga": "b", "since": NOW, "again_at": NOW, "elsewhere": False}
    places = decode(Places, {"taken": [taken], "waiting": [waiting], "usual_ms": 4_000})
    assert (places.taken[0].rank, places.waiting[0].rank) == (0, 0)


def test_who_waits_for_something_else_keeps_its_turn_and_holds_up_nobody() -> None:
    places = step_back(filled("a", "b", "c"), "a", NOW + 60_000, NOW)

    places, following = ask(places, wanted("c"), MOST, NOW)
    assert following.admitted
    places, back = ask(leave(places, "c", 1, NOW + 1), wanted("a", now=NOW + 2), MOST, NOW + 2)
    assert back.admitted


def test_a_turn_whose_saga_asks_no_more_is_given_up() -> None:
    places = leave(filled("a", "b", "a-dead", "c"), "a", 1, NOW)
    later = NOW + LEASE_MS - 1
    places, still = ask(places, wanted("c", now=NOW + 1), MOST, NOW + 1)
    assert not still.admitted
    for _ in range(3):
        places, still = ask(places, wanted("c", now=later), MOST, later)
        later += TURN_KEPT_MS

    assert still.admitted


def test_a_lease_that_ended_frees_its_place() -> None:
    places, later = ask(filled("a", "b"), wanted("c", now=NOW + LEASE_MS), MOST, NOW + LEASE_MS)

    assert later.admitted
    assert [one.saga for one in places.taken] == ["c"]


def test_an_older_generation_does_not_give_up_the_place_of_a_newer_one() -> None:
    places, _ = ask(filled("a"), wanted("a", 2), MOST, NOW)

    assert leave(places, "a", 1, NOW) == places
    assert leave(places, "a", 2, NOW).taken == ()


def test_leaving_twice_or_without_a_place_changes_nothing_more() -> None:
    once = leave(filled("a", "b"), "a", 1, NOW + 1_000)

    assert leave(once, "a", 1, NOW + 2_000) == once


def test_who_is_far_behind_is_told_to_come_later_than_who_is_next() -> None:
    places = filled(*(f"s{number:02}" for number in range(30)))
    _, following = ask(places, wanted("s02"), MOST, NOW)
    _, last = ask(places, wanted("s29"), MOST, NOW)

    assert following.until < last.until
    assert last.ahead == 27


def group(*sagas: str) -> dict[str, Together]:
    key = "+".join(sagas)
    return {saga: Together(key, tuple(other for other in sagas if other != saga)) for saga in sagas}


def test_a_group_has_all_of_its_places_with_the_first_of_its_members_that_asks() -> None:
    together = group("a", "b", "c")
    places, asked = ask(Places(), wanted("a"), 4, NOW, together=together["a"])
    assert asked.admitted
    assert {one.saga for one in places.taken} == {"a", "b", "c"}
    places, second = ask(places, wanted("b", now=NOW + 9), 4, NOW + 9, together=together["b"])
    assert (second.admitted, len(places.taken)) == (True, 3)


def test_a_group_has_none_of_its_places_while_it_cannot_have_all_and_those_behind_it_wait() -> None:
    together, others = group("a", "b", "c"), filled("x", "y", most=4)
    places, asked = ask(others, wanted("a"), 4, NOW, together=together["a"])
    assert not asked.admitted
    assert {one.saga for one in places.taken} == {"x", "y"}
    places, late = ask(places, wanted("z", now=NOW + 1), 4, NOW + 1)
    assert not late.admitted  # or single VMs could keep a group waiting for ever
    places, again = ask(places, wanted("b", now=NOW + 2), 4, NOW + 2, together=together["b"])
    assert (again.admitted, len(places.waiting)) == (False, 2)  # its members share one turn
    places, now_there = ask(leave(places, "x", 1, NOW + 3), wanted("c"), 4, NOW + 3, together=together["c"])
    assert now_there.admitted
    assert {one.saga for one in places.taken} == {"a", "b", "c", "y"}


def test_a_member_that_goes_gives_up_its_own_place_and_the_turn_of_its_group() -> None:
    together = group("a", "b")
    places, _ = ask(Places(), wanted("a"), 2, NOW, together=together["a"])
    assert {one.saga for one in leave(places, "a", 1, NOW, group="a+b").taken} == {"b"}
    waiting, _ = ask(filled("x", "y"), wanted("a"), 2, NOW, together=together["a"])
    assert leave(waiting, "a", 1, NOW, group="a+b").waiting == ()


def test_the_places_of_a_group_end_with_the_lease_of_who_took_them() -> None:
    places, _ = ask(Places(), wanted("a"), 2, NOW, together=group("a", "b")["a"])
    later = NOW + LEASE_MS
    assert ask(places, wanted("x", now=later), 2, later)[1].admitted


class ManySagas(RuleBasedStateMachine):
    """Sagas on several hosts, whose clocks differ, ask, leave, step back and die at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places()
        self.now = NOW
        self.held: dict[str, int] = {}

    @rule(saga=st.sampled_from("abcdefgh"))
    def asks(self, saga: str) -> None:
        self.places, asked = ask(self.places, wanted(saga, now=self.now), MOST, self.now)
        if asked.admitted:
            self.held[saga] = self.now + LEASE_MS
        else:
            assert saga not in self.held
            assert asked.until > self.now

    @rule(saga=st.sampled_from("abcdefgh"))
    def goes_on(self, saga: str) -> None:
        self.places = leave(self.places, saga, 1, self.now)
        self.held.pop(saga, None)

    @rule(saga=st.sampled_from("abcdefgh"), ms=st.integers(1_000, 60_000))
    def lacks_something_else(self, saga: str, ms: int) -> None:
        self.places = step_back(self.places, saga, self.now + ms, self.now)
        self.held.pop(saga, None)

    @rule(ms=st.integers(0, 120_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self.held = {saga: until for saga, until in self.held.items() if until > self.now}

    @invariant()
    def never_more_are_held_than_there_are_places(self) -> None:
        assert len(self.held) <= MOST

    @invariant()
    def nobody_has_two_turns(self) -> None:
        waiting = [one.saga for one in self.places.waiting]
        assert len(waiting) == len(set(waiting))


TestManySagas = ManySagas.TestCase


@given(st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_everybody_is_held_once_if_all_come_when_they_are_told_to(most: int, count: int) -> None:
    places, now, due = Places(), NOW, {f"s{number}": NOW for number in range(count)}
    ends: dict[str, int] = {}
    done: list[str] = []
    for _ in range(10_000):
        if not due and not ends:
            break
        now = min([*due.values(), *ends.values()])
        for saga in [saga for saga, at in ends.items() if at <= now]:
            places = leave(places, saga, 1, now)
            del ends[saga]
            done.append(saga)
        for saga in [saga for saga, at in due.items() if at <= now]:
            places, asked = ask(places, wanted(saga, now=now), most, now)
            if asked.admitted:
                ends[saga] = now + 3_000
                del due[saga]
            else:
                due[saga] = asked.until
        assert len(ends) <= most

    assert sorted(done) == sorted(f"s{number}" for number in range(count))
