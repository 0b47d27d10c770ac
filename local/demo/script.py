"""What the demonstration does, step by step."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from local.demo.one_run import one_run
from local.demo.report import table, write_report
from local.guests.applications import Application
from local.stack.stack import Stack, application_scripts, real_disks, running
from local.world.restore import Verdict
from local.world.specs import guest_with

_COUNTED = {3: "three", 4: "four"}


async def demonstrate(application: Application, why_no_disks: str) -> int:
    """Run the main job twice, restore both recovery points; 0 when the guest-processed one is whole."""
    console = Console(highlight=False)
    began = time.monotonic()
    vm = f"{application.name}-01"
    disks = _COUNTED[1 + len(application.roles)]
    console.print(
        f"[bold]Stillframe[/]: one VM, {disks} disks, {application.name} that never stops writing\n"
    )
    console.print("starting storage, a simulated Azure, the guest and the app ...")
    async with running() as stack:
        guest = guest_with(application.name, vm, stack.places.mounts)
        await stack.add_vm(guest)
        _say_what_runs(console, stack, why_no_disks)

        async def restore(snapshots: Sequence[str]) -> Verdict:
            return await stack.restore(guest, snapshots)

        held = _settings(stack, application, vm)
        rows = [await one_run(console, stack, vm, settings, restore) for settings in (None, held)]
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


def _settings(stack: Stack, application: Application, vm: str) -> dict[str, Any]:
    """Hold a database by the handler that knows it, anything else by its scripts; the filesystems, too."""
    if application.handler:
        return {"handlers": [{"name": application.handler}]}
    scripts = application_scripts(stack.guests, vm)
    if real_disks():
        return scripts
    return {"filesystems": "none", **scripts}
