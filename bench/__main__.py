"""`python -m bench [--sagas N]`: measures. The exit code says whether it could, never how fast it was."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from rich.console import Console

from bench import fan_out
from bench.accounting import count_many, count_single
from bench.machine import machine, machine_line
from bench.report import Measured, show, write
from bench.sagas import SagaFailedError
from bench.straight_line import FloorError
from bench.timing import time_sagas
from local.azurite import AzuriteUnavailableError
from local.stack.app_host import HostDidNotStartError
from local.stack.stack import real_disks
from local.stack.waiting import TooSlowError
from local.world.capability import can_use_real_disks
from local.world.sandbox import enclosed, is_inside

_NOT_MEASURED = 1
_UNAVAILABLE = 2
_INTERRUPTED = 130

#: Columns of the tables where no terminal says how wide it is.
_WIDTH = 118


def main(arguments: Sequence[str]) -> int:
    """Measure, in private namespaces where the machine allows them; the exit code."""
    options = _parser().parse_args(arguments)
    if can_use_real_disks().ok and not is_inside():
        command = enclosed([sys.executable, "-m", "bench", *arguments])
        os.execv(command[0], command)
    try:
        asyncio.run(_until_stopped(options))
    except (SagaFailedError, FloorError, TooSlowError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return _NOT_MEASURED
    except (AzuriteUnavailableError, HostDidNotStartError) as error:
        print(error, file=sys.stderr)
        return _UNAVAILABLE
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: everything was thawed, stopped and removed", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--sagas", type=_count, default=20, help="measured sagas of each kind (default 20)")
    parser.add_argument("--warm-up", type=_count, default=2, help="sagas before those (default 2)")
    parser.add_argument("--vms", type=_count, default=20, help="VMs of the large runs (default 20)")
    parser.add_argument(
        "--fan-out", type=_count, metavar="VMS", help="instead: one run of so many VMs that have no guests"
    )
    parser.add_argument("--large-runs", type=int, default=2, help="how many large runs (default 2; 0: none)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


async def _until_stopped(options: argparse.Namespace) -> None:
    """Measure; a SIGTERM ends it in the same good order as Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await _measure(options)


async def _measure(options: argparse.Namespace) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    found = machine(real_disks=real_disks())
    console.print(machine_line(found))
    if options.fan_out:
        await _measure_fan_out(console, options.fan_out)
        return
    with console.status("starting") as status:
        progress = status.update if console.is_terminal else console.print
        samples = await time_sagas(options.sagas, warm_up=options.warm_up, progress=progress)
        single = await count_single(options.sagas, warm_up=options.warm_up, progress=progress)
        many = (
            await count_many(options.vms, options.large_runs, warm_up=1, progress=progress)
            if options.large_runs
            else []
        )
    measured = Measured(machine=found, samples=samples, single=single, many=many)
    console.print(f"load at the end: {machine(real_disks=real_disks())['load_1_5_15_min']}\n")
    show(console, measured)
    console.print(f"written to {write(measured)}")


async def _measure_fan_out(console: Console, vms: int) -> None:
    measured = await fan_out.measure(vms, progress=console.print)
    console.print(f"load at the end: {machine(real_disks=real_disks())['load_1_5_15_min']}\n")
    console.print(fan_out.table(measured))
    console.print("\n".join(fan_out.lines(measured)))
    console.print(f"written to {fan_out.write(measured)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
