"""Carries out what the session decides: the dead-man, the scripts, the agent's own thaw.

Nothing here waits: what takes time runs in a thread, and its outcome comes back through ``hear``.
"""

import threading
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from agent import deadman, link, moves, rescue, scripts
from agent.hooks import Hooks
from agent.journal import DEAD_MAN_LOCK, FreezeLog, Journal
from agent.link import DeadManLink
from agent.moves import (
    DeadManLost,
    DeadManReady,
    FilesystemsReleased,
    FreezeFailed,
    Input,
    ScriptEnded,
)
from agent.orders import ALL
from agent.records import POST, PRE, ScriptResult
from agent.system import Clock, MountChoice, MountUnusable, System

#: How long the agent's own thaw waits for the last mount before it says what it has (s).
_THAW_S = 2.0


class Hands:
    """The session's hands. ``dead_man`` is the command line that starts one."""

    def __init__(
        self,
        system: System,
        clock: Clock,
        journal: Journal,
        environ: Mapping[str, str],
        dead_man: Tuple[str, ...],
        hear: Callable[[Input], None],
    ) -> None:
        self._system = system
        self._clock = clock
        self._journal = journal
        self._environ = environ
        self._dead_man = dead_man
        self._hear = hear
        self._link: Optional[DeadManLink] = None
        self._saga = ""
        self._opened: Dict[str, int] = {}
        self._execution: Optional[scripts.Execution] = None
        self._doings: Dict[type, Callable[[Any], None]] = {
            moves.StartDeadMan: self._start_dead_man,
            moves.ArmDeadMan: self._arm_dead_man,
            moves.RunScript: self._run_script,
            moves.KillScript: self._kill_script,
            moves.Freeze: self._freeze,
            moves.Release: self._tell,
            moves.ThawOurselves: self._thaw_ourselves,
            moves.Disarm: self._disarm,
        }

    def do(self, action: Any) -> bool:
        """Carry out an action; False if it is not of the hands."""
        doing = self._doings.get(type(action))
        if doing is not None:
            doing(action)
        return doing is not None

    def close(self, patience_s: float) -> None:
        """Let the dead-man end; nothing is held any more."""
        if self._link is not None:
            self._link.close(patience_s)
            self._link = None
        self._close_mounts()

    def _start_dead_man(self, _action: moves.StartDeadMan) -> None:
        if self._link is None:
            self._link = self._new_link()
        elif self._link.ready:
            self._hear(DeadManReady(self._link.locked))

    def _new_link(self) -> DeadManLink:
        def hear(given: Input) -> None:
            if isinstance(given, DeadManLost) and self._link is fresh:
                self._link = None
            self._hear(given)

        fresh = DeadManLink(self._system, self._dead_man, self._environ, hear)
        return fresh

    def _arm_dead_man(self, action: moves.ArmDeadMan) -> None:
        self._saga = action.saga
        self._close_mounts()
        try:
            choice = MountChoice((), ())
            if action.plan.filesystems == ALL:
                choice = self._system.choose_mounts(self._environ, self._journal.path)
            for path in choice.chosen:
                self._opened[path] = self._system.open_mount(path)
        except (MountUnusable, OSError) as error:
            self._hear(FreezeFailed(action.generation, "mount_unusable", str(error)))
            return
        if self._link is None:
            self._link = self._new_link()
        self._link.tell(
            deadman.Watch(
                action.saga,
                action.generation,
                action.deadline,
                choice.chosen,
                choice.not_held,
                action.plan.post_script,
            )
        )

    def _run_script(self, action: moves.RunScript) -> None:
        hooks = Hooks(self._journal, self._system, self._clock, action.saga, action.generation)
        execution = None
        if action.phase == PRE:
            marked = scripts.marks(action.saga, action.generation, PRE)
            execution = scripts.Execution(self._system, self._clock, action.spec, marked)
        self._execution = execution

        def run() -> None:
            try:
                if execution is not None:
                    result = execution.run(self._environ, action.timeout_ms, starting=hooks.begin)
                else:
                    result = hooks.run_post(action.spec, self._environ, action.timeout_ms)
            except Exception as error:  # the thread's edge: without an answer the session would wait for ever
                result = _broken(action, error)
            self._hear(ScriptEnded(action.generation, action.phase, result))

        threading.Thread(target=run, name=action.phase + "-script", daemon=True).start()

    def _kill_script(self, _action: moves.KillScript) -> None:
        if self._execution is not None:
            self._execution.kill()

    def _freeze(self, action: moves.Freeze) -> None:
        Hooks(self._journal, self._system, self._clock, self._saga, action.generation).begin()
        self._tell(action)

    def _tell(self, action: Any) -> None:
        if self._link is not None:  # otherwise its end has been heard, or will be
            self._link.tell(action)

    def _thaw_ourselves(self, action: moves.ThawOurselves) -> None:
        if self._link is not None:
            self._link.kill()
            self._link = None
        left = FreezeLog(self._journal).read(self._saga, action.generation)
        opened = dict(self._opened)

        def thaw() -> None:
            evidence = rescue.thaw_left(self._system, left, opened, self._dead_man_gone, _THAW_S)
            self._hear(FilesystemsReleased(action.generation, evidence))

        threading.Thread(target=thaw, name="thaw", daemon=True).start()

    def _dead_man_gone(self) -> bool:
        return link.none_left(lambda: self._system.try_lock(self._journal.file(DEAD_MAN_LOCK)))

    def _disarm(self, action: moves.Disarm) -> None:
        self._tell(action)
        self._close_mounts()

    def _close_mounts(self) -> None:
        for handle in self._opened.values():
            self._system.close_mount(handle)
        self._opened = {}


def _broken(action: moves.RunScript, error: Exception) -> ScriptResult:
    return ScriptResult(
        path=action.spec.path,
        started=action.phase == POST,
        exit_code=None,
        timed_out=False,
        duration_ms=0,
        output="{}: {}".format(type(error).__name__, error),
        reason="script_error",
    )
