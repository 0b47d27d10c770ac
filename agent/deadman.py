"""The dead-man: a process of its own that lets everything go when the budget is spent or the agent is dead.

It freezes and thaws, so nothing stays frozen that it does not know of. It is started, has its memory locked
and every mount open before the first write is held. It runs on the monotonic clock and needs no network and
no disk: its control is a pipe (its end means that the agent died), its notes lie on a tmpfs.

It reads the session's actions from its control, one JSON record a line, and answers with its inputs.
"""

import json
import os
import queue
import threading
import time
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from agent import moves, orders, records, scripts
from agent.anchoring import AnchorNote, delete_left
from agent.freezer import STACK_BYTES, Freezer
from agent.hooks import Hooks
from agent.journal import DEAD_MAN_LOCK, FreezeLog, Journal, Left
from agent.mailbox import Mailbox
from agent.moves import (
    DeadManArmed,
    DeadManFired,
    DeadManReady,
    Disarm,
    ExtendWatch,
    FilesystemsHeld,
    FilesystemsReleased,
    Freeze,
    FreezeFailed,
    Input,
    Release,
    ScriptEnded,
)
from agent.orders import ScriptSpec
from agent.records import BY_DEAD_MAN, BY_ORDER, POST, PRE, Evidence, NotHeld
from agent.system import Clock, System
from agent.undoing import Undoing
from agent.waiting import Flag

#: How long a release waits for the last mount before it says what it has (s); less than the agent's patience.
PATIENCE_S = 1.5

#: How long it waits for a dead-man before it to be gone (ms).
_PREDECESSOR_MS = 5_000

#: How long its end waits for an agent that does not read (stopped, say) to take what it had to say (s).
_SAY_S = 0.5

#: What comes into the mailbox beside orders: news of a mount, and the end.
_NEWS, _STOP = "news", "stop"


class Watch(NamedTuple):
    """An order to watch one generation until ``deadline`` (ms, monotonic) and to have ``mounts`` open."""

    saga: str
    generation: int
    deadline: int
    mounts: Tuple[str, ...]
    not_held: Tuple[NotHeld, ...]
    post: Optional[ScriptSpec]


CONTROL_TYPES = dict(records.types_of(records), **records.types_of(orders))
CONTROL_TYPES.update(Watch=Watch, Freeze=Freeze, Release=Release, Disarm=Disarm, ExtendWatch=ExtendWatch)
EVENT_TYPES = dict(records.types_of(records), **records.types_of(moves))


def line(record: Any) -> bytes:
    """Write one record for the control or for the events."""
    return (json.dumps(records.to_json(record)) + "\n").encode("ascii")


