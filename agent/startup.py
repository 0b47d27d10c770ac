"""From a command line to a running agent: one agent per state folder, detached if wanted."""

import logging
import logging.handlers
import os
import sys
import time
from typing import Optional, Tuple

from agent import config, deadman, enrolment, holder, versions
from agent.anchors import AnchorRefused
from agent.config import Bootstrap, Settings
from agent.enrolment import Residence
from agent.journal import AGENT_LOCK, Journal, UnsafeStateDir
from agent.queues import InsecureUrl
from agent.runner import Agent
from agent.system import Clock, System

#: How long a start waits for the running agent to take its bootstrap (ms); longer than that takes to end.
_HAND_OVER_MS = 60_000
_PAUSE_S = 0.05
#: Between two looks whether the agent of a single session has ended (s).
_LONG_PAUSE_S = 1.0

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
    system = this_system()
    own = _own_command()
    again = dict(os.environ, **{config.BOOTSTRAP: text})
    if detach and not system.detach((*own, "run"), again):
        return 0
    clock = _clock(system)
    lock = _lock_or_hand_over(system, clock, journal, text)
    if lock is None:
        return 0
    _log_to(journal)
    return _serve(settings, bootstrap, journal, system, clock, own)


def stay() -> int:
    """Run the agent that is installed in this guest, by its enrolment; returns the exit code.

    One that was started for a single session is let finish first.
    """
    try:
        bootstrap = enrolment.load(os.environ)
        settings = config.read_settings(os.environ)
        journal = Journal(settings.state_dir)
    except (config.BadSetting, UnsafeStateDir, OSError) as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    system = this_system()
    clock = _clock(system)
    while system.try_lock(journal.file(AGENT_LOCK)) is None:
        time.sleep(_LONG_PAUSE_S)
    _log_to(journal)
    residence = Residence(dict(os.environ), versions.superseded(os.path.realpath(sys.argv[0])))
    return _serve(settings, bootstrap, journal, system, clock, _own_command(), residence)


def enrol() -> int:
    """Keep the bootstrap of the environment for the agent that is installed; returns the exit code."""
    try:
        bootstrap = config.read_bootstrap(config.take_bootstrap(os.environ))
        print("stillframe agent: {} written".format(enrolment.save(os.environ, bootstrap)))
    except (config.BadSetting, OSError) as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    return 0


def run_tidy() -> int:
    """Delete the anchors that outlived a reboot, unless an agent is at work; returns the exit code."""
    try:
        journal = Journal(config.read_settings(os.environ).state_dir)
    except (config.BadSetting, UnsafeStateDir, OSError) as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    system = this_system()
    lock = system.try_lock(journal.file(AGENT_LOCK))
    if lock is None:
        return 0  # it knows what it has made
    try:
        system.tidy()
    except AnchorRefused as refusal:
        print("stillframe agent: {}: {}".format(refusal.reason, refusal.detail), file=sys.stderr)
        return 1
    finally:
        os.close(lock)
    return 0


def run_dead_man(state_dir: str) -> int:
    """Run a dead-man at the other end of stdin and stdout; returns the exit code."""
    system = this_system()
    return deadman.main(state_dir, system, _clock(system))


def run_holder(state_dir: str) -> int:
    """Run a handler at the other end of stdin and stdout; returns the exit code."""
    system = this_system()
    return holder.main(state_dir, system, _clock(system))


def this_system() -> System:
    """Give the operating system that this runs on."""
    if sys.platform == "win32":
        from agent.windows import Windows  # noqa: PLC0415 - each exists on its own system only

        return Windows()
    else:  # noqa: RET505 - the type checker goes by it
        from agent.linux import Linux  # noqa: PLC0415 - the same

        return Linux()


def _serve(
    settings: Settings,
    bootstrap: Bootstrap,
    journal: Journal,
    system: System,
    clock: Clock,
    own: Tuple[str, ...],
    residence: Optional[Residence] = None,
) -> int:
    environ = dict(os.environ)
    try:
        agent = Agent(settings, bootstrap, journal, system, clock, environ, own, residence)
    except InsecureUrl as error:
        print("stillframe agent: {}".format(error), file=sys.stderr)
        return 2
    system.on_stop(agent.stop)
    with versions.in_use(os.path.realpath(sys.argv[0])):
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


def _own_command() -> Tuple[str, ...]:
    """Say how this very program was started: as a zipapp, or from its folder (with -m, there)."""
    program = os.path.realpath(sys.argv[0])  # not its link: another version may be installed meanwhile
    if os.path.basename(program) == "__main__.py":
        return (sys.executable, "-m", "agent")
    return (sys.executable, program)


def _clock(system: System) -> Clock:
    return Clock(system.monotonic_ms, lambda: int(time.time() * 1000))


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
