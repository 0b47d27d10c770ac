"""What the demonstration does, step by step."""

import time
from typing import Any

from rich.console import Console

from local.demo.report import Row, table, write_report
from local.demo.show import show_phases
from local.stack.stack import Stack, application_scripts, real_disks, running
from local.world.specs import GuestSpec, three_disk_guest

VM = "ledger-01"
_RUN_DEADLINE_S = 90.0


async def demonstrate(why_no_disks: str) -> int:
    """Run the main job twice, restore both recovery points; 0 when the guest-processed one is whole."""
    console = Console(highlight=False)
    began = time.monotonic()
    console.print("[bold]Stillframe[/]: one VM, three disks, an application that never stops writing\n")
    console.print("starting storage, a simulated Azure, the guest and the app ...")
    async with running() as stack:
        guest = three_disk_guest(VM, stack.places.mounts)
        await stack.add_vm(guest)
        _say_what_runs(console, stack, why_no_disks)
        rows = [
            await _one_run(console, stack, guest, guest_processing=False),
            await _one_run(console, stack, guest, guest_processing=True),
        ]
    console.print()
    console.print(table(rows))
    path = write_report(rows)
    console.print(f"written to {path}; all stopped and removed after {time.monotonic() - began:.0f} s")
    return 0 if rows[-1].restored_ok else 1


def _say_what_runs(console: Console, stack: Stack, why_no_disks: str) -> None:
    console.print(f"  app      {stack.api.base}/api/runs")
    console.print(f"  Azure    {stack.arm_url} (simulated; snapshots are taken 300 ms apart, disk by disk)")
    if real_disks():
        console.print("  disks    real: files on XFS behind loop devices, a snapshot is one FICLONE")
    else:
        console.print(f"  disks    folders, copied: {why_no_disks}")
        console.print("           [yellow]no filesystem can be frozen here, so no grade above crash[/]")


async def _one_run(console: Console, stack: Stack, guest: GuestSpec, *, guest_processing: bool) -> Row:
    title = "with guest processing" if guest_processing else "without guest processing"
    console.print(f"\n[bold]{title}[/]")
    run_id = await stack.api.start_run(
        {"vms": [stack.vm_id(VM)], "guest_processing": _settings(stack, guest_processing=guest_processing)}
    )
    view = await show_phases(console, stack.api.watch(run_id, VM, within_s=_RUN_DEADLINE_S))
    snapshots = [point["snapshot"] for point in view["recovery_point"]]
    verdict = await stack.restore(guest, snapshots) if snapshots else None
    whole = verdict is not None and verdict.whole
    reason = verdict.reason if verdict else "there is no recovery point"
    console.print(f"  restored: {'[green]whole[/]' if whole else '[red]broken[/]'}, {reason}")
    return Row(
        vm=VM,
        guest_processing=guest_processing,
        grade=view["grade"],
        reasons=tuple(view["reasons"]),
        freeze_window_ms=view["freeze_window_ms"],
        restored_ok=whole,
        restored=reason,
    )


def _settings(stack: Stack, *, guest_processing: bool) -> dict[str, Any]:
    if not guest_processing:
        return {"enabled": False}
    scripts = application_scripts(stack.guests, VM)
    if real_disks():
        return scripts
    return {"filesystems": "none", **scripts}
