"""Puts the local stack together: Azurite, the ARM simulator, guests on their disks, the app's host."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local import azurite
from local.arm.app import running as arm_running
from local.arm.disks import DiskBackend
from local.arm.guests import GuestBackend
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.arm.state import SimWorld
from local.functions_host.keys import Keys
from local.stack.api import Api
from local.stack.app_host import FUNCTIONS_HOST, ROOT, AppHost
from local.stack.fault_answers import Service
from local.stack.fault_proxy import FaultProxy, proxying
from local.world.capability import can_use_real_disks
from local.world.disks import Disks, FolderDisks, ReflinkDisks
from local.world.guest_shell import GuestShell
from local.world.guests import Guests
from local.world.places import Places, places
from local.world.restore import Verdict, restore_and_check
from local.world.sandbox import is_inside
from local.world.specs import GuestSpec
from shared.compute import ClientPool, Compute, credential_for

AGENT = ROOT / "build" / "agent.pyz"
GROUP = "stillframe-vms"
SCRIPTS = ROOT / "local" / "guests" / "scripts"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """How a stack is to be.

    ``settings`` are application settings on top of the stack's own. ``proxied`` names the storage connections
    (``GuestStorage``, ``AzureWebJobsStorage``) whose queues are behind the fault proxy; ``proxied_tables``
    and ``proxied_azure`` put the tables and the simulated Azure behind one. ``backend`` runs the scripts of
    run commands, and ``disks`` takes the snapshots, where the VMs are others than the stack's own guests.
    With ``storage_folder`` the storage outlives its process. ``program`` is what Python runs as the Functions
    host, ``agent`` the guests' agent. ``keys`` are those of the app's functions; without them everybody on
    this machine may call the app.
    """

    sim: SimSettings = field(default_factory=SimSettings)
    poll: str = "00:00:00.100"
    settings: Mapping[str, str] = field(default_factory=dict)
    proxied: tuple[str, ...] = ()
    proxied_tables: bool = False
    proxied_azure: bool = False
    backend: GuestBackend | None = None
    disks: DiskBackend | None = None
    storage_folder: Path | None = None
    program: tuple[str, ...] = FUNCTIONS_HOST
    agent: Path = AGENT
    keys: Keys | None = None


@dataclass(slots=True)
class Stack:
    """A running stack. ``proxy`` stands before the queues."""

    storage: azurite.AzuriteProcess
    proxy: FaultProxy
    table_proxy: FaultProxy
    azure_proxy: FaultProxy
    world: SimWorld
    arm_url: str
    disks: Disks
    guests: Guests
    host: AppHost
    api: Api
    places: Places

    def vm_id(self, vm_name: str) -> str:
        """Give the ARM id of a VM."""
        prefix = f"/subscriptions/{self.world.subscription_id}/resourceGroups/{GROUP}"
        return f"{prefix}/providers/Microsoft.Compute/virtualMachines/{vm_name}"

    async def add_vm(
        self, guest: GuestSpec, *, power: str = "running", tags: Mapping[str, str] | None = None
    ) -> None:
        """Make a VM: its disks and its guest here, and its description in the simulated Azure."""
        await asyncio.to_thread(self.guests.add, guest)
        if power == "running":
            await self.guests.start(guest.vm_name)
        disks = tuple(
            DiskSpec(name=disk.name, lun=disk.lun, size_gb=max(1, disk.size_mib // 1024))
            for disk in guest.disks
        )
        vm = VmSpec(name=guest.vm_name, disks=disks, resource_group=GROUP, power=power, tags=dict(tags or {}))
        self.world.put_vm(vm)

    async def restore(self, guest: GuestSpec, recovery_point: Sequence[str]) -> Verdict:
        """Restore a VM from the ids of a recovery point, and let its application check itself."""
        return await restore_and_check(self.disks, guest, self.snapshots_by_disk(recovery_point))

    def snapshots_by_disk(self, recovery_point: Sequence[str]) -> dict[str, str]:
        """Give the name of each disk's snapshot, by the disk's name, from the ARM ids of a recovery point.

        They are those of the snapshots, one per disk, or that of the restore point.
        """
        by_disk: dict[str, str] = {}
        for resource_id in recovery_point:
            point = self.world.resources.restore_points.get(resource_id.lower())
            if point is not None:
                by_disk |= {item.disk.spec.name: item.id.name for item in point.disks}
                continue
            snapshot = self.world.resources.snapshots[resource_id.lower()]
            by_disk[snapshot.disk.spec.name] = snapshot.id.name
        return by_disk

    async def delete_recovery_points(self, views: Sequence[Mapping[str, Any]]) -> None:
        """Delete what sagas made: the app itself refuses an eighth snapshot of a disk in five minutes."""
        compute = Compute(ClientPool(lambda: credential_for(self.arm_url), endpoint=self.arm_url), lambda: 0)
        points = [(point["snapshot"], view["saga"]) for view in views for point in view["recovery_point"]]
        try:
            await asyncio.gather(*(compute.delete(snapshot, saga) for snapshot, saga in points))
        finally:
            await compute.close()


@contextlib.asynccontextmanager
async def running(options: StackOptions | None = None) -> AsyncIterator[Stack]:
    """Start a stack without VMs, and leave nothing behind at the end.

    Raises:
        AzuriteUnavailableError, HostDidNotStartError: with one line that says what to do.
    """
    options = options or StackOptions()
    async with contextlib.AsyncExitStack() as opened:
        where = opened.enter_context(places())
        storage = opened.enter_context(azurite.running(options.storage_folder))
        proxy = await opened.enter_async_context(proxying(f"http://127.0.0.1:{storage.queue_port}"))
        table_proxy = await opened.enter_async_context(
            proxying(f"http://127.0.0.1:{storage.table_port}", service=Service.TABLES)
        )
        disks = _disks(where)
        opened.callback(disks.close)
        guests = Guests(disks, where.runtime, agent=options.agent)
        opened.push_async_callback(guests.close)
        world = SimWorld(
            disks=options.disks or disks,
            guests=options.backend or GuestShell(guests),
            settings=options.sim,
        )
        arm_url = await opened.enter_async_context(arm_running(world))
        azure_proxy = await opened.enter_async_context(proxying(arm_url, service=Service.AZURE))
        app_arm_url = f"http://127.0.0.1:{azure_proxy.port}" if options.proxied_azure else arm_url
        # Named by a port: stacks that run at the same time in sandboxes have the same process ids.
        log = ROOT / ".local" / f"host-{storage.queue_port}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        connections = _connections(storage, proxy.port, table_proxy.port, options)
        host = AppHost(
            connections | app_settings(app_arm_url, options), log, program=options.program, keys=options.keys
        )
        await host.start()
        opened.push_async_callback(host.stop)
        api = await opened.enter_async_context(Api(host.url, key=options.keys.master if options.keys else ""))
        yield Stack(storage, proxy, table_proxy, azure_proxy, world, arm_url, disks, guests, host, api, where)


def real_disks() -> bool:
    """Whether a stack started here has real disks."""
    return is_inside() and can_use_real_disks().ok


def _connections(
    storage: azurite.AzuriteProcess, queue_port: int, table_port: int, options: StackOptions
) -> dict[str, str]:
    """Give the app's storage connections, each directly or through the proxies on these ports."""
    direct = replace(storage, table_port=table_port) if options.proxied_tables else storage
    proxied = replace(direct, queue_port=queue_port)
    return {
        name: (proxied if name in options.proxied else direct).connection_string
        for name in ("AzureWebJobsStorage", "GuestStorage")
    }


