"""A holder: one handler's process, from `agent.pyz hold`.

It holds the session with the application, and lets go by itself when its control ends (so the agent is dead),
when it is told to end, or when its deadline has passed. It reads orders from its control, one JSON record a
line, and answers with events.
"""

import json
import os
import sys
import threading
from typing import IO, Any, BinaryIO, Iterator, Mapping, NamedTuple, Optional, Tuple

from agent import orders, records
from agent.handlers import Handler, HandlerFailed, Undo, known
from agent.holds import HoldLog, Note, Outcome, marks_of
from agent.journal import Journal
from agent.mailbox import Mailbox
from agent.orders import HandlerSpec
from agent.records import HANDLER, Evidence, Hold, Warning_
from agent.system import Clock, System


class Prepare(NamedTuple):
    """Connect, and hold nothing yet. ``deadline`` is when to let go by oneself (ms, monotonic)."""

    saga: str
    generation: int
    number: int
    spec: HandlerSpec
    deadline: int
    timeout_ms: int


class Quieten(NamedTuple):
    """Make the application hold still."""

    timeout_ms: int


class LetGo(NamedTuple):
    """Prove that it was held, and let it go on; or call off what is under way."""


class Prepared(NamedTuple):
    """The application could be held."""

    warnings: Tuple[Warning_, ...]


class Quiet(NamedTuple):
    """The application holds still."""

    hold: Hold
    detail: str
    warnings: Tuple[Warning_, ...]


class Failed(NamedTuple):
    """The application does not hold still; ``released``: nothing of the attempt is left."""

    reason: str
    detail: str
    released: bool = True


class LetGone(NamedTuple):
    """The application goes on."""

    outcome: Outcome


CONTROL_TYPES = dict(records.types_of(orders), Prepare=Prepare, Quieten=Quieten, LetGo=LetGo)
EVENT_TYPES = dict(records.types_of(records), Outcome=Outcome)
EVENT_TYPES.update(Prepared=Prepared, Quiet=Quiet, Failed=Failed, LetGone=LetGone)

#: Why a hold ends, where the agent ordered it.
_ORDERED = "order"
_STOP = "stop"


