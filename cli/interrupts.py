"""Ctrl-C that is neither lost nor comes at a bad moment."""

import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Interrupts:
    """While this is entered, Ctrl-C ends a ``wait``, or the next one; a second one ends whatever goes on.

    Python raises KeyboardInterrupt wherever it is when the signal comes: in a finalizer, where it is printed
    and dropped, or between taking a lock of the HTTP client and noting that, which then can never be closed.
    """

    def __init__(self) -> None:
        self._pressed = False
        self._waiting = False
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> Self:
        if (
            signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):  # in the background of a script it is not for us
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def wait(self, seconds: float) -> None:
        """Sleep, unless Ctrl-C was pressed or is meanwhile.

        Raises:
            KeyboardInterrupt: it was.
        """
        self._waiting = True
        try:
            if self._pressed:
                raise KeyboardInterrupt
            time.sleep(seconds)
        finally:
            self._waiting = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        again, self._pressed = self._pressed, True
        if self._waiting or again:
            raise KeyboardInterrupt
