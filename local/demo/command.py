"""What the demonstrations' commands have in common: the sandbox, good order at the end, exit codes."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from local.azurite import AzuriteUnavailableError
from local.stack.app_host import HostDidNotStartError
from local.world.sandbox import enclosed, is_inside

UNAVAILABLE = 2
_INTERRUPTED = 130


def enter_sandbox(module: str, *arguments: str) -> None:
    """Begin anew in private namespaces, unless this is there already."""
    if not is_inside():
        command = enclosed([sys.executable, "-m", module, *arguments])
        os.execv(command[0], command)


def perform(demonstrate: Callable[[], Awaitable[int]]) -> int:
    """Run a demonstration; its exit code, or that of Ctrl-C, or of something missing, which is said."""
    try:
        return asyncio.run(_until_stopped(demonstrate))
    except (AzuriteUnavailableError, HostDidNotStartError) as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return interrupted()


def interrupted() -> int:
    """Say what became of everything; the exit code."""
    print("interrupted: everything was thawed, stopped and removed", file=sys.stderr)
    return _INTERRUPTED


async def _until_stopped(demonstrate: Callable[[], Awaitable[int]]) -> int:
    """Demonstrate; a SIGTERM ends it in the same good order as Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await demonstrate()
