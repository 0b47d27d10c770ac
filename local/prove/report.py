"""The report as JSON, and as a table on the terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from local.prove.judging import rows
from local.prove.tries import Try
from local.stack.app_host import ROOT

PATH = ROOT / ".prove" / "report.json"


def write_report(tries: Sequence[Try], left_out: Mapping[str, str]) -> Path:
    """Write ``.prove/report.json``; give its path. ``left_out`` says why an application was not tried."""
    PATH.parent.mkdir(exist_ok=True)
    document = {"tries": [asdict(one) for one in tries], "left_out": dict(left_out)}
    new = PATH.with_suffix(".new")
    new.write_text(json.dumps(document, indent=2) + "\n")
    new.rename(PATH)
    return PATH.relative_to(ROOT)


def table(tries: Sequence[Try]) -> Table:
    """Show what the tries came to, a line per application and mode."""
    result = Table(title="What restored copies were worth", title_justify="left")
    for heading in ("application", "held by", "tries", "broken", "share (95 %)", "grade", "window (median)"):
        result.add_column(heading)
    for row in rows(tries):
        window = "nothing was held" if row.median_window_ms is None else f"{row.median_window_ms} ms"
        grades = [f"{grade} {count}" for grade, count in row.grades.items()]
        missing = [f"none {row.missing}"] if row.missing else []
        broken = f"[red]{row.broken}[/]" if row.broken else "0"
        said = ", ".join((*grades, *missing))
        result.add_row(row.application, row.mode, str(row.tries), broken, row.share, said, window)
    return result


def why_broken(tries: Sequence[Try]) -> Iterator[str]:
    """Say how copies were broken, the commonest way first."""
    for row in rows(tries):
        for reason, count in sorted(row.reasons.items(), key=lambda item: -item[1]):
            yield f"{row.application}, {row.mode}: {count} x {reason}"
