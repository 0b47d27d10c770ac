"""The session's hands for applications: their handlers, and the anchor.

What takes time runs in a thread, and its outcome comes back through ``hear``.
"""

import threading
from typing import Any, Callable, Dict, Optional, Tuple

from agent import anchoring, moves
from agent.anchoring import AnchorNote
from agent.anchors import AnchorRefused, known
from agent.handlers import HandlerFailed
from agent.holders import Holders, Surroundings
from agent.moves import (
    AnchorCreated,
    AnchorDropped,
    AnchorFailed,
    ArmDeadMan,
    FreezeFailed,
    HandlersFailed,
    HandlersReleased,
    Input,
)
from agent.records import FILESYSTEM, Evidence, NotHeld
from agent.system import MountChoice


class Applications:
    """The handlers and the anchor of one generation after the other."""

    def __init__(self, around: Surroundings, hear: Callable[[Input], None]) -> None:
        self._around = around
        self._hear = hear
        self._saga = ""
        self._generation = 0
        self._holders: Optional[Holders] = None
        self._mounts = MountChoice((), ())
        self._doings: Dict[type, Callable[[Any], Input]] = {
            moves.HoldHandlers: self._hold,
            moves.ReleaseHandlers: self._release,
            moves.CreateAnchor: self._create_anchor,
            moves.DropAnchor: self._drop_anchor,
        }

    def do(self, action: Any) -> bool:
        """Carry out an action; False if it is not about applications."""
        doing = self._doings.get(type(action))
        if doing is None:
            return False
        self._in_thread(lambda: self._hear(doing(action)))
        return True

    def prepare(self, action: ArmDeadMan, mounts: MountChoice, then: Callable[[], None]) -> None:
        """Connect the plan's handlers and look at its anchor, then go on; a FreezeFailed if that fails."""
        self.close()
        self._saga, self._generation, self._mounts = action.saga, action.generation, mounts
        plan = action.plan
        if not (plan.handlers or plan.detect or plan.anchor):
            then()
            return
        holders = Holders(self._around, action.saga, action.generation, action.deadline, self._hear)
        self._holders = holders

        def run() -> None:
            try:
                holders.prepare(plan)
                if plan.anchor is not None:
                    anchor = known.make(plan.anchor.provider)
                    anchor.preflight(dict(plan.anchor.settings), self._around.environ)
            except (HandlerFailed, AnchorRefused) as failure:
                self._hear(FreezeFailed(action.generation, failure.reason, failure.detail))
                return
            if self._holders is holders:  # else the generation is over
                then()

        self._in_thread(run)

    def close(self) -> None:
        """End the handlers' processes; nothing is held any more."""
        if self._holders is not None:
            self._holders.close()
            self._holders = None

    def _in_thread(self, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name="applications", daemon=True).start()

    def _hold(self, action: moves.HoldHandlers) -> Input:
        if self._holders is None:
            return HandlersFailed(action.generation, "called_off", "The generation is over.")
        return self._holders.hold(action.timeout_ms)

    def _release(self, action: moves.ReleaseHandlers) -> Input:
        if self._holders is None:
            return HandlersReleased(action.generation, ())
        return self._holders.release()

    def _create_anchor(self, action: moves.CreateAnchor) -> Input:
        note = AnchorNote(self._around.journal, self._saga, action.generation)
        provider = action.spec.provider
        try:
            anchored = known.make(provider).create(
                dict(action.spec.settings),
                self._around.environ,
                action.timeout_ms,
                lambda identity: note.write(provider, identity),
            )
        except AnchorRefused as refusal:
            note.forget()
            return AnchorFailed(action.generation, refusal.reason, refusal.detail)
        left = tuple(p for p in self._mounts.chosen if p not in anchored.names)
        not_held = tuple(NotHeld(FILESYSTEM, path, "not_anchored") for path in left)
        return AnchorCreated(action.generation, anchored, not_held)

    def _drop_anchor(self, action: moves.DropAnchor) -> Input:
        note = AnchorNote(self._around.journal, self._saga, action.generation)
        evidence: Tuple[Evidence, ...] = anchoring.drop(note, action.anchored)
        return AnchorDropped(action.generation, evidence)
