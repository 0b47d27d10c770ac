"""The demonstration with a real virtual machine, step by step."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.demo.one_run import one_run
from local.demo.report import table, write_report
from local.stack.stack import GROUP, Stack, StackOptions, running
from local.vm.image import LEDGER, Image
from local.vm.machine import Drives, Machine, machine
from local.vm.restore import boot_and_check
from local.vm.vm_agent import VmAgents, vm_agent
from local.world.disks import ReflinkDisks
from local.world.restore import Verdict

VM = "ledger-vm"
#: The disks by the order of their attachment: the system's, then those of LUN 0 and 1.
DISKS = tuple(f"{VM}-{role}" for role in ("os", "journal", "accounts"))

_DATA_DISK_MIB = 64
_BOOTS_WITHIN_S = 300.0  # emulated, and on a busy machine; 10 to 20 s are usual
_SCRIPTS = f"/{LEDGER}/local/guests/scripts"
_SOCKET = "/run/ledger.sock"
_APPLICATION_STARTS = f"until [ -S {_SOCKET} ]; do sleep 0.1; done"

#: Ledger and filesystems held; an emulated machine on a busy host is given its time.
GUEST_PROCESSING: dict[str, Any] = {
    "on_guest_failure": "fail",
    "pre_script": {"path": f"{_SCRIPTS}/pre-application.sh", "arguments": [_SOCKET], "timeout_ms": 35_000},
    "post_script": {"path": f"{_SCRIPTS}/post-application.sh", "arguments": [_SOCKET], "timeout_ms": 35_000},
    "arming_timeout_ms": 300_000,
    "freeze_budget_ms": 90_000,
    "quiesce_timeout_ms": 75_000,
}


@dataclass(frozen=True)
class Scene:
    """A stack with one virtual machine, whose ledger writes. `booted_s`: how long that took (seconds)."""

    stack: Stack
    image: Image
    machine: Machine
    folder: Path
    booted_s: float

    async def restore(self, recovery_point: Sequence[str]) -> Verdict:
        """Boot a second VM from the snapshots, beside the live one, and let it check itself."""
        by_disk = self.stack.snapshots_by_disk(recovery_point)
        snapshots = [by_disk[disk] for disk in DISKS]
        return await boot_and_check(self.stack.disks, self.image, self.folder, snapshots)


@contextlib.asynccontextmanager
async def scene(guest: Image, sim: SimSettings | None = None) -> AsyncIterator[Scene]:
    """Set the scene, in Azure as ``sim`` says; nothing of it is left at the end. Only inside the sandbox.

    Raises MachineEndedError, and what `running` raises.
    """
    vm_agents = VmAgents()
    options = StackOptions(sim=sim or SimSettings(), backend=vm_agents)
    async with contextlib.AsyncExitStack() as opened:
        stack = await opened.enter_async_context(running(options))
        drives = await asyncio.to_thread(_make_disks, stack, guest)
        folder = stack.places.runtime / "machines"
        began = time.monotonic()
        port = stack.storage.queue_port
        booted = await opened.enter_async_context(machine(VM, guest, drives, folder / VM, storage_port=port))
        agent = await opened.enter_async_context(vm_agent(booted, boots_within_s=_BOOTS_WITHIN_S))
        await asyncio.wait_for(agent.run(_APPLICATION_STARTS, {}), _BOOTS_WITHIN_S)
        vm_agents.add(VM, agent)
        stack.world.put_vm(_described())
        yield Scene(stack, guest, booted, folder, time.monotonic() - began)


def _make_disks(stack: Stack, guest: Image) -> Drives:
    disks = stack.disks
    assert isinstance(disks, ReflinkDisks), "a virtual machine's disks are images: only inside the sandbox"
    system, *data = DISKS
    disks.create_from(guest.disk, system)
    for disk in data:
        disks.create(disk, _DATA_DISK_MIB, None)
    return Drives(disks.image(system), [disks.image(disk) for disk in data])


def _described() -> VmSpec:
    luns = (None, 0, 1)
    disks = tuple(DiskSpec(name=name, lun=lun, size_gb=1) for name, lun in zip(DISKS, luns, strict=True))
    return VmSpec(name=VM, disks=disks, resource_group=GROUP)


async def demonstrate(guest: Image) -> int:
    """Run the main job twice, boot a second VM from both; 0 when the guest-processed one is whole."""
    console = Console(highlight=False)
    began = time.monotonic()
    console.print("[bold]Stillframe[/]: one virtual machine, three disks, an application that never stops\n")
    console.print("starting storage, a simulated Azure and the app, booting the machine ...")
    async with scene(guest) as ready:
        _say_what_runs(console, ready)
        rows = [
            await one_run(console, ready.stack, VM, guest_processing, ready.restore)
            for guest_processing in (None, GUEST_PROCESSING)
        ]
    console.print()
    console.print(table(rows))
    path = write_report(rows, "report-vm.json")
    console.print(f"written to {path}; all stopped and removed after {time.monotonic() - began:.0f} s")
    return 0 if rows[-1].restored_ok else 1


def _say_what_runs(console: Console, ready: Scene) -> None:
    stack = ready.stack
    console.print(f"  app      {stack.api.base}/api/runs")
    console.print(f"  Azure    {stack.arm_url} (simulated; snapshots are taken 300 ms apart, disk by disk)")
    console.print(
        f"  VM       QEMU without KVM, Debian's kernel; its ledger wrote after {ready.booted_s:.0f} s"
    )
    console.print("  network  none but one forwarded address: the storage's queues")
