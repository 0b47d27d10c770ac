"""The agent's loop: messages and events in, the session's answer, actions out.

One thread decides. What it decided is in the journal before anything of it is done, and a command is deleted
from its queue only then: so a death at any point is followed by a repetition, which changes nothing.
"""

import collections
import logging
import sys
from typing import Deque, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

import agent
from agent import bodies, config, hooks, line, orders, session
from agent.config import Bootstrap, Settings
from agent.enrolment import Residence
from agent.hands import Hands
from agent.journal import Journal, Saved
from agent.listing import Message
from agent.mailbox import Mailbox
from agent.moves import (
    Action,
    CommandReceived,
    Defer,
    End,
    Input,
    Refuse,
    SendAck,
    StartDeadMan,
    Stopping,
    Tick,
)
from agent.records import Answer
from agent.recovery import Recovery
from agent.state import HELD, IDLE, State
from agent.system import Clock, System
from shared import protocol

#: How often the inbox is looked at (ms).
_LOOK_MS = 250
#: How long an agent that is not to stay waits for a session (ms).
_NO_SESSION_MS = 10 * 60 * 1000
#: How long the end waits for acks to be sent (s), and for the other threads.
_LAST_ACKS_S = 30.0
_PATIENCE_S = 5.0

_log = logging.getLogger("stillframe")


class Delivered(NamedTuple):
    """A message of the command queue, or a text that came otherwise."""

    text: str
    message: Optional[Message]


class Confirmed(NamedTuple):
    """An ack is in its queue."""

    name: str


