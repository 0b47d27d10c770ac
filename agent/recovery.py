"""What a start of the agent does first: let go of what an earlier one left held."""

import time
from typing import Mapping, Optional, Tuple

from agent import link, rescue, scripts, telling
from agent.anchoring import AnchorNote, delete_left
from agent.hooks import Hooks
from agent.journal import DEAD_MAN_LOCK, FreezeLog, Journal, Left
from agent.moves import AgentRestarted
from agent.records import BY_RESTART, PRE, Evidence
from agent.state import Attempt, State
from agent.system import Clock, System
from agent.undoing import Undoing

#: How long the earlier agent's dead-man has for its own release, before this is done without it (ms).
_DEAD_MAN_MS = 2_000
_THAW_S = 5.0
_PAUSE_S = 0.01


class Recovery:
    """Ends the generation that an earlier agent of the same state left unfinished."""

    def __init__(self, system: System, clock: Clock, journal: Journal, environ: Mapping[str, str]) -> None:
        self._system = system
        self._clock = clock
        self._journal = journal
        self._environ = environ

    def recover(self, state: State) -> AgentRestarted:
        """Let go of everything, in the order of a release; returns what the session must know."""
        attempt = state.attempt
        if attempt is None:
            return AgentRestarted(BY_RESTART, (), None)
        left = self._thawed(state.saga, attempt.generation)
        if attempt.pre_running:
            self._system.kill_tree(None, scripts.marks(state.saga, attempt.generation, PRE))
        undoing = Undoing(
            self._system, self._clock, self._journal, self._environ, state.saga, attempt.generation
        )
        handlers, _ = undoing.all()
        hooks = Hooks(self._journal, self._system, self._clock, state.saga, attempt.generation)
        post = attempt.plan.post_script
        result = None
        if post is not None and hooks.begun():
            result = hooks.run_post(post, self._environ)
        evidence = (*handlers, *left.evidence, *self._anchor(state, attempt))
        return AgentRestarted(left.released_by, evidence, result)

    def _anchor(self, state: State, attempt: Attempt) -> Tuple[Evidence, ...]:
        """Delete the anchor, if one was begun."""
        gone = delete_left(AnchorNote(self._journal, state.saga, attempt.generation))
        if attempt.anchored is None:
            return ()
        kind, detail = telling.kind_of(attempt), "It was deleted without the order."
        return tuple(
            Evidence(kind, name, whole=False, released=gone, detail=detail) for name in attempt.anchored.names
        )

    def _thawed(self, saga: str, generation: int) -> Left:
        """See everything thawed: by the earlier dead-man, which has noticed by itself, or by us."""
        deadline = self._clock.monotonic() + _DEAD_MAN_MS
        left = self._left(saga, generation)
        while left is None and not self._dead_man_gone() and self._clock.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            left = self._left(saga, generation)
        if left is None:
            left = self._left(saga, generation)  # its last act before it went
        if left is not None and all(e.released for e in left.evidence):
            return left
        frozen: Tuple[Tuple[str, str], ...] = tuple(FreezeLog(self._journal).read(saga, generation))
        evidence = rescue.thaw_left(self._system, list(frozen), {}, self._dead_man_gone, _THAW_S)
        return Left(saga, generation, BY_RESTART, evidence)

    def _left(self, saga: str, generation: int) -> Optional[Left]:
        return self._journal.load_left(saga, generation)

    def _dead_man_gone(self) -> bool:
        return link.none_left(lambda: self._system.try_lock(self._journal.file(DEAD_MAN_LOCK)))
