"""Runs a managed run command's script in a guest, as the VM agent would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.arm.guests import GuestResult, LocalShell
from local.world.guests import VmNotRunningError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.world.guests import Guests


class GuestShell:
    """A shell in each running guest, with the environment of its agent."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        """Run a script by sh and wait for it, not for what it left running. Being cancelled kills it.

        Raises UnknownVmError, VmNotRunningError.
        """
        if not self._guests.is_running(vm_name):
            raise VmNotRunningError(vm_name)
        shell = LocalShell({vm_name: self._guests.agent_environment(vm_name)})
        return await shell.run(vm_name, script, environment)
