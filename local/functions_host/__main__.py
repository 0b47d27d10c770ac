"""`python -m local.functions_host host start --verbose --port N`, run in a Functions app's folder.

The arguments are those of Azure Functions Core Tools (`func host start`), as far as they make sense here, so
that a suite written for `func` can be pointed at this host.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from local.functions_host import telemetry
from local.functions_host.functions import UnsupportedBindingError
from local.functions_host.host import Host, HostFailedError, HostOptions
from local.functions_host.invoker import RunningInvocations
from local.functions_host.logs import configure_logging
from local.functions_host.ncrontab import ScheduleError
from local.functions_host.routes import RouteError
from local.functions_host.settings import HostSettings, SettingsError, load_settings
from local.functions_host.worker import IndexingFailedError

# What the app's author can mend: told in words, without a stack trace of the host.
_APP_ERRORS = (SettingsError, UnsupportedBindingError, ScheduleError, RouteError, OSError)


def main(arguments: list[str]) -> int:
    """Run the host in the current folder until SIGTERM or SIGINT; the process's exit code."""
    parsed = _parse(arguments)
    try:
        settings = load_settings(Path.cwd(), os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    os.environ.update(settings.environment)
    if folder := os.environ.get(telemetry.FOLDER):
        telemetry.configure(Path(folder))
    options = HostOptions(
        port=parsed.port, enable_auth=parsed.enableAuth, drain_timeout_s=parsed.drainTimeout
    )
    return asyncio.run(_serve(settings, options, verbose=parsed.verbose))


async def _serve(settings: HostSettings, options: HostOptions, *, verbose: bool) -> int:
    running = RunningInvocations()
    log = configure_logging(default_level=settings.log_level, verbose=verbose, function_of=running.name_of)
    host = Host(settings, options, running, log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    try:
        await host.run()
    except IndexingFailedError as error:
        log.error("the app cannot be indexed: %s\n%s", error, error.stack_trace)  # noqa: TRY400 - the app's stack, not the host's
        return 1
    except HostFailedError:
        return 1  # told when it happened
    except _APP_ERRORS as error:
        log.error("%s", error)  # noqa: TRY400 - the message is made for the app's author
        return 1
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="func", description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="+", help="`host start`, or `start`")
    parser.add_argument("--port", "-p", type=int, default=7071, help="of the HTTP front; 0: any free one")
    parser.add_argument("--verbose", action="store_true", help="show the start and end of each function")
    parser.add_argument("--enableAuth", action="store_true", help="check access keys")
    parser.add_argument(
        "--drainTimeout", type=float, default=60.0, help="seconds to wait for running functions at the end"
    )
    parsed = parser.parse_args(arguments)
    if parsed.command not in (["host", "start"], ["start"]):
        parser.error(f"only `host start` is known, not `{' '.join(parsed.command)}`")
    return parsed


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: the interpreter would wait for the runtime's pool: for ever, if a function never returns.
    os._exit(code)
