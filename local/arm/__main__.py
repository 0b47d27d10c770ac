"""Run the simulator by itself: python -m local.arm --port 8700 --vms vms.json.

The file describes the world: {"subscription_id", "groups", "settings", "vms", "environments"}; a VM has the
members of `specs.VmSpec`, settings those of `settings.SimSettings`, environments are by VM name and are what
run commands get. Disks are remembered by name only; guests' scripts run by sh on this machine.
"""

import argparse
import asyncio
import json
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.arm.app import running
from local.arm.described import InvalidSpecError, members
from local.arm.disks import NoDisks
from local.arm.guests import LocalShell
from local.arm.settings import SimSettings
from local.arm.specs import vm_from_json
from local.arm.state import SimWorld

_Environments = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The members of the file."""

    vms: tuple[Any, ...] = ()
    groups: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environments: _Environments = field(default_factory=dict)
    subscription_id: str = "00000000-0000-0000-0000-000000000001"


def world_from_json(value: Any) -> SimWorld:
    """Build a world from its description; raises `InvalidSpecError`."""
    description = Description(**members(Description, value, "description"))
    vms = [vm_from_json(vm) for vm in description.vms]
    return SimWorld(
        disks=NoDisks(),
        guests=LocalShell({vm.name: {} for vm in vms} | dict(description.environments)),
        vms=vms,
        groups=description.groups,
        settings=SimSettings(**members(SimSettings, description.settings, "settings")),
        subscription_id=description.subscription_id,
    )


async def _serve(world: SimWorld, host: str, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with running(world, host=host, port=port) as base_url:
        print(f"compute simulator on {base_url}", flush=True)
        await stop.wait()


def main() -> None:
    """Read the arguments and serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m local.arm", description="a stand-in for Azure's compute provider"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--vms", type=Path, help="JSON description of the world")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        description = json.loads(arguments.vms.read_text()) if arguments.vms else {}
        world = world_from_json(description)
    except (InvalidSpecError, OSError, ValueError) as error:
        parser.error(str(error))
    asyncio.run(_serve(world, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
