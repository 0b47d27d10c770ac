"""The command line: its options, its commands, and how it ends."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import httpx
import typer
from typer.exceptions import TyperException

from cli import (
    looking_commands,
    point_commands,
    policy_commands,
    rebuild_command,
    restore_command,
    run_commands,
    starting,
)
from cli.config import Given, Output
from cli.errors import BadUsage, CliError, Code
from cli.session import Session

_HELP = """Transactionally consistent snapshots of running Azure VMs.

The app is found by --url or STILLFRAME_URL, its key by STILLFRAME_KEY, or both in a profile of
~/.config/stillframe/config.toml.

Exit codes: 0 well, 1 usage or defect, 2 refused, 3 failed, 4 degraded or warned,
5 not reachable or too long, 6 no key that opens this, 130 interrupted.
"""

#: Options that may stand anywhere: those that take a value, and those that take none.
_ANYWHERE = ("--url", "--key", "--profile", "--output", "-o")
_FLAGS_ANYWHERE = ("--no-color", "--quiet", "-q")

cli = typer.Typer(
    name="stillframe",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
cli.add_typer(policy_commands.commands, name="policy")
cli.add_typer(run_commands.commands, name="run")
cli.add_typer(point_commands.commands, name="points")
cli.command("preflight")(looking_commands.preflight)
cli.command(
    "rehearse", help="Hold applications as a backup would, without a snapshot, and say how long that takes."
)(starting.command(starting.REHEARSAL, starting.WatchingOrNot, watched=True))
cli.command("restore")(restore_command.restore)
cli.command("rebuild-index")(rebuild_command.rebuild_index)
cli.command("health")(looking_commands.health)


@cli.callback()
def options(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="Where the app is, as https://NAME.azurewebsites.net.")] = "",
    key: Annotated[
        str, typer.Option(help="A function key. Better in STILLFRAME_KEY: others see command lines.")
    ] = "",
    profile: Annotated[str, typer.Option(help="A profile of the configuration.")] = "",
    output: Annotated[
        Output | None, typer.Option("--output", "-o", help="For people, or as the API answers.")
    ] = None,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours (as with NO_COLOR in the environment).")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say results and errors only.")] = False,
) -> None:
    """Take the options that every command has."""
    session = context.obj
    assert isinstance(session, Session)
    session.given = Given(url=url, key=key, profile=profile, output=output)
    session.color = False if no_color else None
    session.quiet = quiet


def main(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    transport: httpx.BaseTransport | None = None,
) -> int:
    """Run a command; give its exit code. ``transport`` is for tests."""
    session = Session(environment=os.environ if environment is None else environment, transport=transport)
    try:
        ended = cli(args=general_first(arguments), prog_name="stillframe", obj=session, standalone_mode=False)
    except CliError as error:
        return _told(error)
    except typer.Abort:
        return int(Code.INTERRUPTED)
    except typer.Exit as ending:
        return int(ending.exit_code)
    except TyperException as error:  # wrong usage, which it shows with the command's own help
        shown = getattr(error, "show", None)
        if callable(shown):
            shown()
        else:
            typer.echo(f"error: {error.format_message()}", err=True)
        return int(Code.UNEXPECTED)
    except BrokenPipeError:  # whoever read the output has enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the interpreter's last flush
        return int(Code.WELL)
    return ended if isinstance(ended, int) else int(Code.WELL)


def _told(error: CliError) -> int:
    typer.echo(f"error: {error.sentence}", err=True)
    if error.hint:
        typer.echo(error.hint, err=True)
    elif isinstance(error, BadUsage):
        typer.echo("Try --help.", err=True)
    return int(error.code)


def general_first(arguments: Sequence[str]) -> list[str]:
    """Put the options that every command has before the command, wherever they were given."""
    general: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            return [*general, *rest, argument, *waiting]
        name, has_value, _ = argument.partition("=")
        if argument in _FLAGS_ANYWHERE or (has_value and name in _ANYWHERE):
            general.append(argument)
        elif argument in _ANYWHERE:
            general += [argument, *[value for value in [next(waiting, None)] if value is not None]]
        else:
            rest.append(argument)
    return [*general, *rest]
