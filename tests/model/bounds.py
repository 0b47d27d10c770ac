"""How far the model goes: which scenes, with how many faults."""

from collections.abc import Iterator

from tests.model.explore import Report, explore
from tests.model.planting import two_processes
from tests.model.scenes import SCENES
from tests.model.world import KINDS, Budget

#: Without a fault a scene has fewer than 100 worlds, and with one fewer than 4,000: more are without end.
ENDLESS = {0: 1_000, 1: 20_000}

#: Faults in one run of a saga: for the tests, for ``make model``, and for ``make model DEEP=1``.
QUICK, USUAL, DEEP = 1, 2, 3


def of(total: int) -> Budget:
    """Give a budget of ``total`` faults: of each kind two at most, and one pause of the VM."""
    each = min(2, total)
    return Budget(loss=each, dup=each, crash=each, delay=each, fail=each, pause=min(1, total), total=total)


def explore_all(total: int) -> Iterator[Report]:
    """Explore every scene, two at a time, each in a process of its own."""
    with two_processes() as pool:
        yield from pool.imap(_one, [(name, total) for name in SCENES], chunksize=1)


def _one(asked: tuple[str, int]) -> Report:
    name, total = asked
    return explore(SCENES[name], of(total))


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
