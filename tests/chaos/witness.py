"""Who is held at the moment of a snapshot: asked of the kernel and of the application, not of the app."""

import asyncio
from collections.abc import Sequence

from local.arm.disks import DiskBackend
from local.guests.control import ControlError
from local.world.frozen import ProbeUndecidedError
from tests.e2e.scene import Machine


class Witness:
    """Looks at all VMs immediately before and after each snapshot, while it is told to.

    ``held`` has, by the name of the snapshot, the VMs whose every mount was frozen and whose application was
    held both times.
    """

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self.looks = False
        self.held: dict[str, frozenset[str]] = {}

    def clear(self) -> None:
        """Forget what was seen, and look at nothing until told to."""
        self.looks = False
        self.held = {}

    def attend(self, disks: DiskBackend) -> None:
        """Be there whenever these disks are snapshotted."""
        capture = disks.capture

        async def attended(disk_name: str, snapshot_name: str) -> int:
            if not self.looks:
                return await capture(disk_name, snapshot_name)
            before = await self._all_held()
            size = await capture(disk_name, snapshot_name)
            self.held[snapshot_name] = before & await self._all_held()
            return size

        disks.capture = attended  # type: ignore[method-assign]  # the simulator has no hook for it

    async def _all_held(self) -> frozenset[str]:
        found = await asyncio.gather(*(self._is_held(machine) for machine in self._machines))
        return frozenset(machine.name for machine, held in zip(self._machines, found, strict=True) if held)

    async def _is_held(self, machine: Machine) -> bool:
        try:
            frozen = await machine.frozen()
            held = not machine.spec.application or bool((await machine.status())["held"])
        except (ProbeUndecidedError, ControlError):  # then nobody can say that it was
            return False
        return held and len(frozen) == len(machine.spec.disks)
