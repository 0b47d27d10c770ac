"""`python -m tests.mutation [PART ...]`: which small changes of the saga and the protocol no test notices."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.judging import UNNOTICED, Fate, Judge, Mutants
from tests.mutation.surviving import changed

#: Where mutmut writes: a copy of the project in which every function carries its mutants.
MUTANTS = Path("mutants")
#: mutmut makes all mutants and looks which tests reach which, however few it is asked to try.
_ONE = "shared.saga.names.x_saga_id*"


def main(arguments: list[str]) -> int:
    """Make the mutants, judge them, tell of those that survived; 1 if there is nothing to judge by."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("part", nargs="*", help="only mutants whose name has this in it, such as saga.decide")
    parser.add_argument("--beside", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--sample", type=int, help="only so many of them, drawn by chance")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    asked = parser.parse_args(arguments)
    made = subprocess.run(
        [sys.executable, "-m", "mutmut", "run", _ONE], check=False, capture_output=True, text=True
    )
    if made.returncode:
        print(made.stdout[-3000:], made.stderr[-3000:], file=sys.stderr)
        return 1
    sys.path.insert(0, ".")
    with contextlib.chdir(MUTANTS):
        mutants, selection = _mutants(asked.part), _selection()
        if asked.sample:
            mutants = mutants.drawn(asked.sample, asked.seed)
        judge = Judge(mutants, asked.beside, _tell)
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            pytest.main(["-q", *selection], plugins=[judge])
        told(judge.fates)
        return 0


def _mutants(parts: list[str]) -> Mutants:
    stats = json.loads(Path("mutmut-stats.json").read_text())
    tests: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
    names = [name for meta in Path("shared").rglob("*.meta") for name in _names(meta)]
    wanted = [name for name in names if not parts or any(part in name for part in parts)]
    reached = {name: tests.get(name.rpartition("__mutmut_")[0], []) for name in wanted}
    return Mutants(reached, stats["duration_by_test"])


def _names(meta: Path) -> list[str]:
    return list(json.loads(meta.read_text())["exit_code_by_key"])


def _selection() -> list[str]:
    settings: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    return [*settings["pytest_add_cli_args"], *settings["pytest_add_cli_args_test_selection"]]


def _tell(name: str, fate: Fate) -> None:
    """Print a mutant that no test noticed, as soon as that is known."""
    if fate in UNNOTICED:
        print(f"{name}: {fate}\n{changed(name)}", file=sys.__stdout__, flush=True)


def told(fates: Mapping[str, Fate]) -> None:
    """Print the score by module, and of all."""
    from local.prove.judging import wilson  # noqa: PLC0415  # it brings in the saga as it is, not the mutants

    unnoticed = [name for name, fate in fates.items() if fate in UNNOTICED]
    modules = Counter(name.rpartition(".")[0] for name in fates)
    lost = Counter(name.rpartition(".")[0] for name in unnoticed)
    for module, count in sorted(modules.items()):
        print(f"  {module}: {count - lost[module]} of {count}")
    noticed = len(fates) - len(unnoticed)
    low, high = wilson(noticed, len(fates)) if fates else (0.0, 0.0)
    share = f"{noticed / max(1, len(fates)):.1%}; of a sample, {low:.1%} to {high:.1%} of all at 95 %"
    print(f"mutants {len(fates)} killed {noticed} ({share})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
