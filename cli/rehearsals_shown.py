"""A rehearsal as a table: how long each VM was held, and what of it was what application's."""

from collections.abc import Mapping
from typing import Any

from cli.runs_shown import show_trouble, worst_first
from cli.shown import Show, said, window

View = Mapping[str, Any]


def show_rehearsal(show: Show, run: View) -> None:
    """Show a rehearsal that has ended."""
    vms = worst_first(run.get("vms", ()))
    rows = []
    for vm in vms:
        held = vm.get("rehearsal") or {}
        rows.append(
            (
                str(vm["name"]),
                said(vm.get("outcome")),
                said(held.get("best_grade")),
                window(held.get("quiesce_ms")),
                window(held.get("held_ms", vm.get("freeze_window_ms"))),
                window(held.get("left_for_snapshots_ms")),
            )
        )
    show.table(("VM", "outcome", "best grade", "to hold", "held", "left"), rows, flexible="VM")
    for vm in vms:
        _show_things(show, vm)
        show_trouble(show, vm, {})


def _show_things(show: Show, vm: View) -> None:
    rehearsed = vm.get("rehearsal") or {}
    things = rehearsed.get("things") or ()
    if not things:
        return
    show.line()
    show.line(str(vm["name"]), style="bold")
    rows = [
        (
            f"{each.get('kind')} {each.get('name')}",
            said(each.get("mode")),
            window(each.get("took_ms")),
            window(each.get("held_ms")),
        )
        for each in things
    ]
    show.table(("what", "mode", "to hold", "held"), rows, flexible="what")
    for left in rehearsed.get("not_held") or ():
        show.line(f"  not held: {left.get('kind')} {left.get('name')}: {left.get('reason')}")
