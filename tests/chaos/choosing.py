"""From a seed to what happens in a round: the same seed gives the same faults, points and parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos import disturbing, killing, upsetting
from tests.chaos.arena import Kind
from tests.chaos.trouble import Fault, Trouble

FAULTS: tuple[Fault, ...] = (*killing.FAULTS, *disturbing.FAULTS, *upsetting.FAULTS)


def named(parts: Sequence[str]) -> Sequence[Fault]:
    """Give the faults whose names contain one of these; all of them if none is given."""
    return [fault for fault in FAULTS if not parts or any(part in fault.name for part in parts)]


#: How often a fault has company.
_SHARE_OF_PAIRS = 0.25


@dataclass(frozen=True)
class Chosen:
    """What happens in one round."""

    seed: str
    number: int
    faults: tuple[Fault, ...]
    troubles: tuple[Trouble, ...]
    on_guest_failure: str
    attempts: int
    group: str = ""
    """The rule of the group that the VMs are (``on_member_failure``); empty where each goes its way alone."""

    @property
    def kind(self) -> Kind:
        return self.faults[0].kind

    @property
    def text(self) -> str:
        pairs = zip(self.faults, self.troubles, strict=True)
        told = " + ".join(f"{fault.name} ({trouble.text})" for fault, trouble in pairs)
        group = f", one instant for {self.group}" if self.group else ""
        return f"{told}; {self.on_guest_failure}, attempts {self.attempts}{group}"


def choose(seed: str, number: int, among: Sequence[Fault] = FAULTS, *, alone: bool = False) -> Chosen:
    """Choose a round. Every fault has its turn once in as many rounds as there are faults."""
    turn, place = divmod(number, len(among))
    order = list(among)
    Random(f"{seed} turn {turn}").shuffle(order)
    random = Random(f"{seed} round {number}")
    faults = [order[place]]
    others = [fault for fault in disturbing.FAULTS if fault is not faults[0]]
    if not alone and faults[0].goes_with_others and random.random() < _SHARE_OF_PAIRS:
        faults.append(random.choice(others))
    rules = ("all", "rest") if any(fault.for_groups for fault in faults) else ("", "", "all", "rest")
    group = Random(f"{seed} group {number}").choice(rules)
    return _chosen(seed, number, faults, random, group)


def together(seed: str, *names: str, group: str = "") -> Chosen:
    """Choose a round of these faults at once."""
    by_name = {fault.name: fault for fault in FAULTS}
    return _chosen(seed, 0, [by_name[name] for name in names], Random(seed), group)


def _chosen(seed: str, number: int, faults: Sequence[Fault], random: Random, group: str) -> Chosen:
    return Chosen(
        seed=seed,
        number=number,
        faults=tuple(faults),
        troubles=tuple(fault.choose(random) for fault in faults),
        on_guest_failure=random.choice(("fail", "continue")),
        attempts=random.randint(1, 3),
        group=group,
    )
