"""The agent's end of its handlers: their processes, from connecting to letting go."""

import json
import subprocess
import threading
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

from agent import holder, records
from agent.handlers import HandlerFailed, known
from agent.holder import Failed, LetGo, LetGone, Prepare, Prepared, Quiet, Quieten
from agent.holds import HoldLog, marks_of
from agent.journal import Journal
from agent.moves import HandlerLost, HandlersFailed, HandlersHeld, HandlersReleased, Input
from agent.orders import HandlerSpec, Quiesce
from agent.records import HANDLER, Hold, NotHeld, Warning_
from agent.system import Clock, System
from agent.undoing import Undoing
from agent.waiting import Condition

#: How much longer than its time a handler may take to say so (ms), before it is ended.
_GRACE_MS = 1_500
#: How much later than the freeze budget a handler lets go by itself (ms): the dead-man thaws first.
_AFTER_MS = 2_000


class Surroundings(NamedTuple):
    """What the handlers' processes are started with. ``command`` is the command line that starts one."""

    system: System
    clock: Clock
    journal: Journal
    environ: Mapping[str, str]
    command: Tuple[str, ...]


class Process:
    """One handler's process: what it was asked and what it said, to be waited for from any thread."""

    def __init__(self, around: Surroundings, prepare: Prepare, lost: Callable[["Process"], None]) -> None:
        self.spec = prepare.spec
        self.number = prepare.number
        self.quiet: Optional[Quiet] = None
        self.held_at: Optional[int] = None
        self._lost = lost
        self._changed = Condition()
        self._said: List[Any] = []
        self._ended = False
        self._let_go = False
        marked = marks_of(prepare.saga, prepare.generation, prepare.number)
        self._process = subprocess.Popen(
            list(around.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(around.environ, **marked),
            **around.system.apart(),
        )
        self.tell(prepare)
        threading.Thread(target=self._listen, name=self.spec.name, daemon=True).start()

    def tell(self, order: Any) -> None:
        """Send it an order; its death is told otherwise."""
        assert self._process.stdin is not None
        with self._changed:
            self._let_go = self._let_go or isinstance(order, LetGo)
        try:
            self._process.stdin.write(holder.line(order))
            self._process.stdin.flush()
        except (OSError, ValueError):
            return

    def answer(self, kind: type, timeout_ms: int) -> Any:
        """Wait for an event of ``kind``, or for a failure; None if it ended, or said nothing in time."""

        def said() -> Any:
            return next((e for e in self._said if isinstance(e, (kind, Failed))), None)

        with self._changed:
            self._changed.wait_for(lambda: self._ended or said() is not None, timeout_ms / 1000.0)
            return said()

    def close(self) -> None:
        """Let it end: its control ends."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            return

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for text in holder.lines(self._process.stdout):
            event = records.from_json(json.loads(text.decode("ascii")), holder.EVENT_TYPES)
            with self._changed:
                self._said.append(event)
                self.quiet = event if isinstance(event, Quiet) else self.quiet
                self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._ended = True
            gone = any(isinstance(e, LetGone) for e in self._said)
            lost = self.quiet is not None and not gone and not self._let_go
            self._changed.notify_all()
        if lost:
            self._lost(self)


class Holders:
    """The handlers of one generation. Every method may take its time: call it in a thread."""

    def __init__(
        self,
        around: Surroundings,
        saga: str,
        generation: int,
        deadline: int,
        hear: Callable[[Input], None],
    ) -> None:
        self._around = around
        self._saga = saga
        self._generation = generation
        self._deadline = deadline + _AFTER_MS
        self._hear = hear
        self._processes: List[Process] = []
        self._detected = False
        self._not_held: List[NotHeld] = []
        self._warnings: List[Warning_] = []
        self._log = HoldLog(around.journal, saga, generation)
        self._undoing = Undoing(around.system, around.clock, around.journal, around.environ, saga, generation)

    def prepare(self, plan: Quiesce) -> None:
        """Connect every handler; nothing is held.

        Raises:
            HandlerFailed: one that is required could not hold its application.
        """
        self._detected = plan.detect
        specs = known.detected(self._around.environ) if plan.detect else plan.handlers
        started = [self._start(i, spec, plan.quiesce_timeout_ms) for i, spec in enumerate(specs)]
        self._processes = list(started)
        for process in started:
            said = process.answer(Prepared, plan.quiesce_timeout_ms)
            if isinstance(said, Prepared):
                self._warnings.extend(said.warnings)
            else:
                self._leave(process, _failure(said))

    def hold(self, timeout_ms: int) -> Input:
        """Make the applications hold still, one after the other."""
        deadline = self._around.clock.monotonic() + timeout_ms
        held: List[Hold] = []
        for process in list(self._processes):
            begun = self._around.clock.monotonic()
            left = max(1, deadline - begun)
            process.tell(Quieten(left))
            said = process.answer(Quiet, left + _GRACE_MS)
            if isinstance(said, Quiet):
                process.held_at = self._around.clock.monotonic()
                held.append(said.hold._replace(took_ms=process.held_at - begun))
                self._warnings.extend(said.warnings)
                continue
            try:
                self._leave(process, _failure(said))
            except HandlerFailed as failure:
                return HandlersFailed(self._generation, failure.reason, failure.detail)
        return HandlersHeld(self._generation, tuple(held), tuple(self._not_held), tuple(self._warnings))

    def release(self) -> HandlersReleased:
        """Let the applications go on, the last one first; what a dead process left is undone."""
        self._log.close()
        held_ms = {}  # by the name of what was held
        for process in reversed(self._processes):
            process.tell(LetGo())
            process.answer(LetGone, known.resume_ms(process.spec.name))
            if process.quiet is not None and process.held_at is not None:
                held_ms[process.quiet.hold.name] = self._around.clock.monotonic() - process.held_at
        evidence, warnings = self._undoing.all()
        timed = tuple(each._replace(held_ms=held_ms.get(each.name)) for each in evidence)
        return HandlersReleased(self._generation, timed, warnings)

    def close(self) -> None:
        """End the processes; nothing is held any more."""
        self._log.close()
        for process in self._processes:
            process.close()

    def _start(self, index: int, spec: HandlerSpec, timeout_ms: int) -> Process:
        order = Prepare(self._saga, self._generation, index, spec, self._deadline, timeout_ms)
        return Process(self._around, order, self._on_lost)

    def _leave(self, process: Process, failure: HandlerFailed) -> None:
        """Go on without a handler that is not required; raises the failure of one that is."""
        spec = process.spec
        if spec.required:
            detail = "The handler {}: {}".format(spec.name, failure.detail)
            raise HandlerFailed("handler_" + failure.reason, detail)
        process.close()
        self._processes.remove(process)
        if self._detected and failure.reason == "absent":  # a trace of it was found, and it is another one
            return
        self._not_held.append(NotHeld(HANDLER, spec.name, failure.reason))
        told = Warning_(HANDLER, spec.name, "optional_handler_failed", failure.detail)
        self._warnings.append(told)

    def _on_lost(self, process: Process) -> None:
        """A process died that held its application: undo what it left, at once."""
        note = next((n for n in self._log.notes() if n.number == process.number), None)
        if note is not None:
            self._undoing.one(note)
        name = process.quiet.hold.name if process.quiet is not None else process.spec.name
        self._hear(HandlerLost(self._generation, name, "its process died"))


def _failure(said: Any) -> HandlerFailed:
    if isinstance(said, Failed):
        return HandlerFailed(said.reason, said.detail)
    return HandlerFailed("timed_out", "It gave no answer in time, or its process died.")
