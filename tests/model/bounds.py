"""How far the model goes: which scenes, with how many faults."""

import itertools
from collections.abc import Iterator

from tests.model.explore import Report, explore
from tests.model.planting import two_processes
from tests.model.scenes import SCENES
from tests.model.world import KINDS, Budget

#: Without a fault a scene has fewer than 100 worlds, and with one fewer than 4,000: more are without end.
ENDLESS = {0: 1_000, 1: 20_000}

#: Faults in one run of a saga: for the tests, and for ``make model``.
QUICK, USUAL = 1, 2


def of(total: int) -> Budget:
    """Give a budget of ``total`` faults: of each kind two at most, and one pause of the VM."""
    each = min(2, total)
    return Budget(loss=each, dup=each, crash=each, delay=each, fail=each, pause=min(1, total), total=total)


def explore_all(total: int) -> Iterator[Report]:
    """Explore every scene with any ``total`` faults."""
    yield from _explored([(name, of(total)) for name in SCENES])


def explore_deep() -> Iterator[Report]:
    """Explore every scene with three faults of three kinds, for every three kinds."""
    three = [_exactly(kinds) for kinds in itertools.combinations(KINDS, 3)]
    yield from _explored([(name, budget) for budget in three for name in SCENES])


def _explored(asked: list[tuple[str, Budget]]) -> Iterator[Report]:
    with two_processes() as pool:
        yield from pool.imap(_one, asked, chunksize=1)


def _one(asked: tuple[str, Budget]) -> Report:
    name, budget = asked
    return explore(SCENES[name], budget)


def hunt(faults: tuple[str, ...]) -> Iterator[Report]:
    """Look for a fault that was planted: with ``faults``, or without any and then with any one."""
    if faults:
        yield from (explore(scene, _exactly(faults)) for scene in SCENES.values())
        return
    for total, most in ENDLESS.items():
        yield from (explore(scene, of(total), most) for scene in SCENES.values())


def _exactly(faults: tuple[str, ...]) -> Budget:
    counts = {kind: faults.count(kind) for kind in KINDS}
    return Budget(**counts, total=len(faults))