class Holder:
    """One application's hold, from ``run`` until it is let go.

    The main thread makes the handler's calls; another one sees to what comes in, and calls off.
    """

    def __init__(
        self,
        system: System,
        clock: Clock,
        journal: Journal,
        environ: Mapping[str, str],
        control: BinaryIO,
        events: BinaryIO,
    ) -> None:
        self._system = system
        self._clock = clock
        self._environ = environ
        self._journal = journal
        self._control = control
        self._events = events
        self._incoming = Mailbox()
        self._orders = Mailbox()
        self._ending = ""
        self._held = False
        self._undo: Undo = {}

    def run(self) -> None:
        """Serve until there is nothing to hold any more."""
        prepare = records.from_json(json.loads(self._control.readline().decode("ascii")), CONTROL_TYPES)
        assert isinstance(prepare, Prepare)
        log = HoldLog(self._journal, prepare.saga, prepare.generation)
        try:
            self._system.bind(marks_of(prepare.saga, prepare.generation, prepare.number))
            handler = known.make(prepare.spec, self._environ)
        except HandlerFailed as failure:
            self._say(Failed(failure.reason, failure.detail))
            return
        except OSError as error:
            self._say(Failed("unbound", "Its process cannot be bound to its end: {}".format(error.strerror)))
            return
        self._listen(handler)
        try:
            self._serve(handler, log, prepare)
        finally:
            handler.close()

    def _serve(self, handler: Handler, log: HoldLog, prepare: Prepare) -> None:
        try:
            warnings = handler.preflight(prepare.timeout_ms)
        except HandlerFailed as failure:
            self._say(Failed(failure.reason, failure.detail))
            return
        self._say(Prepared(_warnings(prepare.spec.name, warnings)))
        order = self._next(prepare.deadline)
        if not isinstance(order, Quieten):
            return
        hold = self._quieten(handler, log, prepare, order)
        if hold is not None:
            self._next(prepare.deadline)
            self._let_go(handler, log, prepare, hold)

    # --- what comes in --------------------------------------------------------------------------

    def _listen(self, handler: Handler) -> None:
        self._system.on_stop(lambda: self._incoming.put(_STOP))
        threading.Thread(target=self._read, name="control", daemon=True).start()
        threading.Thread(target=self._sort, args=(handler,), name="orders", daemon=True).start()

    def _read(self) -> None:
        for text in lines(self._control):
            self._incoming.put(records.from_json(json.loads(text.decode("ascii")), CONTROL_TYPES))
        self._incoming.put(None)

    def _sort(self, handler: Handler) -> None:
        while True:
            for item in self._incoming.take(None):
                if isinstance(item, Quieten):
                    self._orders.put(item)
                    continue
                why = {_STOP: "it was told to end", None: "the agent ended"}.get(item, _ORDERED)
                self._ending = self._ending or why
                if not self._held:
                    handler.cancel()
                self._orders.put(LetGo())

    def _next(self, deadline: int) -> Any:
        """Wait for an order; that the deadline has passed is one too."""
        while not self._ending:
            left_ms = deadline - self._clock.monotonic()
            if left_ms <= 0:
                self._ending = "its time was spent"
                break
            for order in self._orders.take(left_ms / 1000.0):
                if isinstance(order, Quieten):
                    return order
        return LetGo()

    # --- holding and letting go -----------------------------------------------------------------

    def _quieten(self, handler: Handler, log: HoldLog, prepare: Prepare, order: Quieten) -> Optional[Hold]:
        own = self._system.identity(os.getpid())

        def write(name: str) -> None:
            log.note(Note(prepare.number, prepare.spec, own, name, tuple(sorted(self._undo.items()))))

        def note(undo: Undo) -> None:
            self._undo = dict(undo)
            write(prepare.spec.name)
            if log.closed() or self._ending:
                raise HandlerFailed("called_off", "It was called off.")

        try:
            note({})
            held = handler.quiesce(order.timeout_ms, note)
            write(held.name)
        except HandlerFailed as failure:
            self._give_up(handler, log, prepare, failure)
            return None
        self._held = True
        hold = Hold(HANDLER, held.name, held.mode)
        self._say(Quiet(hold, held.detail, _warnings(held.name, held.warnings)))
        return hold

    def _give_up(self, handler: Handler, log: HoldLog, prepare: Prepare, failure: HandlerFailed) -> None:
        handler.close()
        left = self._undone(prepare)
        detail = failure.detail if left is None else "{} {}".format(failure.detail, left)
        if left is None:
            evidence = Evidence(HANDLER, prepare.spec.name, whole=False, detail=detail)
            log.settle(prepare.number, Outcome(evidence))
        self._say(Failed(failure.reason, detail, released=left is None))

    def _undone(self, prepare: Prepare) -> Optional[str]:
        """Undo what was noted, if anything was; says what stands in the way."""
        if not self._undo:
            return None
        try:
            known.make(prepare.spec, self._environ).undo(self._undo)
        except HandlerFailed as failure:
            return "It could not be undone: {}".format(failure.detail)
        return None

    def _let_go(self, handler: Handler, log: HoldLog, prepare: Prepare, hold: Hold) -> None:
        left: Optional[str] = None
        try:
            proof = handler.resume()
            whole, detail = proof.whole, proof.detail
        except HandlerFailed as failure:
            whole, detail = False, failure.detail
            handler.close()
            left = self._undone(prepare)
        if left is not None:
            return  # whoever started this finds the note, and tries again
        if self._ending != _ORDERED:
            whole, detail = False, "Let go without the order: {}. {}".format(self._ending, detail).strip()
        wrong = handler.verify()
        warnings = (Warning_(HANDLER, hold.name, "probe_failed", wrong),) if wrong else ()
        outcome = Outcome(Evidence(HANDLER, hold.name, whole=whole, detail=detail), warnings)
        log.settle(prepare.number, outcome)
        self._say(LetGone(outcome))

    def _say(self, event: Any) -> None:
        try:
            self._events.write(line(event))
            self._events.flush()
        except OSError:  # the agent is dead; what matters is in the journal
            return


def main(state_dir: str, system: System, clock: Clock) -> int:
    """Run the handler that the agent at the other end of stdin and stdout names."""
    holder = Holder(system, clock, Journal(state_dir), dict(os.environ), sys.stdin.buffer, sys.stdout.buffer)
    holder.run()
    return 0


def lines(pipe: IO[bytes]) -> Iterator[bytes]:
    """Read lines until the other side has closed the pipe or died, which Windows may tell as an error."""
    while True:
        try:
            text = pipe.readline()
        except OSError:
            return
        if not text:
            return
        yield text


def line(record: Any) -> bytes:
    """Write one record for the control or for the events."""
    return (json.dumps(records.to_json(record)) + "\n").encode("ascii")


def _warnings(name: str, texts: Tuple[str, ...]) -> Tuple[Warning_, ...]:
    return tuple(Warning_(HANDLER, name, "handler", text) for text in texts)
