"""From a command line to a running agent: one agent per state folder, detached if wanted."""

import logging
import logging.handlers
import os
import signal
import sys
import time
from typing import Any, Optional, Tuple

from agent import config, deadman
from agent.config import Bootstrap, Settings
from agent.journal import AGENT_LOCK, Journal, UnsafeStateDir
from agent.linux import Linux
from agent.queues import InsecureUrl
from agent.runner import Agent
from agent.system import Clock, System

#: How long a start waits for the running agent to take its bootstrap (ms); longer than that takes to end.
_HAND_OVER_MS = 60_000
_PAUSE_S = 0.05

#: Size of the log at which it is begun anew; one older file is kept (bytes).
_LOG_BYTES = 256 * 1024


def run(detach: bool) -> int:  # noqa: FBT001 - a command line's switch
    """Run the agent with the bootstrap of the environment; returns the exit code."""
    try:
        text = config.take_bootstrap(os.environ)
        bootstrap = config.read_bootstrap(text)
        settings = config.read_settings(os.environ)
        journal = Journal(settings.state_dir)
    except (config.BadSetting, UnsafeStateDir, OSError) as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    dead_man = (*_own_command(), "dead-man", settings.state_dir)
    if detach and not _detach():
        return 0
    system, clock = Linux(), _clock()
    lock = _lock_or_hand_over(system, clock, journal, text)
    if lock is None:
        return 0
    _log_to(journal)
    return _serve(settings, bootstrap, journal, system, clock, dead_man)


def run_dead_man(state_dir: str) -> int:
    """Run a dead-man at the other end of stdin and stdout; returns the exit code."""
    return deadman.main(state_dir, Linux(), _clock())


def _serve(
    settings: Settings,
    bootstrap: Bootstrap,
    journal: Journal,
    system: System,
    clock: Clock,
    dead_man: Tuple[str, ...],
) -> int:
    try:
        agent = Agent(settings, bootstrap, journal, system, clock, dict(os.environ), dead_man)
    except InsecureUrl as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2

    def stop(_number: int, _frame: Any) -> None:
        agent.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    agent.run()
    return 0


def _lock_or_hand_over(system: System, clock: Clock, journal: Journal, text: str) -> Optional[int]:
    """Become the agent of this state; or leave the bootstrap to the one that runs, and return None.

    The running one may be about to end: so this waits until the bootstrap was taken or the lock is free.
    """
    lock = system.try_lock(journal.file(AGENT_LOCK))
    if lock is not None:
        return lock
    left = journal.hand_over(text)
    deadline = clock.monotonic() + _HAND_OVER_MS
    while clock.monotonic() < deadline and os.path.exists(left):
        lock = system.try_lock(journal.file(AGENT_LOCK))
        if lock is not None:
            break
        time.sleep(_PAUSE_S)
    if lock is None:
        return None
    if os.path.exists(left):
        os.unlink(left)
        return lock
    os.close(lock)  # it was taken by the one that has just ended: by its last act, as its inbox comes last
    return None


def _detach() -> bool:
    """Become a daemon: no terminal, no parent, no streams. False in the process that is to end."""
    if os.fork():
        return False
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    return True


def _own_command() -> Tuple[str, ...]:
    """Say how this very program was started: as a zipapp, or from its folder (with -m, there)."""
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == "__main__.py":
        return (sys.executable, "-m", "agent")
    return (sys.executable, program)


def _clock() -> Clock:
    return Clock(lambda: int(time.monotonic() * 1000), lambda: int(time.time() * 1000))


def _log_to(journal: Journal) -> None:
    """Log to the state's folder only: a terminal or a journal may lie behind a frozen filesystem."""
    handler = logging.handlers.RotatingFileHandler(
        journal.file("agent.log"), maxBytes=_LOG_BYTES, backupCount=1
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("stillframe")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
