"""Plants a fault: one piece of a module's source is replaced, and everything of the project is imported anew.

This happens in a process of its own, so that nobody else ever meets a planted module.
"""

import importlib.machinery
import importlib.util
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from multiprocessing.pool import Pool
from types import CodeType, ModuleType

_OURS = ("shared", "agent", "tests")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in ``module`` the text ``old``, which is there once, becomes ``new``.

    ``why`` says in a sentence what is wrong then, ``caught_by`` which property has to notice it. ``faults``
    are kinds of faults that have to meet before it shows; without them any single one is enough, or none.
    """

    name: str
    module: str
    old: str
    new: str
    why: str
    caught_by: int
    faults: tuple[str, ...] = ()


class NotPlantedError(Exception):
    """The text that a mutant replaces is not there exactly once: the code has moved on."""

    def __init__(self, mutant: str, count: int) -> None:
        super().__init__(f"{mutant}: its text is there {count} times")
        self.mutant = mutant
        self.count = count

    def __reduce__(self) -> tuple[type["NotPlantedError"], tuple[str, int]]:
        """It comes from another process."""
        return NotPlantedError, (self.mutant, self.count)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: the property that caught it (0: none), where, and after how many worlds."""

    mutant: str
    caught_by: int = 0
    what: str = ""
    scene: str = ""
    states: int = 0


class _PlantedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module with the fault in it, and never from a cache."""

    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module's changed source."""
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        count = source.count(self._mutant.old)
        if count != 1:
            raise NotPlantedError(self._mutant.name, count)
        return compile(source.replace(self._mutant.old, self._mutant.new), path, "exec", dont_inherit=True)


class _PlantedFinder(MetaPathFinder):
    def __init__(self, mutant: Mutant, path: str) -> None:
        self._mutant = mutant
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Give the planted module, and leave all others to the next finder."""
        if fullname != self._mutant.module:
            return None
        loader = _PlantedLoader(self._mutant, self._path)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


def plant(mutant: Mutant) -> None:
    """Make this process import everything of the project anew, with the fault in it."""
    spec = importlib.util.find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    sys.meta_path.insert(0, _PlantedFinder(mutant, spec.origin))
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        if name != __name__:
            del sys.modules[name]


def fate(mutant: Mutant) -> Fate:
    """Plant a fault in this process, for good, and see whether the exploration notices it."""
    plant(mutant)
    bounds = importlib.import_module("tests.model.bounds")  # only now, so that it finds the planted ones
    for report in bounds.hunt(mutant.faults):
        if report.found is not None:
            violation = report.found.violation
            return Fate(mutant.name, violation.number, violation.what, report.scene, report.states)
    return Fate(mutant.name)


def fates(mutants: Iterable[Mutant]) -> Iterator[Fate]:
    """See what becomes of each mutant, two at a time, each in a process of its own."""
    with two_processes() as pool:
        yield from pool.imap(fate, mutants, chunksize=1)


def two_processes() -> Pool:
    """Give two processes at a time, each for one task, that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.model.bounds"])
    return context.Pool(2, maxtasksperchild=1)
