"""Runs the tests that reach a mutant against it, for all mutants, within one collection of the tests.

mutmut makes the mutants, finds out which tests reach which function, and could run them too; but it collects
the tests anew for each of three thousand mutants. Here each mutant has a fork of one process that has
collected them all, which takes minutes instead of hours.
"""

import os
import random
import resource
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pytest
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test

#: A mutant may loop for ever: it has this many times the CPU time of its tests, and some seconds (s) more.
_PATIENCE, _MORE_S = 15, 20


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    ENDLESS = "endless"
    UNREACHED = "unreached"


UNNOTICED = frozenset({Fate.SURVIVED, Fate.UNREACHED})


@dataclass(frozen=True, slots=True)
class Mutants:
    """Which there are, which tests reach each, and how long a test takes (s)."""

    tests: Mapping[str, Sequence[str]]
    seconds: Mapping[str, float]

    def drawn(self, count: int, seed: int) -> "Mutants":
        """Give so many of them, drawn by chance: the same ones by the same seed."""
        names = sorted(self.tests)
        wanted = random.Random(seed).sample(names, min(count, len(names)))
        return Mutants({name: self.tests[name] for name in wanted}, self.seconds)


class Judge:
    """A pytest plugin that runs mutants instead of tests. ``fates`` and ``tell`` say what became of each."""

    def __init__(self, mutants: Mutants, beside: int, tell: Callable[[str, Fate], None]) -> None:
        self._mutants = mutants
        self._beside = beside
        self._tell = tell
        self._failed = False
        self.fates: dict[str, Fate] = {}

    def pytest_configure(self) -> None:
        """Search without shrinking, the same examples each time: the first counter-example kills."""
        searched = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=searched)
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant, the quickest first."""
        items = {item.nodeid: item for item in session.items}
        waiting = deque(sorted(self._mutants.tests, key=self._effort))
        running: dict[int, str] = {}
        while waiting or running:
            if waiting and len(running) < self._beside:
                name = waiting.popleft()
                reached = [items[test] for test in self._in_order(name) if test in items]
                if reached:
                    running[self._fork(name, reached)] = name
                else:
                    self._note(name, Fate.UNREACHED)
                continue
            pid, status = os.wait()
            self._note(running.pop(pid), _fate(status))
        return True

    def _note(self, name: str, fate: Fate) -> None:
        self.fates[name] = fate
        self._tell(name, fate)

    def _effort(self, name: str) -> float:
        return sum(self._mutants.seconds[test] for test in self._mutants.tests[name])

    def _in_order(self, name: str) -> list[str]:
        return sorted(self._mutants.tests[name], key=lambda test: self._mutants.seconds[test])

    def _fork(self, name: str, items: Sequence[pytest.Item]) -> int:
        pid = os.fork()
        if pid:
            return pid
        limit = int(self._effort(name) * _PATIENCE) + _MORE_S
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        set_mutant_under_test(name)
        for item in items:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            if self._failed:
                os._exit(1)
        os._exit(0)


def _fate(status: int) -> Fate:
    if os.WIFSIGNALED(status):
        return Fate.ENDLESS
    return Fate.KILLED if os.WEXITSTATUS(status) else Fate.SURVIVED