class Agent:
    """One agent on one state folder, whose lock the caller holds.

    A resident one ends when its session has ended and another version was installed meanwhile: whoever
    started it starts that one.
    """

    def __init__(
        self,
        settings: Settings,
        bootstrap: Bootstrap,
        journal: Journal,
        system: System,
        clock: Clock,
        environ: Mapping[str, str],
        own: Tuple[str, ...],
        residence: Optional[Residence] = None,
    ) -> None:
        self._settings = settings
        self._bootstrap = bootstrap
        self._journal = journal
        self._system = system
        self._clock = clock
        self._environ = environ
        self._residence = residence
        self._boot_id = system.boot_id()
        self._state = State()
        self._unsent: Dict[str, Answer] = {}
        self._counters: Dict[str, int] = {}
        self._events = Mailbox()
        self._unread: Deque[Union[Input, Delivered, Confirmed]] = collections.deque()
        self._hands = Hands(system, clock, journal, environ, own, self._events.put)
        self._stop_asked = False
        self._over = False
        self._idle_since = clock.monotonic()
        self._handed: List[str] = []
        self._connect(bootstrap)

    def stop(self) -> None:
        """Ask the agent to let go and end; safe in a signal handler."""
        self._stop_asked = True

    def run(self) -> None:
        """Recover what was left, then serve until the session, or the agent, is to end."""
        self._recover()
        self._open_for_business()
        while not self._over:
            self._take(self._next_event())
            self._look_around()
        self._hands.close(_PATIENCE_S)
        self._collector.stop(_PATIENCE_S)
        if not self._sender.stop(_LAST_ACKS_S):
            _log.warning("ended with %d acks that no queue has taken", len(self._unsent))
        for event in self._rest():
            self._take(event)

    # --- events ---------------------------------------------------------------------------------

    def _next_event(self) -> Union[Input, Delivered, Confirmed]:
        if not self._unread:
            due = session.next_deadline(self._state)
            wait = _LOOK_MS if due is None else min(_LOOK_MS, max(0, due - self._clock.monotonic()))
            self._unread.extend(self._events.take(wait / 1000.0))
        return self._unread.popleft() if self._unread else Tick()

    def _rest(self) -> Iterator[Confirmed]:
        """Give the confirmations that came last; nothing else matters at the end."""
        self._unread.extend(self._events.take(0.0))
        while self._unread:
            event = self._unread.popleft()
            if isinstance(event, Confirmed):
                yield event

    def _take(self, event: Union[Input, Delivered, Confirmed]) -> None:
        if isinstance(event, Delivered):
            self._receive(event)
        elif isinstance(event, Confirmed):
            self._unsent.pop(event.name, None)
            self._save()
        else:
            self._react(event)

    def _look_around(self) -> None:
        """See to what comes from outside the queues: time, signals, other starts of the agent."""
        due = session.next_deadline(self._state)
        if due is not None and self._clock.monotonic() >= due:
            self._react(Tick())
        if self._stop_asked:
            self._stop_asked = False
            self._bootstrap = self._bootstrap._replace(stay=False)
            self._handed.clear()
            self._react(Stopping())
            return
        self._handed.extend(self._journal.handed_over())
        if self._handed and self._state.attempt is None:
            self._adopt(self._handed.pop(0))
        now = self._clock.monotonic()
        if self._state.phase != IDLE or self._bootstrap.stay:
            self._idle_since = now
        elif now - self._idle_since > _NO_SESSION_MS:
            self._over = True
        if self._residence and self._state.phase == IDLE and self._residence.superseded():
            _log.info("another version was installed: the system starts that one")
            self._over = True

    def _receive(self, delivered: Delivered) -> None:
        key = self._bootstrap.key
        try:
            command = protocol.decode_command(
                delivered.text,
                self._bootstrap.vm,
                lambda saga: protocol.session_key(key, saga),
                self._judging_time(),
            )
            order = orders.parse(command)
        except protocol.Rejected as rejected:
            self._count(rejected.reason, str(rejected))
            self._done(delivered)
            return
        offset = self._clock.wall() - self._clock.monotonic()
        _log.info("%s of generation %d, sequence %d", order.kind, order.generation, order.sequence)
        if not any(isinstance(a, Defer) for a in self._react(CommandReceived(order, offset))):
            self._done(delivered)
        elif delivered.message is not None:
            self._collector.leave()

    def _judging_time(self) -> int:
        """Give the time by which the expiry of commands is judged (ms since the epoch).

        A wall clock that is set while a session is under way must neither lose its `resume` nor bring back
        what had expired: so the session's time is that of its `arm`, carried on by the monotonic clock.
        """
        if self._state.phase == IDLE or not self._state.session_offset:  # or it began under an older version
            return self._clock.wall()
        return self._clock.monotonic() + self._state.session_offset

    def _done(self, delivered: Delivered) -> None:
        if delivered.message is not None:
            self._collector.done(delivered.message)

    # --- reactions ------------------------------------------------------------------------------

    def _react(self, given: Input) -> Tuple[Action, ...]:
        before = self._state
        self._state, actions = session.react(before, given, self._clock.monotonic())
        if self._state.phase != before.phase:
            _log.info("%s -> %s (%s)", before.phase, self._state.phase, type(given).__name__)
        for action in actions:
            if isinstance(action, SendAck):
                self._unsent[_name(action.answer)] = action.answer
        if self._state != before or actions:
            self._save()
        for action in actions:
            self._carry_out(action)
        return actions

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, StartDeadMan):  # a session begins: nothing is held
            hooks.forget_others(self._journal, self._state.saga)
            self._collector.hurry()
        if self._hands.do(action):
            return
        if isinstance(action, SendAck):
            self._send(action.answer)
        elif isinstance(action, Refuse):
            self._count(action.reason, "sequence {}".format(action.sequence))
        elif isinstance(action, End):
            _log.info("the session has ended")
            self._hands.close(_PATIENCE_S)
            self._handed.extend(self._journal.handed_over())
            self._over = not (self._bootstrap.stay or self._handed)

    def _send(self, answer: Answer) -> None:
        guest = bodies.Guest(
            vm=self._bootstrap.vm,
            boot_id=self._boot_id,
            system=self._system.name,
            python="{}.{}.{}".format(*sys.version_info[:3]),
            version=agent.VERSION,
            resident=self._residence is not None,
            key_version=self._bootstrap.key_version,
        )
        key = protocol.session_key(self._bootstrap.key, answer.saga)
        ack = bodies.ack(answer, guest, self._clock.wall())
        self._sender.send(_name(answer), protocol.encode_ack(ack, key))

    def _count(self, reason: str, detail: str) -> None:
        self._counters[reason] = self._counters.get(reason, 0) + 1
        self._journal.count(self._counters)
        _log.warning("refused a message: %s (%s)", reason, ascii(detail)[1:-1][:200])

    def _save(self) -> None:
        self._journal.save(Saved(self._boot_id, self._state, tuple(self._unsent.values())))

    # --- beginning ------------------------------------------------------------------------------

    def _recover(self) -> None:
        saved = self._journal.load(self._boot_id)
        if saved is None:
            return
        self._state = saved.state
        self._unsent = {_name(answer): answer for answer in saved.unsent}
        recovery = Recovery(self._system, self._clock, self._journal, self._environ)
        restarted = recovery.recover(self._state)
        _log.info("an earlier agent left phase %s", self._state.phase)
        self._react(restarted)

    def _open_for_business(self) -> None:
        """Send what was not confirmed, and begin to collect; the bootstrap's command is the first."""
        for answer in list(self._unsent.values()):
            self._send(answer)
        self._sender.start()
        self._collector.start()
        if self._bootstrap.command:
            self._receive(Delivered(self._bootstrap.command, None))

    def _connect(self, bootstrap: Bootstrap) -> None:
        self._bootstrap = bootstrap
        self._collector, self._sender = line.connect(
            bootstrap,
            line.Ends(
                self._interval_s,
                lambda message: self._events.put(Delivered(message.text, message)),
                lambda name: self._events.put(Confirmed(name)),
                _log.warning,
            ),
            self._settings.imds,
            self._clock.monotonic,
        )

    def _interval_s(self) -> float:
        if self._state.phase == IDLE:
            return self._settings.idle_poll_ms / 1000.0
        armed = self._settings.armed_poll_ms
        return (min(armed, config.HELD_POLL_MS) if self._state.phase == HELD else armed) / 1000.0

    def _adopt(self, text: str) -> None:
        """Take over the bootstrap of another start: its queues and key may be newer; and its command."""
        try:
            bootstrap = config.read_bootstrap(text)
        except config.BadSetting as error:
            _log.warning("a bootstrap was handed over that is no good: %s", error)
            return
        if bootstrap.vm.lower() != self._bootstrap.vm.lower():
            _log.warning("a bootstrap was handed over that is for another VM")
            return
        if self._residence is not None:
            bootstrap = self._residence.adopt(self._bootstrap, bootstrap)
        changed = bootstrap.lasting() != self._bootstrap.lasting()
        if changed:
            self._collector.stop(_PATIENCE_S)
            self._sender.stop(0.0)
            self._connect(bootstrap)
            self._open_for_business()
            return
        self._bootstrap = bootstrap
        if bootstrap.command:
            self._receive(Delivered(bootstrap.command, None))


def _name(answer: Answer) -> str:
    return "{}/{}".format(answer.saga, answer.sequence)
