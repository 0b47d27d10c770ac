"""Running one script: bounded in time and output, and killed with all its processes.

The output (stdout and stderr together) is read always, so that no script blocks on a full pipe, and its head
and tail are kept. A process that outlives its script and keeps the pipe (a daemon that it started) is waited
for no longer than ``_DRAIN_S``. A time-out kills at once: a script that is half done must not do its other
half after the post-script.
"""

import os
import subprocess
import threading
from typing import IO, Callable, Dict, Mapping, Optional

from agent.orders import ScriptSpec
from agent.records import ScriptResult
from agent.system import Clock, ScriptUnusable, System

#: Bytes of the output that are kept of its head, and as many of its tail.
KEPT = 4096

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


class Output:
    """Keeps head and tail of what is read from a pipe, in a thread of its own."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._head = b""
        self._tail = b""
        self._dropped = 0
        self._lock = threading.Lock()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._drain, name="output", daemon=True)
        self._thread.start()

    def text(self, patience_s: float) -> str:
        """Give what came so far, after waiting up to ``patience_s`` for the end."""
        self._thread.join(patience_s)
        with self._lock:
            parts = [self._head]
            if self._dropped:
                parts.append("\n... {} bytes left out ...\n".format(self._dropped).encode("ascii"))
            parts.append(self._tail)
        return b"".join(parts).decode("utf-8", "replace")

    def _drain(self) -> None:
        while True:
            try:
                chunk = os.read(self._pipe.fileno(), 65536)
            except OSError:
                chunk = b""
            if not chunk:
                self._pipe.close()
                return
            with self._lock:
                self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        room = KEPT - len(self._head)
        self._head += chunk[:room]
        tail = self._tail + chunk[room:]
        self._dropped += max(0, len(tail) - KEPT)
        self._tail = tail[-KEPT:]


class Execution:
    """One script, from ``run`` to its result; ``kill`` may come from any thread at any time."""

    def __init__(self, system: System, clock: Clock, spec: ScriptSpec, marked: Mapping[str, str]) -> None:
        self._system = system
        self._clock = clock
        self._spec = spec
        self._marks = dict(marked)
        self._killed = threading.Event()
        self._over = threading.Event()

    def kill(self) -> None:
        """End the script, also one that has not been started yet."""
        self._killed.set()
        self._over.set()

    def run(self, environ: Mapping[str, str], timeout_ms: int, starting: Callable[[], None]) -> ScriptResult:
        """Run the script to its end, or for ``timeout_ms``; ``starting`` is called just before it starts."""
        spec = self._spec
        try:
            command = self._system.script_command(spec.path, spec.arguments)
        except ScriptUnusable as refusal:
            return _not_started(spec, refusal.reason, refusal.detail)
        if self._killed.is_set():
            return _not_started(spec, "script_killed", "It was called off before it started.")
        began = self._clock.monotonic()
        starting()
        try:
            process = self._system.start_script(command, environ, self._marks)
        except OSError as error:
            detail = "{}: {}.".format(spec.path, error.strerror or error)
            return _not_started(spec, "script_not_executable", detail)
        assert process.stdout is not None
        output = Output(process.stdout)
        threading.Thread(target=self._wait, args=(process,), name="script", daemon=True).start()
        in_time = self._over.wait(timeout_ms / 1000.0)
        if self._killed.is_set() or not in_time:
            self._system.kill_tree(process.pid, self._marks)
        exit_code = _exit_code(process)
        self._system.script_over(process)
        return ScriptResult(
            path=spec.path,
            started=True,
            exit_code=exit_code,
            timed_out=not in_time,
            duration_ms=self._clock.monotonic() - began,
            output=output.text(_DRAIN_S),
            reason=_reason(exit_code, in_time=in_time, killed=self._killed.is_set()),
        )

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        # A blocking wait in its own thread: Popen.wait(timeout) polls, with pauses of up to 50 ms.
        process.wait()
        self._over.set()


def _exit_code(process: "subprocess.Popen[bytes]") -> Optional[int]:
    """Give the exit code; minus the signal's number if one ended it, None if it cannot be ended at all."""
    try:
        return process.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        return None


def _reason(exit_code: Optional[int], *, in_time: bool, killed: bool) -> str:
    if not in_time:
        return "script_timed_out"
    if killed:
        return "script_killed"
    return "" if exit_code == 0 else "script_failed"


def _not_started(spec: ScriptSpec, reason: str, detail: str) -> ScriptResult:
    return ScriptResult(
        path=spec.path,
        started=False,
        exit_code=None,
        timed_out=False,
        duration_ms=0,
        output=detail,
        reason=reason,
    )
