"""From a seed to rounds."""

from itertools import groupby

from tests.chaos.arena import Kind
from tests.chaos.choosing import FAULTS, choose
from tests.chaos.lanes import Work


def test_a_seed_gives_the_same_round_again_and_another_one_another() -> None:
    first, again, other = ([choose(seed, n).text for n in range(100)] for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


def test_every_fault_has_its_turn_once_in_as_many_rounds_as_there_are_faults() -> None:
    size = len(FAULTS)
    for turn in range(2):
        rounds = [choose("any", number) for number in range(turn * size, (turn + 1) * size)]
        assert {each.faults[0].name for each in rounds} == {fault.name for fault in FAULTS}


def test_what_happens_to_groups_alone_happens_to_a_group() -> None:
    rounds = [choose("any", number) for number in range(3 * len(FAULTS))]
    assert all(each.group for each in rounds if any(fault.for_groups for fault in each.faults))
    assert {each.group for each in rounds} == {"", "all", "rest"}


def test_lanes_get_every_round_once_and_stay_with_a_kind_of_stack() -> None:
    kinds = dict(enumerate([Kind.USUAL, Kind.DURABLE] * 5 + [Kind.PATIENT]))
    work, taken = Work(kinds), []
    last: Kind | None = None
    while given := work.take(last):
        number, last = given
        assert kinds[number] is last
        taken.append(given)
    assert sorted(number for number, _ in taken) == list(kinds)
    assert len([kind for kind, _ in groupby(kind for _, kind in taken)]) == len(Kind)
