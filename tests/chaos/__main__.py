"""`python -m tests.chaos [--rounds N] [--seed S] [--fault NAME] [--round NUMBER]`: the saga under fire.

Exit code 0: every invariant held after every round; 1: some did not; 2: this machine has no real disks.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local.demo.command import UNAVAILABLE, enter_sandbox, perform
from local.stack.app_host import ROOT
from local.world.capability import can_use_real_disks
from tests.chaos.choosing import choose, named
from tests.chaos.lanes import Work, do_all
from tests.chaos.report import Report, command, table

_FOLDER = ROOT / ".chaos"
_WIDE = 170  # columns of a log, which has no terminal's width


def main(arguments: Sequence[str]) -> int:
    """Run the command line in private namespaces."""
    options = _parser().parse_args(arguments)
    capability = can_use_real_disks()
    if not capability.ok:
        print(capability.reason, file=sys.stderr)
        return UNAVAILABLE
    if not named(options.fault):
        print("no fault has that name; these are known:", *(fault.name for fault in named(())), sep="\n  ")
        return UNAVAILABLE
    enter_sandbox("tests.chaos", *arguments)
    return perform(lambda: _attack(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", default="1", help="the same seed gives the same faults and parameters")
    parser.add_argument(
        "--fault", action="append", default=[], help="only those that have this in their name"
    )
    parser.add_argument("--alone", action="store_true", help="never two faults in a round")
    parser.add_argument("--round", type=int, action="append", help="only the round of this number")
    parser.add_argument("--lanes", type=int, default=2, help="stacks at the same time")
    return parser


async def _attack(options: argparse.Namespace) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    numbers = options.round or range(options.rounds)
    among = named(options.fault)
    chosen = {number: choose(options.seed, number, among, alone=options.alone) for number in numbers}
    more = [word for name in options.fault for word in ("--fault", name)] + ["--alone"] * options.alone
    report, began = Report(), time.monotonic()
    _FOLDER.mkdir(exist_ok=True)

    def tell(record: dict[str, object]) -> None:
        result = report.take(record)
        if result is None:
            return
        clock = f"{len(report.results)}/{len(chosen)} {time.monotonic() - began:5.0f} s"
        verdict = "[red]VIOLATED[/]" if result.violations else "well"
        ended = ", ".join(f"{o} {g}" for o, g in zip(result.outcomes, result.grades, strict=True))
        console.print(f"{clock}  round {result.number}: {verdict}  {result.seconds:.0f} s  ", end="")
        console.print(f"{result.text}: {ended}", markup=False)
        for reason in result.reasons:
            console.print(f"      {reason}", markup=False)
        if result.violations:
            kept = _keep(options.seed, result.number, result.log)
            again = command(options.seed, result.number, more)
            for line in report.why(result, kept.relative_to(ROOT), again):
                console.print(line, markup=False)

    kinds = {number: one.kind for number, one in chosen.items()}
    try:
        await do_all(Work(kinds), options.lanes, [options.seed, *more], _FOLDER, tell)
    finally:  # what a long attack has shown is told, however it ends
        console.print(table(report))
        for line in report.summary(len(chosen)):
            console.print(line, markup=False)
        console.print(f"seed {options.seed}, {time.monotonic() - began:.0f} s")
    return 1 if report.violated or len(report.results) < len(chosen) else 0


def _keep(seed: str, number: int, log: str) -> Path:
    path = _FOLDER / f"round-{seed}-{number}.log"
    path.write_text(log)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
