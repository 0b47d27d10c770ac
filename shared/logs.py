r"""Log lines that say what they are about: run, saga, generation and step, in the text and as fields.

A line reads ``run=R saga=S generation=1 step=capturing: what is said``. The names come first, so that nothing
that a guest or Azure has said can pass for them, and control characters are written as ``\n`` and the like:
one line stays one. The same four are on the record (``extra``): by OpenTelemetry they arrive in Application
Insights as custom dimensions of their own, without it the text has them.

What a line is about follows from where it is logged, deep down too: whoever takes on a saga says so once.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any

#: What belongs to the app's own log: loggers of the SDK and the host stay as they are.
OWN = "stillframe"

FIELDS = ("run", "saga", "generation", "step")


@dataclass(frozen=True, slots=True)
class About:
    """What lines are about. A saga that nobody has looked at has ``generation`` 0 and ``step`` pending."""

    run: str = ""
    saga: str = ""
    generation: int = 0
    step: str = "pending"

    def fields(self) -> dict[str, str | int]:
        """Give what is known: nothing, the run, or all four."""
        if self.saga:
            return {
                "run": self.run,
                "saga": self.saga,
                "generation": self.generation,
                "step": self.step,
            }
        return {"run": self.run} if self.run else {}


_about: ContextVar[About] = ContextVar("stillframe_about")


@contextmanager
def about(what: About) -> Iterator[None]:
    """Have all lines of this block, and of tasks begun in it, say what they are about."""
    token = _about.set(what)
    try:
        yield
    finally:
        _about.reset(token)


def now_about(what: About) -> None:
    """Say what the lines are about from here on, inside a block of ``about``."""
    _about.set(what)


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines say what they are about."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, if anybody wants it; ``args`` are put into ``msg`` as elsewhere in logging."""
        if not self.isEnabledFor(level):
            return
        fields = _about.get(About()).fields()
        named = " ".join(f"{name}={_one_line(str(value))}" for name, value in fields.items())
        said = _one_line(str(msg) % args if args else str(msg))
        extra = {**fields, **_given(kwargs)}
        kwargs["extra"] = extra
        # One frame more than the caller's: this method stands between it and the logger.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        self.logger.log(level, "%s", f"{named}: {said}" if named else said, **kwargs)


def logger(name: str) -> Log:
    """Give the log of a part of the app, ``stillframe.<name>``."""
    return Log(logging.getLogger(f"{OWN}.{name}"))


class FailuresTold:
    """Has the log say what made a block fail, while it is known what it was about; it fails all the same.

    ``expected`` are errors that are no failure.
    """

    def __init__(self, log: Log, *expected: type[BaseException]) -> None:
        self._log = log
        self._expected = expected

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell what ended it."""
        if kind is not None and not issubclass(kind, self._expected):
            self._log.warning("its message failed: %s: %s", kind.__name__, error)


def _given(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    given = kwargs.get("extra")
    return given if isinstance(given, Mapping) else {}


def _one_line(text: str) -> str:
    """Write control characters as escapes: what others say must not look like a line of ours."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
