"""Starts the agent as its zipapp does, with one fault planted: planted.py AGENT.PYZ run ...

What is planted is said by the environment, and stays in this process: the dead-man and the handlers'
processes are the zipapp's own. It runs under every Python that the agent is for.

    PLANTED_KILL="before Freeze"    SIGKILL to itself at the first move of this name: `undecided` (it is in
                                    no journal yet), `before` or `after` it is carried out

With the zipapp in PLANTED_PYZ, planted.py run ... plants it in the agent's other processes too:

    PLANTED_CLOCK=FILE              the wall clock is ahead by the seconds in this file; as in Pythons before
                                    3.11, the time-outs of locks and of joins run on it
    PLANTED_UNCHECKED=signature     commands are believed whatever their signature, or `expiry`
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional  # noqa: UP035 - it runs under 3.6


def kill_at(where: str) -> None:
    """Die at a move."""
    from agent import runner, session  # noqa: PLC0415 - only now the zipapp is on the path

    point, _, name = where.partition(" ")
    react, carry_out = session.react, runner.Agent._carry_out

    def reacted(state: Any, given: Any, now: int) -> Any:
        state, actions = react(state, given, now)
        if point == "undecided" and name in map(name_of, actions):
            die()
        return state, actions

    def carried_out(self: Any, action: Any) -> None:
        meant = name_of(action) == name
        if meant and point == "before":
            die()
        carry_out(self, action)
        if meant and point == "after":
            die()

    session.react = reacted
    runner.Agent._carry_out = carried_out  # type: ignore[method-assign]


def name_of(action: Any) -> str:
    """Name a move: scripts by their phase, acks by what they say."""
    words = [type(action).__name__]
    if words == ["SendAck"]:
        words.append(action.answer.kind)
    elif words in (["RunScript"], ["KillScript"]):
        words.append(action.phase)
    return " ".join(words)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def move_clock(path: str) -> None:
    """Have the wall clock go ahead, or back, by what is in the file at that moment."""
    real = time.time

    def moved() -> float:
        with Path(path).open() as file:
            return real() + float(file.read())

    time.time = moved
    allocate, join = threading.Lock, threading.Thread.join

    class WallLock:
        """A lock whose time-out is a point of the wall clock, as with sem_timedwait(3)."""

        def __init__(self) -> None:
            self._lock = allocate()
            self.release, self.locked = self._lock.release, self._lock.locked

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - as a lock's
            if not blocking or timeout <= 0:
                return self._lock.acquire(blocking, timeout)
            return by_wall_clock(timeout, lambda: self._lock.acquire(blocking=False))

        def __enter__(self) -> bool:
            return self._lock.acquire()

        def __exit__(self, *_error: object) -> None:
            self._lock.release()

    def joined(thread: threading.Thread, timeout: Optional[float] = None) -> None:  # noqa: UP045 - it runs under 3.6
        if timeout is None:
            join(thread)
        else:
            by_wall_clock(timeout, lambda: not thread.is_alive())

    planted: Any = threading
    planted.Lock = planted._allocate_lock = WallLock
    planted.Thread.join = joined


def by_wall_clock(timeout_s: float, done: Callable[[], bool]) -> bool:
    """Wait until it is done, or the wall clock shows that the time is over."""
    ends = time.time() + timeout_s
    while not done():
        if time.time() >= ends:
            return False
        time.sleep(0.005)
    return True


def leave_unchecked(what: str) -> None:
    """Believe commands that must not be believed."""
    from shared import protocol  # noqa: PLC0415 - only now the zipapp is on the path

    planted: Any = protocol
    if what == "signature":
        planted._verify = lambda _document, _domain, _key: None
    else:
        decode = protocol.decode_command
        planted.decode_command = lambda text, vm, key_of, _now: decode(text, vm, key_of, 0)


def main() -> int:
    if "PLANTED_PYZ" in os.environ:
        sys.path[0] = os.environ["PLANTED_PYZ"]
    else:
        sys.argv = sys.argv[1:]  # the zipapp and its words: from these it starts its other processes
        sys.path[0] = sys.argv[0]
    if "PLANTED_CLOCK" in os.environ:
        move_clock(os.environ["PLANTED_CLOCK"])
    if "PLANTED_KILL" in os.environ:
        kill_at(os.environ["PLANTED_KILL"])
    if "PLANTED_UNCHECKED" in os.environ:
        leave_unchecked(os.environ["PLANTED_UNCHECKED"])
    from agent import __main__ as agent  # noqa: PLC0415 - the same

    return agent.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
