"""`python -m local.prove`: is a recovery point worth what it is called? Many times, restored and checked."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from local.azurite import AzuriteUnavailableError
from local.guests.applications import APPLICATIONS, UnknownApplicationError, application_of
from local.prove.judging import failures
from local.prove.proving import Plan, plans, prove
from local.prove.report import table, why_broken, write_report
from local.prove.tries import Try
from local.stack.app_host import HostDidNotStartError
from local.world.capability import can_use_real_disks
from local.world.guests import ApplicationStartError
from local.world.sandbox import enclosed, is_inside

_WIDE = 150  # columns of a log, which has no terminal's width
_NOT_PROVED = 1
_UNAVAILABLE = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run the command line in private namespaces; its exit code: 0 proved, 1 not proved, 2 not tried."""
    options = _parser().parse_args(arguments)
    capability = can_use_real_disks()
    if not capability.ok:
        print(capability.reason, file=sys.stderr)
        return _UNAVAILABLE
    if not is_inside():
        command = enclosed([sys.executable, "-m", "local.prove", *arguments])
        os.execv(command[0], command)
    try:
        wanted = [application_of(name) for name in options.application or APPLICATIONS]
        left_out = {one.name: one.obstacle() for one in wanted if one.obstacle()}
        possible = [one for one in wanted if one.name not in left_out]
        return asyncio.run(_until_stopped(plans(possible, options.tries, options.mode or ()), left_out))
    except (
        UnknownApplicationError,
        AzuriteUnavailableError,
        HostDidNotStartError,
        ApplicationStartError,
    ) as error:
        print(error, file=sys.stderr)
        return _UNAVAILABLE
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: everything was thawed, stopped and removed", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.prove", allow_abbrev=False)
    parser.add_argument("--tries", type=_count, default=20, help="tries in each mode (default 20)")
    parser.add_argument("--application", action="append", help="only this one; may be given again")
    parser.add_argument("--mode", action="append", help="only this one; may be given again")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1")
    return int(text)


async def _until_stopped(wanted: Sequence[Plan], left_out: dict[str, str]) -> int:
    """Prove; a SIGTERM ends it in the same good order as Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await _prove(wanted, left_out)


async def _prove(wanted: Sequence[Plan], left_out: dict[str, str]) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    began = time.monotonic()
    total = sum(len(plan.modes) * plan.tries for plan in wanted)
    made: list[Try] = []

    def tell(one: Try) -> None:
        made.append(one)
        write_report(made, left_out)  # what a long proof has shown is kept, however it ends
        verdict = "[green]whole[/]" if one.restored_ok else f"[red]broken[/]: {one.reason}"
        left = f"{len(made)}/{total}  {time.monotonic() - began:6.0f} s"
        console.print(f"{left}  {one.application:<11} {one.mode:<22} {one.grade or 'none':<12} {verdict}")

    await prove(wanted, tell)
    console.print(table(made))
    for sentence in why_broken(made):
        console.print(sentence, markup=False)
    wrong = list(failures(made, [mode for plan in wanted for mode in plan.modes]))
    for sentence in wrong:
        console.print(f"[red]{sentence}[/]")
    for name, reason in left_out.items():
        console.print(f"[yellow]not tried: {name}: {reason}[/]")
    console.print(
        f"{len(made)} tries in {time.monotonic() - began:.0f} s, written to {write_report(made, left_out)}"
    )
    return _NOT_PROVED if wrong or not made else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