def app_settings(arm_url: str, options: StackOptions) -> dict[str, str]:
    """Give the application settings of the app in this stack, but its storage connections."""
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": options.poll,
        "STILLFRAME_MASTER_KEY": secrets.token_hex(32),
        "STILLFRAME_ARM_ENDPOINT": arm_url,
        "STILLFRAME_WEBHOOK_NETWORKS": "127.0.0.1/32",
        "STILLFRAME_SCHEDULES_TIMER": "*/15 * * * * *",
        "STILLFRAME_SWEEP_TIMER": "*/15 * * * * *",
        "STILLFRAME_RETENTION_TIMER": "0 15 * * * *",
        "STILLFRAME_RECONCILIATION_TIMER": "0 45 4 * * *",
        "STILLFRAME_HOUSEKEEPING_TIMER": "0 25 * * * *",
        **options.settings,
    }


def _disks(where: Places) -> Disks:
    return ReflinkDisks(where.store) if real_disks() else FolderDisks(where.store)


def application_scripts(guests: Guests, vm_name: str) -> dict[str, object]:
    """Give the pre- and post-script of a guest's ledger, as a run request names them."""
    socket = str(guests.get(vm_name).socket)
    return {
        "pre_script": {"path": str(SCRIPTS / "pre-application.sh"), "arguments": [socket]},
        "post_script": {"path": str(SCRIPTS / "post-application.sh"), "arguments": [socket]},
    }
