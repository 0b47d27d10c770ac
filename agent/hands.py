"""Carries out what the session decides: the dead-man, the scripts, the agent's own thaw.

Nothing here waits: what takes time runs in a thread, and its outcome comes back through ``hear``.
"""

import threading
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from agent import deadman, link, moves, rescue, scripts, staging
from agent.applications import Applications
from agent.holders import Surroundings
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
from agent.orders import ALL, ScriptSpec
from agent.records import POST, PRE, ScriptResult
from agent.staging import Staging
from agent.system import Clock, MountChoice, MountUnusable, ScriptUnusable, System

#: How long the agent's own thaw waits for the last mount before it says what it has (s).
_THAW_S = 2.0


class Hands:
    """The session's hands. ``own`` is the command line of this very program."""

    def __init__(
        self,
        system: System,
        clock: Clock,
        journal: Journal,
        environ: Mapping[str, str],
        own: Tuple[str, ...],
        hear: Callable[[Input], None],
    ) -> None:
        self._system = system
        self._clock = clock
        self._journal = journal
        self._environ = environ
        self._dead_man = (*own, "dead-man", journal.path)
        self._hear = hear
        self._link: Optional[DeadManLink] = None
        self._saga = ""
        self._opened: Dict[str, int] = {}
        self._execution: Optional[scripts.Execution] = None
        self._arming: Optional[moves.ArmDeadMan] = None
        self._lock = threading.RLock()  # scripts are fetched, and the dead-man is then armed, in a thread
        holder = (*own, "hold", journal.path)
        self._applications = Applications(Surroundings(system, clock, journal, environ, holder), hear)
        self._doings: Dict[type, Callable[[Any], None]] = {
            moves.StartDeadMan: self._start_dead_man,
            moves.ArmDeadMan: self._arm_dead_man,
            moves.RunScript: self._run_script,
            moves.KillScript: self._kill_script,
            moves.Freeze: self._freeze,
            moves.Release: self._tell,
            moves.ExtendWatch: self._tell,
            moves.HoldHandlers: self._hold_applications,
            moves.CreateAnchor: self._hold_applications,
            moves.ThawOurselves: self._thaw_ourselves,
            moves.Disarm: self._disarm,
        }

    def do(self, action: Any) -> bool:
        """Carry out an action; False if it is not of the hands."""
        doing = self._doings.get(type(action))
        if doing is None:
            return self._applications.do(action)
        with self._lock:
            doing(action)
        return True

    def close(self, patience_s: float) -> None:
        """Let the dead-man end; nothing is held any more."""
        with self._lock:
            self._arming = None
            if self._link is not None:
                self._link.close(patience_s)
                self._link = None
            self._applications.close()
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
        self._saga, self._arming = action.saga, action
        self._close_mounts()
        if staging.needs_network(action.plan):
            threading.Thread(target=self._stage_and_arm, args=(action,), name="staging", daemon=True).start()
        else:
            self._stage_and_arm(action)

    def _stage_and_arm(self, action: moves.ArmDeadMan) -> None:
        """Get the scripts ready while nothing is held, then the dead-man, unless it was called off since."""

        def called_off() -> bool:
            return self._arming is not action

        stage = Staging(self._journal, self._system, self._clock, self._environ, called_off)
        try:
            stage.stage(action.saga, action.generation, action.plan)
        except (ScriptUnusable, OSError) as error:
            reason = error.reason if isinstance(error, ScriptUnusable) else "script_not_kept"
            self._hear(FreezeFailed(action.generation, reason, str(error)))
            return
        with self._lock:
            if called_off():
                staging.forget(self._journal, action.saga, action.generation)
            else:
                self._arm(action)

    def _arm(self, action: moves.ArmDeadMan) -> None:
        try:
            choice = MountChoice((), ())
            if action.plan.filesystems == ALL:
                choice = self._system.choose_mounts(self._environ, self._journal.path)
            frozen = choice.chosen if action.plan.anchor is None else ()
            for path in frozen:
                self._opened[path] = self._system.open_mount(path)
        except (MountUnusable, OSError) as error:
            self._hear(FreezeFailed(action.generation, "mount_unusable", str(error)))
            return
        if self._link is None:
            self._link = self._new_link()
        watch = deadman.Watch(
            action.saga,
            action.generation,
            action.deadline,
            frozen,
            choice.not_held,
            _without_content(action.plan.post_script),
        )

        def arm() -> None:
            with self._lock:
                if self._arming is action:
                    self._tell(watch)

        self._applications.prepare(action, choice, arm)

    def _run_script(self, action: moves.RunScript) -> None:
        hooks = Hooks(self._journal, self._system, self._clock, action.saga, action.generation)
        execution = None
        if action.phase == PRE:
            marked = scripts.marks(action.saga, action.generation, PRE)
            prepared = staging.load(self._journal, action.saga, action.generation, PRE)
            assert prepared is not None, "the dead-man is armed after the scripts are staged"
            execution = scripts.Execution(self._system, self._clock, prepared, marked)
        self._execution = execution

        def run() -> None:
            try:
                if execution is not None:
                    result = execution.run(self._environ, action.timeout_ms, starting=hooks.begin)
                else:
                    result = hooks.run_post(action.spec, self._environ)
            except Exception as error:  # the thread's edge: without an answer the session would wait for ever
                result = _broken(action, error)
            self._hear(ScriptEnded(action.generation, action.phase, result))

        threading.Thread(target=run, name=action.phase + "-script", daemon=True).start()

    def _kill_script(self, _action: moves.KillScript) -> None:
        if self._execution is not None:
            self._execution.kill()

    def _freeze(self, action: moves.Freeze) -> None:
        self._begin(action.generation)
        self._tell(action)

    def _hold_applications(self, action: Any) -> None:
        self._begin(action.generation)
        self._applications.do(action)

    def _begin(self, generation: int) -> None:
        """Note that a write may be held from now on."""
        Hooks(self._journal, self._system, self._clock, self._saga, generation).begin()

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
        self._applications.close()
        self._close_mounts()
        self._arming = None
        staging.forget_all(self._journal)

    def _close_mounts(self) -> None:
        for handle in self._opened.values():
            self._system.close_mount(handle)
        self._opened = {}


def _without_content(spec: Optional[ScriptSpec]) -> Optional[ScriptSpec]:
    """Spare the dead-man what was kept for it: it runs what was staged."""
    return None if spec is None else spec._replace(content="", url="")


def _broken(action: moves.RunScript, error: Exception) -> ScriptResult:
    return ScriptResult(
        path=action.spec.label,
        started=action.phase == POST,
        exit_code=None,
        timed_out=False,
        duration_ms=0,
        output="{}: {}".format(type(error).__name__, error),
        reason="script_error",
    )
