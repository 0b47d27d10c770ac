"""`python -m local.demo`: the main job, twice: without guest processing, and with it."""

import asyncio
import os
import signal
import sys

from local.azurite import AzuriteUnavailableError
from local.demo.script import demonstrate
from local.stack.app_host import HostDidNotStartError
from local.world.capability import can_use_real_disks
from local.world.sandbox import enclosed, is_inside

_UNAVAILABLE = 2
_INTERRUPTED = 130


def main() -> int:
    """Run the demonstration, in private namespaces where the machine allows them; its exit code."""
    capability = can_use_real_disks()
    if capability.ok and not is_inside():
        command = enclosed([sys.executable, "-m", "local.demo"])
        os.execv(command[0], command)
    try:
        return asyncio.run(_until_stopped(capability.reason))
    except (AzuriteUnavailableError, HostDidNotStartError) as error:
        print(error, file=sys.stderr)
        return _UNAVAILABLE
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: everything was thawed, stopped and removed", file=sys.stderr)
        return _INTERRUPTED


async def _until_stopped(why_no_disks: str) -> int:
    """Demonstrate; a SIGTERM ends it in the same good order as Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await demonstrate(why_no_disks)


if __name__ == "__main__":
    sys.exit(main())
