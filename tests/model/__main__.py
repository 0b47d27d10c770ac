"""`python -m tests.model [--faults N | --deep] [--no-mutants]`: check the model, then the checker."""

import argparse
import sys
from collections.abc import Iterable

from tests.model import bounds
from tests.model.explore import Report
from tests.model.mutants.every import MUTANTS
from tests.model.planting import Fate, Mutant, fates
from tests.model.properties import PROPERTIES


def main(arguments: list[str]) -> int:
    """Explore and plant; returns 0 if every property holds and every planted fault is caught."""
    parser = argparse.ArgumentParser(prog="make model", description="Check every interleaving of a saga.")
    parser.add_argument("--faults", type=int, default=bounds.USUAL, help="how many faults a saga may meet")
    parser.add_argument("--deep", action="store_true", help="three faults, of every three kinds")
    parser.add_argument("--no-mutants", action="store_true", help="plant nothing")
    asked = parser.parse_args(arguments)
    if asked.deep:
        print("three faults in a saga, of every three kinds, all interleavings")
        return 0 if told(bounds.explore_deep()) else 1
    print(f"at most {asked.faults} faults in a saga, of each kind at most 2, all interleavings")
    well = told(bounds.explore_all(asked.faults))
    if not asked.no_mutants:
        well = caught(MUTANTS, fates(MUTANTS)) and well
    return 0 if well else 1


def told(reports: Iterable[Report]) -> bool:
    """Print what was explored, and every violation with its trace; True if there is none."""
    states = transitions = depth = violations = 0
    for report in reports:
        states += report.states
        transitions += report.transitions
        depth = max(depth, report.depth)
        counts = f"states {report.states} transitions {report.transitions} depth {report.depth}"
        print(f"  {report.scene}{report.kinds}: {counts} ends {report.ends}", flush=True)
        if report.found is not None:
            violations += 1
            number, what = report.found.violation
            print(f"  property {number} ({PROPERTIES[number]}) does not hold: {what}")
            print("\n".join(report.found.trace))
    print(f"states {states} transitions {transitions} depth {depth} violations {violations}", flush=True)
    return violations == 0


def caught(mutants: Iterable[Mutant], seen: Iterable[Fate]) -> bool:
    """Print what became of every planted fault; True if each was caught by the property that it is about."""
    planted = right = found = 0
    for mutant, one in zip(mutants, seen, strict=True):
        planted += 1
        found += one.caught_by > 0
        right += one.caught_by == mutant.caught_by
        by = f"property {one.caught_by}: {one.what}" if one.caught_by else "nothing"
        expected = "" if one.caught_by == mutant.caught_by else f" (expected: property {mutant.caught_by})"
        print(f"  {mutant.name}: caught by {by}{expected}", flush=True)
    print(f"planted {planted} caught {found}")
    return right == planted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
