"""Letting go of what handlers hold, by whoever is alive: the agent, its dead-man, the agent's next start."""

import os
import signal
import time
from typing import Mapping, Optional, Tuple

from agent.handlers import HandlerFailed, known
from agent.holds import HoldLog, Note, Outcome, marks_of
from agent.journal import Journal
from agent.records import HANDLER, Evidence, Warning_
from agent.system import Clock, System

#: How long a handler's process that is alive may take to let go by itself (ms).
PATIENCE_MS = 3_000
#: How often undoing is tried, and the pause before the next time (s).
_TRIES = 3
_AGAIN_S = 0.5
_PAUSE_S = 0.01

_NOT_ORDERED = "It was let go without the order."


class Undoing:
    """Lets go of the holds of one generation, each once, the last one first."""

    def __init__(
        self,
        system: System,
        clock: Clock,
        journal: Journal,
        environ: Mapping[str, str],
        saga: str,
        generation: int,
    ) -> None:
        self._system = system
        self._clock = clock
        self._environ = environ
        self._saga = saga
        self._generation = generation
        self._log = HoldLog(journal, saga, generation)

    def all(self) -> Tuple[Tuple[Evidence, ...], Tuple[Warning_, ...]]:
        """Let go of everything that is noted; returns what each release showed, in the order of holding."""
        self._log.close()
        outcomes = [self.one(note) for note in reversed(self._log.notes())]
        outcomes.reverse()
        return tuple(o.evidence for o in outcomes), tuple(w for o in outcomes for w in o.warnings)

    def one(self, note: Note) -> Outcome:
        """Let go of one hold: by its own process if that is alive, else by undoing what it noted."""
        done = self._by_its_owner(note)
        while done is None:
            mine = self._log.once(note.number, self._system.try_lock)
            if mine is None:  # another one undoes it
                time.sleep(_PAUSE_S)
                done = self._log.outcome(note.number)
                continue
            try:
                done = self._log.outcome(note.number) or self._undo(note)
            finally:
                os.close(mine)
        return done

    def _by_its_owner(self, note: Note) -> Optional[Outcome]:
        done = self._log.outcome(note.number)
        pid = int(note.owner.partition(":")[0])
        deadline = self._clock.monotonic() + PATIENCE_MS
        asked = False
        while done is None and self._system.identity(pid) == note.owner:
            if self._clock.monotonic() >= deadline:
                break
            if not asked:
                _ask_to_end(pid)
                asked = True
            time.sleep(_PAUSE_S)
            done = self._log.outcome(note.number)
        return done or self._log.outcome(note.number)

    def _undo(self, note: Note) -> Outcome:
        self._system.kill_tree(None, marks_of(self._saga, self._generation, note.number))
        failure = ""
        for attempt in range(_TRIES):
            try:
                if note.undo:
                    known.make(note.spec, self._environ).undo(dict(note.undo))
                failure = ""
                break
            except HandlerFailed as error:
                failure = str(error)
                if attempt + 1 < _TRIES:
                    time.sleep(_AGAIN_S)
        detail = "It could not be undone: {}".format(failure) if failure else _NOT_ORDERED
        evidence = Evidence(HANDLER, note.name, whole=False, released=not failure, detail=detail)
        outcome = Outcome(evidence)
        if not failure:  # else the next one tries again
            self._log.settle(note.number, outcome)
        return outcome


def _ask_to_end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:  # it ended meanwhile
        return
