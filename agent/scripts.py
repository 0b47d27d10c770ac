"""Running one script: bounded in time and output, run again by its rules, killed with all its processes.

The output is read always and kept in bounds (``output.py``). A process that outlives its script and keeps the
pipe (a daemon that it started) is waited for no longer than ``_DRAIN_S``. A time-out kills at once: a script
that is half done must not do its other half after the post-script. For the same reason a run that failed is
followed by another only once nothing of it lives.
"""

import subprocess
import threading
from typing import Callable, Dict, Mapping, Optional

from agent import verdicts
from agent.orders import IGNORE, ScriptSpec
from agent.output import Output
from agent.records import ScriptResult
from agent.staging import Prepared
from agent.system import Clock, Command, ScriptUnusable, System
from agent.verdicts import Run
from agent.waiting import Flag

#: How long the output is still read after the script itself has ended (s).
_DRAIN_S = 0.2
#: How long a killed script may take to be gone (s).
_GONE_S = 3.0


def marks(saga: str, generation: int, phase: str) -> Dict[str, str]:
    """Name one execution in its environment; by these its processes are found again."""
    return {
        "STILLFRAME_SAGA": saga,
        "STILLFRAME_GENERATION": str(generation),
        "STILLFRAME_PHASE": phase,
    }


class Execution:
    """One script, from ``run`` to its result; ``kill`` may come from any thread at any time."""

    def __init__(self, system: System, clock: Clock, prepared: Prepared, marked: Mapping[str, str]) -> None:
        self._system = system
        self._clock = clock
        self._prepared = prepared
        self._spec = prepared.spec
        self._marks = dict(marked)
        self._killed = Flag()
        self._over = Flag()

    def kill(self) -> None:
        """End the script, also one that has not been started yet or waits to be run again."""
        self._killed.set()
        self._over.set()

    def run(self, environ: Mapping[str, str], total_ms: int, starting: Callable[[], None]) -> ScriptResult:
        """Run the script to its end, as often as its rules say, in ``total_ms`` altogether.

        ``starting`` is called just before each run.
        """
        spec = self._spec
        if self._prepared.missing:
            gone = not_started(spec, "", self._prepared.missing)
            return gone._replace(warnings=verdicts.missing(spec, self._prepared.missing))
        began = self._clock.monotonic()
        ends = began + total_ms
        attempt = 0
        while True:
            attempt += 1
            left = ends - self._clock.monotonic()
            last = attempt > spec.retries
            result = self._once(environ, max(1, min(spec.timeout_ms, left)), starting, last=last)
            spent = self._clock.monotonic() - began
            result = result._replace(attempts=attempt, duration_ms=spent if result.started else 0)
            if last or not result.started or not self._may_run_again(result, ends):
                return result

    def _may_run_again(self, result: ScriptResult, ends: int) -> bool:
        """Wait until the next run is due; False if there is to be none."""
        if result.reason not in verdicts.TRIED_AGAIN or result.exit_code is None:
            return False
        delay = self._spec.retry_delay_ms
        if self._clock.monotonic() + delay >= ends:
            return False
        return not self._killed.wait(delay / 1000.0)

    def _once(
        self, environ: Mapping[str, str], timeout_ms: int, starting: Callable[[], None], *, last: bool
    ) -> ScriptResult:
        spec = self._spec
        try:
            command = self._command()
        except ScriptUnusable as refusal:
            return not_started(spec, refusal.reason, refusal.detail)
        self._over = Flag()  # before the question: a kill sets the one it finds
        if self._killed.is_set():
            return not_started(spec, verdicts.KILLED, "It was called off before it started.")
        starting()
        try:
            process = self._system.start_script(
                command,
                dict(environ, **dict(spec.environment)),
                self._marks,
                user=self._prepared.user,
                lent=self._prepared.path if spec.sha256 else "",
                stderr_apart=spec.stderr != IGNORE,
            )
        except OSError as error:
            detail = "{}: {}.".format(spec.label, error.strerror or error)
            return not_started(spec, "script_not_executable", detail)
        return self._watch(process, timeout_ms, last=last)

    def _command(self) -> Command:
        path, arguments = self._prepared.path, self._spec.arguments
        if self._spec.sha256:
            return self._system.delivered_command(path, arguments)
        return self._system.script_command(path, arguments)

    def _watch(self, process: "subprocess.Popen[bytes]", timeout_ms: int, *, last: bool) -> ScriptResult:
        assert process.stdout is not None
        output, over = Output(process.stdout, process.stderr), self._over
        threading.Thread(target=_wait, args=(process, over), name="script", daemon=True).start()
        in_time = over.wait(timeout_ms / 1000.0)
        if self._killed.is_set() or not in_time:
            self._system.kill_tree(process.pid, self._marks)
        exit_code = _exit_code(process)
        output.wait(_DRAIN_S)
        verdict = verdicts.judge(
            self._spec, Run(exit_code, in_time, self._killed.is_set(), output.complaint())
        )
        if verdict.reason in verdicts.TRIED_AGAIN and not last:
            # What cannot be killed would work along with the next run: then there is none.
            exit_code = exit_code if self._system.kill_tree(process.pid, self._marks) else None
        self._system.script_over(process)
        return ScriptResult(
            path=self._spec.label,
            started=True,
            exit_code=exit_code,
            timed_out=not in_time,
            duration_ms=0,
            output=output.text(),
            reason=verdict.reason,
            warnings=verdict.warnings,
        )


def not_started(spec: ScriptSpec, reason: str, detail: str) -> ScriptResult:
    """Give the result of a script of which nothing ran."""
    return ScriptResult(
        path=spec.label,
        started=False,
        exit_code=None,
        timed_out=False,
        duration_ms=0,
        output=detail,
        reason=reason,
    )


def _wait(process: "subprocess.Popen[bytes]", over: Flag) -> None:
    # A blocking wait in its own thread: Popen.wait(timeout) polls, with pauses of up to 50 ms.
    process.wait()
    over.set()


def _exit_code(process: "subprocess.Popen[bytes]") -> Optional[int]:
    """Give the exit code; minus the signal's number if one ended it, None if it cannot be ended at all."""
    try:
        return process.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        return None
