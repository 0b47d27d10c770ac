"""`python -m local.prove`: is a recovery point worth what it is called? Many times, restored and checked."""

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from local.demo.command import UNAVAILABLE, enter_sandbox, perform
from local.guests.applications import APPLICATIONS, UnknownApplicationError, application_of
from local.prove.judging import failures
from local.prove.modes import UnknownModeError, check_modes
from local.prove.proving import Plan, plans, prove
from local.prove.report import table, why_broken, write_report
from local.prove.tries import Try
from local.world.capability import can_use_real_disks

_WIDE = 150  # columns of a log, which has no terminal's width
_NOT_PROVED = 1


def main(arguments: Sequence[str]) -> int:
    """Run the command line in private namespaces; its exit code: 0 proved, 1 not proved, 2 not tried."""
    options = _parser().parse_args(arguments)
    try:
        wanted = [application_of(name) for name in options.application or APPLICATIONS]
        check_modes(options.mode or (), wanted)
    except (UnknownApplicationError, UnknownModeError) as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    capability = can_use_real_disks()
    if not capability.ok:
        print(capability.reason, file=sys.stderr)
        return UNAVAILABLE
    enter_sandbox("local.prove", *arguments)
    left_out = {one.name: one.obstacle() for one in wanted if one.obstacle()}
    possible = [one for one in wanted if one.name not in left_out]
    return perform(lambda: _prove(plans(possible, options.tries, options.mode or ()), left_out))


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
