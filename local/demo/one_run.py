"""One run of a demonstration: started, shown, its recovery point restored and checked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rich.console import Console

from local.demo.report import Row
from local.demo.show import show_phases
from local.stack.stack import Stack
from local.world.restore import Verdict

_WITHIN_S = 600.0  # an emulated guest on a busy machine may take minutes

type Restore = Callable[[Sequence[str]], Awaitable[Verdict]]


async def one_run(
    console: Console, stack: Stack, vm: str, guest_processing: dict[str, Any] | None, restore: Restore
) -> Row:
    """Take a recovery point of a VM with this guest processing (None: without), restore and check it."""
    console.print(f"\n[bold]{'without' if guest_processing is None else 'with'} guest processing[/]")
    settings = {"enabled": False} if guest_processing is None else guest_processing
    run_id = await stack.api.start_run({"vms": [stack.vm_id(vm)], "guest_processing": settings})
    view = await show_phases(console, stack.api.watch(run_id, vm, within_s=_WITHIN_S))
    if view["problem"]:
        problem = view["problem"]
        console.print(f"  {problem['sentence']}\n  What to do: {problem['what_to_do']}", markup=False)
    snapshots = [point["snapshot"] for point in view["recovery_point"]]
    verdict = await restore(snapshots) if snapshots else None
    whole = verdict is not None and verdict.whole
    reason = verdict.reason if verdict else "there is no recovery point"
    console.print(f"  restored: {'[green]whole[/]' if whole else '[red]broken[/]'}, {reason}")
    return Row(
        vm=vm,
        guest_processing=guest_processing is not None,
        grade=view["grade"],
        reasons=tuple(view["reasons"]),
        freeze_window_ms=view["freeze_window_ms"],
        restored_ok=whole,
        restored=reason,
    )