class DeadMan:
    """Watches one generation after the other, from ``run`` until its control ends."""

    def __init__(
        self,
        system: System,
        clock: Clock,
        journal: Journal,
        environ: Mapping[str, str],
        turn: "Turn",
        control: int,
        events: int,
    ) -> None:
        self._turn = turn
        self._system = system
        self._clock = clock
        self._journal = journal
        self._environ = environ
        self._control = control
        self._events = events
        self._log = FreezeLog(journal)
        self._mailbox = Mailbox()
        self._said = Voice(events)
        self._locked = False
        self._stopped = False
        self._watch: Optional[Watch] = None
        self._freezer: Optional[Freezer] = None
        self._asked = False  # to freeze: so the pre-script has ended
        self._told = False  # how the freezing went
        self._released = False

    def run(self) -> None:
        """Watch until the agent has ended or this process is told to; then let everything go."""
        threading.stack_size(STACK_BYTES)
        self._system.on_stop(lambda: self._mailbox.put(_STOP))
        self._said.start()
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        self._locked = self._system.lock_memory()
        self._say(DeadManReady(self._locked))
        while not self._stopped:
            self._wait()
            self._look()
        self._fire()
        self._said.finish(_SAY_S)

    def _listen(self) -> None:
        """Bring orders to the mailbox, and at last the end of the control: the agent is dead, or done."""
        unread = b""
        while True:
            try:
                chunk = os.read(self._control, 65536)
            except OSError:  # on Windows the end of a pipe whose other side died
                chunk = b""
            if not chunk:
                self._mailbox.put(_STOP)
                return
            *lines, unread = (unread + chunk).split(b"\n")
            for text in lines:
                self._mailbox.put(records.from_json(json.loads(text.decode("ascii")), CONTROL_TYPES))

    def _wait(self) -> None:
        timeout_s = None
        if self._watch is not None and not self._released:
            timeout_s = max(0, self._watch.deadline - self._clock.monotonic()) / 1000.0
        for item in self._mailbox.take(timeout_s):
            if item == _STOP:
                self._stopped = True
            elif item != _NEWS:
                self._obey(item)

    def _look(self) -> None:
        """Tell how the freezing went, once; and act if the budget is spent."""
        watch, freezer = self._watch, self._freezer
        if watch is None or freezer is None or self._released:
            return
        if self._clock.monotonic() >= watch.deadline:
            self._fire()
            return
        outcome = freezer.outcome() if self._asked and not self._told else None
        if outcome is None:
            return
        self._told = True
        refusal, held, not_held = outcome
        if refusal is not None:
            self._say(FreezeFailed(watch.generation, refusal.reason, refusal.detail))
        else:
            self._say(FilesystemsHeld(watch.generation, held, not_held))

    def _obey(self, order: Any) -> None:
        if isinstance(order, Watch):
            self._begin(order)
        elif self._watch is None or order.generation != self._watch.generation:
            return
        elif isinstance(order, Freeze) and self._freezer is not None:
            self._asked = True
            self._freezer.freeze()
        elif isinstance(order, ExtendWatch):
            self._watch = self._watch._replace(deadline=order.deadline)
        elif isinstance(order, Release):
            self._say(FilesystemsReleased(order.generation, self._let_go(BY_ORDER)))
        elif isinstance(order, Disarm):
            self._end()

    def _begin(self, watch: Watch) -> None:
        self._log.start(watch.saga, watch.generation, watch.mounts)
        freezer = Freezer(self._system, self._log, self._notify, self._clock.monotonic)
        try:
            freezer.open(watch.mounts)
        except OSError as error:
            detail = "{}: {}".format(error.filename, error.strerror)
            self._say(FreezeFailed(watch.generation, "mount_unusable", detail))
            return
        self._watch, self._freezer = watch, freezer
        self._asked = self._told = self._released = False
        self._say(DeadManArmed(watch.generation, self._locked, watch.not_held))

    def _end(self) -> None:
        if self._freezer is not None:
            self._freezer.close()
        self._watch = self._freezer = None

    def _let_go(self, by: str) -> Tuple[Evidence, ...]:
        """Thaw; what the kernel answered is kept for an agent that comes later."""
        assert self._watch is not None
        assert self._freezer is not None
        self._released = True
        evidence = self._freezer.release(PATIENCE_S)
        self._journal.save_left(Left(self._watch.saga, self._watch.generation, by, evidence))
        return evidence

    def _fire(self) -> None:
        """Thaw, unless it was ordered before; then let go of the rest, in the same order as the agent would.

        The pre-script is ended, what handlers hold is let go, the post-script is run if it is owed, and the
        anchor is deleted.
        """
        watch = self._watch
        if watch is None:
            return
        if not self._released:
            self._say(DeadManFired(watch.generation, self._let_go(BY_DEAD_MAN)))
        if not self._asked:
            self._system.kill_tree(None, scripts.marks(watch.saga, watch.generation, PRE))
        Undoing(self._system, self._clock, self._journal, self._environ, watch.saga, watch.generation).all()
        hooks = Hooks(self._journal, self._system, self._clock, watch.saga, watch.generation)
        result = None
        if watch.post is not None and hooks.begun():
            result = hooks.run_post(watch.post, self._environ)
        self._delete_anchor(AnchorNote(self._journal, watch.saga, watch.generation))
        self._say(ScriptEnded(watch.generation, POST, result))
        self._end()

    def _delete_anchor(self, note: AnchorNote) -> None:
        """Delete it; nothing is held any more, so nobody need wait for this dead-man meanwhile."""
        if note.read() is None:
            return
        self._turn.leave()
        delete_left(note)
        if not self._stopped and not self._turn.take():
            self._stopped = True  # the agent died meanwhile, and its next start has a dead-man of its own

    def _notify(self) -> None:
        self._mailbox.put(_NEWS)

    def _say(self, event: Input) -> None:
        self._said.say(line(event))


class Turn:
    """The dead-man's lock: whoever has it may hold something still."""

    def __init__(self, system: System, path: str) -> None:
        self._system = system
        self._path = path
        self._handle: Optional[int] = None

    def take(self) -> bool:
        """Take it; False if another dead-man has it."""
        self._handle = self._system.try_lock(self._path)
        return self._handle is not None

    def leave(self) -> None:
        """Let the next one have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Voice:
    """Writes lines to a pipe in a thread of its own, so that a reader that does not read stops nobody."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lines: "queue.Queue[bytes]" = queue.Queue()
        self._silent = Flag()

    def start(self) -> None:
        """Begin to write."""
        threading.Thread(target=self._write, name="voice", daemon=True).start()

    def say(self, text: bytes) -> None:
        """Have a line written."""
        self._lines.put(text)

    def finish(self, patience_s: float) -> None:
        """Wait until all is written, or nobody reads, or for ``patience_s``."""
        self._lines.put(b"")
        self._silent.wait(patience_s)

    def _write(self) -> None:
        self._write_all()
        self._silent.set()

    def _write_all(self) -> None:
        while True:
            rest = self._lines.get()
            if not rest:
                return
            while rest:
                try:
                    rest = rest[os.write(self._pipe, rest) :]
                except OSError:
                    return  # the agent is dead; what matters is in the journal


def main(state_dir: str, system: System, clock: Clock) -> int:
    """Run the dead-man of the agent at the other end of stdin and stdout."""
    journal = Journal(state_dir)
    deadline = clock.monotonic() + _PREDECESSOR_MS
    turn = Turn(system, journal.file(DEAD_MAN_LOCK))
    while not turn.take():
        if clock.monotonic() >= deadline:
            return 1  # an earlier one is still letting go
        time.sleep(0.02)
    DeadMan(system, clock, journal, dict(os.environ), turn, 0, 1).run()
    return 0
