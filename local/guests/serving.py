"""The application's side of its control socket, and its life from start to end."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from local.guests.load import HoldTimeoutError, NothingWrittenError, ReleasedMeanwhileError

if TYPE_CHECKING:
    from pathlib import Path

    from local.guests.load import Controlled, Status


class Life:
    """When an application ends: by SIGTERM or SIGINT, with whoever started it, or because a disk failed."""

    def __init__(self, *, with_parent: bool) -> None:
        """Begin to listen; `with_parent`: end when standard input closes, so that nothing is left behind."""
        self._ended = threading.Event()
        self._failures: list[OSError] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._ended.set())
        if with_parent:
            threading.Thread(target=self._end_when_input_closes, daemon=True).start()

    def fail(self, error: OSError) -> None:
        """End, because of this."""
        self._failures.append(error)
        self._ended.set()

    def wait(self) -> int:
        """Wait for the end; say why if it is a failure. Returns the exit code: 0, or 1 for a failure."""
        self._ended.wait()
        for error in self._failures:
            print(f"application: {error}", file=sys.stderr)
        return 1 if self._failures else 0

    def _end_when_input_closes(self) -> None:
        # Not through sys.stdin: its lock would be held here when the interpreter ends.
        while os.read(0, 1024):
            pass
        self._ended.set()


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Answers hold, release, pause, go-on and status, each connection in a thread of its own."""

    daemon_threads = True

    def __init__(self, path: Path, application: Controlled) -> None:
        """Listen at `path`, which appears only once connections are taken."""
        self.application = application
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        super().__init__(str(new), _Handler)
        new.rename(path)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return
        request = json.loads(line)
        application = cast("ControlServer", self.server).application
        was_held = application.status().held
        answer = _answer(application, request["command"], float(request["timeout_s"]))
        try:
            self.wfile.write(json.dumps(answer).encode() + b"\n")
        except OSError:
            # Whoever asked has given up and will report a failure: a hold nobody knows of must not stay.
            if request["command"] == "hold" and not was_held:
                application.let_go()


def _answer(application: Controlled, command: str, timeout_s: float) -> dict[str, object]:
    try:
        status = _carry_out(application, command, timeout_s)
    except (HoldTimeoutError, ReleasedMeanwhileError, NothingWrittenError, KeyError, OSError) as error:
        return {"ok": False, "reason": str(error)}
    return {"ok": True, **asdict(status)}


def _carry_out(application: Controlled, command: str, timeout_s: float) -> Status:
    match command:
        case "hold":
            return application.hold(timeout_s)
        case "release":
            return application.release(timeout_s)
        case "pause":
            return application.pause(timeout_s)
        case "go-on":
            return application.go_on(timeout_s)
        case "status":
            return application.status()
        case _:
            raise KeyError(command)


def serve(application: Controlled, socket: Path, life: Life) -> int:
    """Answer at the control socket until the application's end. Returns the exit code.

    Call it once the clients work: whoever finds the socket can hold the application, and before that nobody
    can believe to have done so.
    """
    with ControlServer(socket, application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        exit_code = life.wait()
        socket.unlink(missing_ok=True)
    return exit_code
