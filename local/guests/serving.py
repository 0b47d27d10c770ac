"""The application's side of its control socket, and its life from start to end."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from local.guests.service import (
    Application,
    Books,
    Clients,
    Gate,
    HoldTimeoutError,
    NothingWrittenError,
    ReleasedMeanwhileError,
    Status,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ServeOptions:
    """Where the books lie, where to listen, and how much load to make."""

    journal: Path
    accounts: Path
    receipts: Path | None
    socket: Path
    clients: int
    seed: str
    with_parent: bool  # end when standard input closes, so that nothing outlives whoever started this


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Answers hold, release and status, each connection in a thread of its own."""

    daemon_threads = True

    def __init__(self, path: Path, application: Application) -> None:
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


def _answer(application: Application, command: str, timeout_s: float) -> dict[str, object]:
    try:
        status = _carry_out(application, command, timeout_s)
    except (HoldTimeoutError, ReleasedMeanwhileError, NothingWrittenError, KeyError, OSError) as error:
        return {"ok": False, "reason": str(error)}
    return {"ok": True, **asdict(status)}


def _carry_out(application: Application, command: str, timeout_s: float) -> Status:
    match command:
        case "hold":
            return application.hold(timeout_s)
        case "release":
            return application.release(timeout_s)
        case "status":
            return application.status()
        case _:
            raise KeyError(command)


def serve(options: ServeOptions) -> int:
    """Run the ledger until SIGTERM or SIGINT (0), or until a disk fails (1).

    The control socket appears only once the books are open and the clients work: whoever finds it can
    hold the application, and before that nobody can believe to have done so.
    """
    ended = threading.Event()
    failures: list[OSError] = []

    def fail(error: OSError) -> None:
        failures.append(error)
        ended.set()

    gate = Gate()
    books = Books(options.journal, options.accounts, options.receipts, options.clients)
    clients = Clients(books, gate, count=options.clients, seed=options.seed, on_failure=fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    if options.with_parent:
        threading.Thread(target=_set_when_input_closes, args=(ended,), daemon=True).start()
    clients.start()
    with ControlServer(options.socket, Application(books, gate, clients)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended.wait()
        options.socket.unlink(missing_ok=True)
    for error in failures:
        print(f"ledger: {error}", file=sys.stderr)
    return 1 if failures else 0


def _set_when_input_closes(ended: threading.Event) -> None:
    # Not through sys.stdin: its lock would be held here when the interpreter ends.
    while os.read(0, 1024):
        pass
    ended.set()
