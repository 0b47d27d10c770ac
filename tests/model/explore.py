"""Goes through all worlds, breadth first, and looks at each; then at how they end when faults stop."""

import gc
import itertools
import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.properties import Violation, at_the_end, in_every_world
from tests.model.scenes import Scene
from tests.model.world import KINDS, Budget, Step, World, Worlds, told


@dataclass(frozen=True, slots=True)
class Found:
    """A violation and how it comes about, one line per step."""

    violation: Violation
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What an exploration saw. ``ends`` are the worlds in which nothing happens any more without a fault."""

    scene: str
    states: int
    transitions: int
    depth: int
    ends: int
    budget: Budget
    found: Found | None = None

    @property
    def kinds(self) -> str:
        """The kinds of faults, where not all of them may happen."""
        left = [kind for kind in KINDS if getattr(self.budget, kind)]
        return "" if len(left) in (0, len(KINDS)) else f" ({', '.join(left)})"


def explore(scene: Scene, budget: Budget, most: int = 0) -> Report:
    """Explore every world of a scene within a budget of faults, up to the first violation.

    More than ``most`` worlds (0: as many as there are) say that something grows without end.
    """
    worlds = Worlds(scene, budget)
    loud = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the app's log of millions of steps
    gc.collect()
    gc.freeze()  # nothing that is made here ever goes away before the end
    gc.disable()
    try:
        return _Exploration(worlds, most).run()
    finally:
        logging.disable(loud)
        gc.enable()
        gc.unfreeze()
        worlds.close()


class _Exploration:
    """Worlds are numbered as they are found. ``calm`` are the steps that need no fault, from all worlds."""

    def __init__(self, worlds: Worlds, most: int) -> None:
        self._worlds = worlds
        self._most = most
        self._numbers: dict[World, int] = {worlds.first: 0}
        self._all: list[World] = [worlds.first]
        self._parents = array("l", [-1])
        self._calm = array("l")
        self._calm_ends = array("l")
        self._transitions = 0
        self._ends = 0

    def run(self) -> Report:
        """Explore."""
        depth = level_end = number = 0
        while number < len(self._all):
            if number == level_end:
                depth, level_end = depth + 1, len(self._all)
            violation = self._visit(number)
            if self._most and len(self._all) > self._most:
                violation = Violation(4, f"there is no end to it: more than {self._most} worlds")
            if violation is not None:
                return self._report(depth, Found(violation, tuple(self._trace(number))))
            number += 1
        loop = self._world_in_a_loop()
        if loop is None:
            return self._report(depth, None)
        endless = Violation(4, "without any further fault this goes round for ever")
        return self._report(depth, Found(endless, tuple(self._trace(loop))))

    def _visit(self, number: int) -> Violation | None:
        world = self._all[number]
        try:
            violation = in_every_world(self._worlds, world)
            if violation is not None:
                return violation
            steps = self._worlds.steps(world)
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            return Violation(6, f"something has no answer: {type(error).__name__} {error}")
        self._transitions += len(steps)
        for step in steps:
            known = self._numbers.get(step.world)
            if known is None:
                known = self._numbers[step.world] = len(self._all)
                self._all.append(step.world)
                self._parents.append(number)
            if not step.fault:
                self._calm.append(known)
        self._calm_ends.append(len(self._calm))
        if any(not step.fault for step in steps):
            return None
        self._ends += 1
        return at_the_end(self._worlds, world)

    def _world_in_a_loop(self) -> int | None:
        """Give a world from which calm steps lead back to it: take away, from the ends on, all that end."""
        count = len(self._all)
        left = array("l", bytes(8 * count))
        before: list[list[int]] = [[] for _ in range(count)]
        start = 0
        for number, end in enumerate(self._calm_ends):
            left[number] = end - start
            for after in self._calm[start:end]:
                before[after].append(number)
            start = end
        ended = [number for number in range(count) if not left[number]]
        for number in ended:  # grows while it is walked through
            for earlier in before[number]:
                left[earlier] -= 1
                if not left[earlier]:
                    ended.append(earlier)
        if len(ended) == count:
            return None
        return next(number for number in range(count) if left[number])

    def _report(self, depth: int, found: Found | None) -> Report:
        budget = self._worlds.budgets.value(self._worlds.first.budget)
        counts = (len(self._all), self._transitions, depth, self._ends)
        return Report(self._worlds.scene.name, *counts, budget, found)

    # --- traces -------------------------------------------------------------------------------

    def _trace(self, number: int) -> Iterator[str]:
        path = [number]
        while self._parents[path[-1]] >= 0:
            path.append(self._parents[path[-1]])
        path.reverse()
        yield f"  0. at first: {told(self._worlds, self._all[0])}"
        for index, (earlier, later) in enumerate(itertools.pairwise(path), 1):
            step = self._step(earlier, later)
            fault = f" [{step.fault}]" if step.fault else ""
            yield f"{index:3}. {step.label}{fault}: {told(self._worlds, step.world)}"

    def _step(self, earlier: int, later: int) -> Step:
        wanted = self._all[later]
        return next(step for step in self._worlds.steps(self._all[earlier]) if step.world == wanted)
