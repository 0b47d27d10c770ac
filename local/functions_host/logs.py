"""One line per event on stderr: time, level, function, invocation id, message."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import azure_functions_runtime

HOST_LOGGER = "functions_host"

# host.json `logging.logLevel` in the words of .NET.
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}


def configure_logging(
    *,
    default_level: str,
    verbose: bool,
    function_of: Callable[[str], str | None],
    stream: TextIO = sys.stderr,
) -> logging.Logger:
    """Send all logging to `stream` and return the host's own logger.

    `default_level` is host.json's; `verbose` also shows the start and end of each function. `function_of`
    names the function of a running invocation.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(function_of))
    logging.basicConfig(
        level=_LEVELS.get(default_level.lower(), logging.INFO), handlers=[handler], force=True
    )
    # The runtime tells each invocation and the SDK each request at INFO: noise beside the host's own lines.
    logging.getLogger("azure").setLevel(logging.WARNING)
    host = logging.getLogger(HOST_LOGGER)
    host.setLevel(logging.DEBUG if verbose else logging.INFO)
    return host


class LineFormatter(logging.Formatter):
    """Writes where a record comes from: the host's own name it, a function's are found by its invocation."""

    def __init__(self, function_of: Callable[[str], str | None]) -> None:
        super().__init__()
        self._function_of = function_of

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the stack trace if there is one."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        invocation = getattr(record, "invocation", None) or azure_functions_runtime.invocation_id_cv.get()
        function = getattr(record, "function", None)
        if function is None and invocation is not None:
            function = self._function_of(invocation)
        line = f"{time} {record.levelname:<7} {function or 'host'} {invocation or '-'} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
