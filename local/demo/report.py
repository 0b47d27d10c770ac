"""The table at the end, and the same as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from local.stack.app_host import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run of the demonstration. ``freeze_window_ms`` is None where nothing was held."""

    vm: str
    guest_processing: bool
    grade: str | None
    reasons: tuple[str, ...]
    freeze_window_ms: int | None
    restored_ok: bool
    restored: str

    def report(self) -> dict[str, Any]:
        """Give the row as the report has it."""
        return {
            "vm": self.vm,
            "guest_processing": self.guest_processing,
            "grade": self.grade,
            "reasons": list(self.reasons),
            "freeze_window_ms": self.freeze_window_ms,
            "restored_ok": self.restored_ok,
            "restored": self.restored,
        }


def table(rows: Sequence[Row]) -> Table:
    """Show all runs side by side."""
    result = Table(title="What each recovery point is worth", title_justify="left")
    for heading in ("guest processing", "grade", "freeze window", "why", "restored"):
        result.add_column(heading)
    for row in rows:
        window = "nothing was held" if row.freeze_window_ms is None else f"{row.freeze_window_ms} ms"
        verdict = "[green]whole[/]" if row.restored_ok else "[red]broken[/]"
        result.add_row(
            "on" if row.guest_processing else "off",
            row.grade or "none",
            window,
            "\n".join(row.reasons),
            f"{verdict}: {row.restored}",
        )
    return result


def write_report(rows: Sequence[Row], name: str = "report.json") -> Path:
    """Write the report below ``.demo``; give its path."""
    path = ROOT / ".demo" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"runs": [row.report() for row in rows]}, indent=2) + "\n")
    return path.relative_to(ROOT)
