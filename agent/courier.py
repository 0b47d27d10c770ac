"""Carries messages between the queues and the agent, in two threads, so that no queue can stop the agent."""

import random
import threading
import time
from typing import Callable, Dict, List

from agent.listing import Message
from agent.queues import Queue, QueueRefused, QueueUnreachable
from agent.waiting import Condition, Flag

#: For how long a received command is invisible (s). Short: with a lost answer the command is lost as long.
VISIBILITY_S = 5
#: How long one request may take (s).
TIMEOUT_S = 3.0

_BATCH = 32
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0


class Pause:
    """The pauses between attempts: doubled up to ``longest_s``, each drawn between half and whole."""

    def __init__(self, longest_s: float) -> None:
        self._next_s = _FIRST_PAUSE_S
        self._longest_s = longest_s

    def next_s(self) -> float:
        """Give the next pause (s)."""
        pause = self._next_s
        self._next_s = min(pause * 2, self._longest_s)
        return pause * random.uniform(0.5, 1.0)


class Collector:
    """Brings messages from the command queue to ``deliver``, and deletes those that are done with."""

    def __init__(
        self,
        queue: Queue,
        interval_s: Callable[[], float],
        deliver: Callable[[Message], None],
        report: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._interval_s = interval_s
        self._deliver = deliver
        self._report = report
        self._done: List[Message] = []
        self._open = 0  # delivered, and neither done with nor left in the queue yet
        self._changed = Condition()
        self._woken = False
        self._hurried = False
        self._stopped = False
        self._ended = Flag()

    def start(self) -> None:
        """Begin to collect."""
        threading.Thread(target=self._run, name="collector", daemon=True).start()

    def done(self, message: Message) -> None:
        """Have a message deleted."""
        with self._changed:
            self._done.append(message)
            self._open = max(0, self._open - 1)  # it may be an earlier collector's
            self._wake()

    def leave(self) -> None:
        """Leave a delivered message in its queue: it comes again."""
        with self._changed:
            self._open = max(0, self._open - 1)  # it may be an earlier collector's

    def hurry(self) -> None:
        """Look at the queue now: the pauses have become shorter."""
        with self._changed:
            self._hurried = True
            self._wake()

    def stop(self, patience_s: float) -> None:
        """End, after the deletions that are due."""
        with self._changed:
            self._stopped = True
            self._wake()
        self._ended.wait(patience_s)

    def _wake(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            self._collect()
        finally:
            self._ended.set()

    def _collect(self) -> None:
        pause = Pause(_LONGEST_PAUSE_S)
        rest_s = 0.0
        while not self._stopped:
            began = time.monotonic()
            with self._changed:
                woken = self._changed.wait_for(lambda: self._woken, rest_s)
                self._woken = False
            rest_s = max(0.0, rest_s - (time.monotonic() - began))
            due = not woken or self._hurried
            try:
                self._delete()
                if due and self._open > 0:  # what is fetched faster than it is read would come twice
                    rest_s = _FIRST_PAUSE_S
                elif due:
                    self._hurried = False
                    rest_s = 0.0 if self._receive() == _BATCH else self._interval_s()
                    pause = Pause(_LONGEST_PAUSE_S)
            except (QueueUnreachable, QueueRefused) as error:
                self._report(str(error))
                rest_s = max(pause.next_s(), self._interval_s() if self._idle() else 0.0)
        try:
            self._delete()
        except (QueueUnreachable, QueueRefused) as error:
            self._report(str(error))

    def _idle(self) -> bool:
        """While nothing is armed an unreachable queue is asked no more often than one that answers."""
        return self._interval_s() > _LONGEST_PAUSE_S

    def _receive(self) -> int:
        messages = self._queue.receive(_BATCH, VISIBILITY_S)
        with self._changed:
            self._open += len(messages)
        for message in messages:
            self._deliver(message)
        return len(messages)

    def _delete(self) -> None:
        """Delete what is done with; what fails comes again, and is answered as a repetition."""
        with self._changed:
            due, self._done = self._done, []
        for message in due:
            self._queue.delete(message)


class Sender:
    """Adds acks to the ack queue, each until the queue has confirmed it; ``sent`` is told its sequence.

    An ack whose confirmation was lost is added again; its sequence tells the app.
    """

    def __init__(self, queue: Queue, sent: Callable[[str], None], report: Callable[[str], None]) -> None:
        self._queue = queue
        self._sent = sent
        self._report = report
        self._waiting: Dict[str, str] = {}
        self._changed = Condition()
        self._stopped = False

    def start(self) -> None:
        """Begin to send."""
        threading.Thread(target=self._run, name="sender", daemon=True).start()

    def send(self, name: str, text: str) -> None:
        """Send ``text``, known as ``name``; once if it is on its way already."""
        with self._changed:
            self._waiting.setdefault(name, text)
            self._changed.notify_all()

    def stop(self, patience_s: float) -> bool:
        """End once all is sent, at the latest after ``patience_s``; False if something was not sent."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._waiting, patience_s)
            self._stopped = True
            self._changed.notify_all()
        return done

    def _run(self) -> None:
        pause = Pause(_LONGEST_PAUSE_S)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                name, text = next(iter(self._waiting.items()))
            try:
                self._queue.put(text)
            except (QueueUnreachable, QueueRefused) as error:
                self._report(str(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, pause.next_s())
                continue
            pause = Pause(_LONGEST_PAUSE_S)
            self._sent(name)
            with self._changed:
                self._waiting.pop(name, None)
                self._changed.notify_all()
