"""The Functions host, made to die at a named point of a saga's step, and to see another time of day.

`python -m tests.chaos.killing_host host start ...` runs the host as it is. In the folder that the setting
STILLFRAME_CHAOS names, two files change that:

    kill      JSON: at the ``nth`` time that the app comes to the ``point``, after ``after_ms`` more, SIGKILL
              to the whole of the host; the file is called `killed` then, so it happens once
    clock     the app's wall clock is ahead by the seconds in this file

The app itself knows nothing of it: its functions are wrapped from outside.
"""

import functools
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, cast

from local.functions_host import __main__ as functions_host
from local.functions_host.queues import Queue
from shared.engine import carrying_out
from shared.engine.grouping import Grouping
from shared.engine.loop import SagaLoop
from shared.saga.effects import Capture
from shared.storage.cache import CachedSagas

FOLDER = "STILLFRAME_CHAOS"
KILL, KILLED, CLOCK = "kill", "killed", "clock"

#: The points between the load of a saga and the deletion of the message that brought the event, in order.
LOADED = "loaded"
DECIDED = "decided, not saved"
SAVED = "saved"
BETWEEN_EFFECTS = "an effect carried out"
CAPTURING = "capturing"
CARRIED_OUT = "all effects carried out"
BEFORE_DELETE = "before the deletion"
AFTER_DELETE = "after the deletion"
GROUP_SAVED = "group saved"
GROUP_TOLD = "group told"
GROUP_POINTS = (GROUP_SAVED, GROUP_TOLD)
POINTS = (
    LOADED,
    DECIDED,
    SAVED,
    BETWEEN_EFFECTS,
    CAPTURING,
    CARRIED_OUT,
    BEFORE_DELETE,
    AFTER_DELETE,
)

type Step = Callable[..., Awaitable[Any]]


class Points:
    """Looks at each point whether this is where to die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passed: dict[str, int] = {}

    def at(self, point: str) -> None:
        """Come to a point."""
        try:
            plan = json.loads((self._folder / KILL).read_text())
        except FileNotFoundError:
            return
        if plan["point"] != point:
            return
        passed = self._passed[plan["id"]] = self._passed.get(plan["id"], 0) + 1
        if passed == plan["nth"]:
            threading.Timer(plan["after_ms"] / 1000, self._die).start() if plan["after_ms"] else self._die()

    def _die(self) -> None:
        (self._folder / KILL).rename(self._folder / KILLED)
        os.killpg(0, signal.SIGKILL)


def plant(points: Points) -> None:
    """Wrap what a step consists of."""
    owner: Any = CachedSagas
    owner.load = _with(owner.load, points, after=LOADED)
    owner = SagaLoop
    owner._write = _with(owner._write, points, before=DECIDED, after=SAVED)
    owner = carrying_out  # before the app is loaded, which takes the function from there
    owner.carry_out = _with(owner.carry_out, points, after=CARRIED_OUT)
    owner = Grouping
    owner._change = _with(owner._change, points, after=GROUP_SAVED)
    owner._tell = _with(owner._tell, points, after=GROUP_TOLD)
    owner = Queue
    owner.delete = _with(owner.delete, points, before=BEFORE_DELETE, after=AFTER_DELETE)
    handlers = cast("MutableMapping[type, Step]", carrying_out._HANDLERS)
    for effect, handler in list(handlers.items()):
        before = CAPTURING if effect is Capture else ""
        handlers[effect] = _with(handler, points, before=before, after=BETWEEN_EFFECTS)


def _with(step: Step, points: Points, *, before: str = "", after: str = "") -> Step:
    @functools.wraps(step)
    async def stepped(*given: Any, **named: Any) -> Any:
        if before:
            points.at(before)
        result = await step(*given, **named)
        if after:
            points.at(after)
        return result

    return stepped


def move_clock(file: Path) -> None:
    """Have the wall clock of the app go ahead, or back, by what is in the file at that moment."""
    now_ns = time.time_ns

    def moved_ns() -> int:
        try:
            return now_ns() + int(float(file.read_text()) * 1e9)
        except FileNotFoundError:
            return now_ns()

    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / 1e9


def main() -> int:
    """Run the host until it is stopped, or dies."""
    folder = Path(os.environ[FOLDER])
    plant(Points(folder))
    move_clock(folder / CLOCK)
    return functions_host.main(sys.argv[1:])


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # as the host itself ends
