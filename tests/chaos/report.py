"""What many rounds came to: a table by fault, and everything about a round that went wrong."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.chaos.choosing import FAULTS
from tests.chaos.invariants import Violation
from tests.chaos.rounds import Result

_LINES_OF_LOG = 30


@dataclass
class Report:
    """The results so far, and what was violated outside of rounds."""

    results: list[Result] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def take(self, record: dict[str, Any]) -> Result | None:
        """Take what a lane says; give the result if it is one."""
        if "number" not in record:
            self.outside += [f"{each['invariant']}: {each['what']}" for each in record.get("left", ())]
            self.outside += (
                [f"the lane ended in round {record['lane ended']}"] if "lane ended" in record else []
            )
            return None
        found = tuple(Violation(**each) for each in record.pop("violations"))
        lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
        result = Result(**record | lists, violations=found)
        self.results.append(result)
        return result

    @property
    def violated(self) -> bool:
        return bool(self.outside) or any(result.violations for result in self.results)

    def why(self, result: Result, log: Path, again: str) -> Iterator[str]:
        """Tell everything about a round that went wrong."""
        yield from (f"    {each.invariant}: {each.what}" for each in result.violations)
        yield from (f"    | {line}" for line in result.history)
        yield f"    logs: {log}; again: {again}"

    def summary(self, wanted: int) -> Iterator[str]:
        yield from self.outside
        violated = sum(bool(result.violations) for result in self.results)
        graded = Counter(grade for result in self.results for grade in result.grades)
        restored = graded["application"] + graded["filesystem"]
        yield (
            f"{len(self.results)} of {wanted} rounds, {violated} violated; "
            f"{restored} recovery points restored and checked; grades {dict(graded)}"
        )


def command(seed: str, number: int, more: Sequence[str]) -> str:
    """Give the command that repeats a round."""
    arguments = shlex.join(["--round", str(number), *more])
    return f"make chaos SEED={shlex.quote(seed)} ARGS={shlex.quote(arguments)}"


def table(report: Report) -> Table:
    """Show a line per fault; a round of two faults counts for both."""
    result = Table(title="The saga under fire", title_justify="left")
    for heading in (
        "fault",
        "rounds",
        "took effect",
        "succeeded",
        "degraded",
        "failed",
        "grade",
        "violations",
    ):
        result.add_column(heading)
    for fault in FAULTS:
        rounds = [one for one in report.results if fault.name in one.faults]
        if not rounds:
            continue
        effect = sum(one.happened[one.faults.index(fault.name)] for one in rounds)
        outcomes = Counter(outcome for one in rounds for outcome in one.outcomes)
        grades = Counter(grade for one in rounds for grade in one.grades)
        violated = sum(bool(one.violations) for one in rounds)
        result.add_row(
            fault.name,
            str(len(rounds)),
            str(effect),
            *(str(outcomes[name]) for name in ("succeeded", "degraded", "failed")),
            ", ".join(f"{grade} {count}" for grade, count in grades.most_common()),
            f"[red]{violated}[/]" if violated else "0",
        )
    return result
