"""How a command ends: exit codes for scripts (docs/cli.md), and one class per cause."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """Exit codes; they do not change."""

    WELL = 0
    UNEXPECTED = 1
    """Wrong usage of the command line, or a defect."""

    REFUSED = 2
    """The API refused the request: wrong input, no such thing, or a conflict."""

    FAILED = 3
    """A run that was watched has VMs that failed or were cancelled; health is not well."""

    WARNED = 4
    """A run that was watched has degraded VMs, or a group without one instant; with ``--strict`` warnings."""

    UNREACHABLE = 5
    """The API does not answer, or it took longer than ``--timeout``."""

    NOT_ALLOWED = 6
    """No key, or none that opens this."""

    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""


class CliError(Exception):
    """Ends a command with ``code``. ``hint`` says what can be done about it."""

    code = Code.UNEXPECTED

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class BadUsage(CliError):
    """Arguments, a file or the configuration are not what the command needs."""


class Refused(CliError):
    """The API answered with a problem (RFC 9457)."""

    code = Code.REFUSED

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.field = str(problem.get("field") or "")
        title, detail = str(problem.get("title") or ""), str(problem.get("detail") or "")
        if self.field and detail.startswith(f"{self.field}: "):
            detail = detail.removeprefix(f"{self.field}: ")
        said = detail or title or f"the API answered {status}"
        super().__init__(f"{self.field}: {said}" if self.field else said)


class Broken(CliError):
    """The API answered with a defect, or with something that is no answer of Stillframe's."""


class Unreachable(CliError):
    """The API does not answer, or asks for patience: for ``retry_after_s`` seconds, if it says so."""

    code = Code.UNREACHABLE

    def __init__(self, sentence: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class TooLong(CliError):
    """What was waited for did not come in time."""

    code = Code.UNREACHABLE


class NotAllowed(CliError):
    """No key, or none that opens this function."""

    code = Code.NOT_ALLOWED
