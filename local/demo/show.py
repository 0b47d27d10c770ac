"""A saga's phases on the terminal, as they happen."""

import time
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

_SAYS = {
    "pending": "waiting for its turn",
    "preflight": "reading the VM and its disks",
    "arming": "starting the agent, arming its dead-man",
    "quiescing": "making the application hold still, then freezing the filesystems",
    "capturing": "a snapshot of every disk",
    "resuming": "ordered to resume: thaw, let the application go on",
    "completing": "waiting for the background copies",
    "copying": "waiting for the copies in other regions",
    "cleaning": "tagging the snapshots, removing what is not needed",
    "done": "done",
}


_HOLDS = ", [bold yellow]the application holds still[/]"


def _holds_still(view: dict[str, Any]) -> bool:
    """Whether the guest said that it holds, and has not been ordered to resume yet."""
    evidence = view.get("evidence") or {}
    return bool(evidence.get("quiesced")) and evidence.get("resume_ordered_at") is None


async def show_phases(console: Console, views: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """Show the phases live, then the history with its times; give the last view."""
    began = time.monotonic()
    view: dict[str, Any] = {}
    with Live(console=console, transient=True, refresh_per_second=10) as live:
        async for view in views:
            seconds = time.monotonic() - began
            held = _HOLDS if _holds_still(view) else ""
            live.update(f"  {seconds:5.1f} s  {view['phase']:<11} {_SAYS.get(view['phase'], '')}{held}")
    console.print(_history(view))
    return view


def _history(view: dict[str, Any]) -> Table:
    """Show which phase came when, in ms after the saga's first step."""
    history = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
    began = None
    for entry in view["history"]:
        at = _ms(entry["at"])
        began = at if began is None else began
        if entry["from"] != entry["to"]:
            history.add_row(f"{at - began:6d} ms", entry["to"], f"[dim]{_SAYS.get(entry['to'], '')}[/]")
    return history


def _ms(moment: str) -> int:
    """Read hh:mm:ss.mmm of an RFC 3339 time as ms; a demonstration is not run over midnight."""
    hours, minutes, seconds = moment[11:23].split(":")
    return int(hours) * 3_600_000 + int(minutes) * 60_000 + round(float(seconds) * 1000)
