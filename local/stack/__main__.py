"""`python -m local.stack`: the whole stack until Ctrl-C, with a few VMs to try things on."""

import asyncio
import json
import os
import signal
import sys

from local.azurite import AzuriteUnavailableError
from local.stack.app_host import HostDidNotStartError
from local.stack.stack import Stack, application_scripts, running
from local.world.capability import can_use_real_disks
from local.world.sandbox import enclosed, is_inside
from local.world.specs import three_disk_guest

#: The VMs that there are, and their tags; the first is the one of the printed command.
VMS = {
    "ledger-01": {"env": "production", "application": "ledger"},
    "ledger-02": {"env": "production", "application": "ledger"},
    "ledger-03": {"env": "test", "application": "ledger"},
}
VM = next(iter(VMS))


def main() -> int:
    """Run the stack, in private namespaces where the machine allows them; its exit code."""
    if can_use_real_disks().ok and not is_inside():
        command = enclosed([sys.executable, "-m", "local.stack"])
        os.execv(command[0], command)
    try:
        asyncio.run(_serve())
    except (AzuriteUnavailableError, HostDidNotStartError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _serve() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running() as stack:
        for name, tags in VMS.items():
            await stack.add_vm(three_disk_guest(name, stack.places.mounts, clients=1), tags=tags)
        _tell(stack)
        await stopped.wait()
    print("stopped; nothing is left behind")


def _tell(stack: Stack) -> None:
    guest = {"on_guest_failure": "fail", **application_scripts(stack.guests, VM)}
    body = json.dumps({"vms": [stack.vm_id(VM)], "guest_processing": guest})
    print(f"app       {stack.api.base}/api/runs")
    print(f"page      {stack.api.base}/api/ui")
    print(f"health    {stack.api.base}/api/health")
    print(f"Azure     {stack.arm_url} (simulated; what was asked of it: GET /_sim/journal)")
    print(f"storage   {stack.storage.connection_string}")
    print(f"log       {stack.host.log}")
    print("\nStart a run, and follow the href of the answer:\n")
    print(f"  curl -si {stack.api.base}/api/runs -H 'Content-Type: application/json' -d '{body}'\n")
    print("Ctrl-C ends it all.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
