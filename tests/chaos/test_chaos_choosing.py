"""From a seed to rounds."""

from tests.chaos.choosing import FAULTS, choose


def test_a_seed_gives_the_same_round_again_and_another_one_another() -> None:
    first, again, other = ([choose(seed, n).text for n in range(100)] for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


def test_every_fault_has_its_turn_once_in_as_many_rounds_as_there_are_faults() -> None:
    size = len(FAULTS)
    for turn in range(2):
        rounds = [choose("any", number) for number in range(turn * size, (turn + 1) * size)]
        assert {each.faults[0].name for each in rounds} == {fault.name for fault in FAULTS}
