"""An agent on this machine itself, for what freezes nothing: it is told to freeze no filesystem at all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.agent.app_side import App, guest_file, until


class LocalAgent:
    """Starts of the agent on one state folder."""

    def __init__(self, pyz: str, folder: Path, python: str = sys.executable) -> None:
        self.state = folder / "state"
        self.enrolment = folder / "enrolment.json"
        self._pyz = pyz
        self._python = python
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, app: App, *switches: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start one; ``command`` is by default a fresh `arm`."""
        bootstrap = app.bootstrap(more)
        more["STILLFRAME_BOOTSTRAP"] = json.dumps(bootstrap)
        return self.run("run", *switches, more=more)

    def reside(self, enrolment: dict[str, Any], **more: str) -> subprocess.Popen[bytes]:
        """Start the resident agent, enrolled as said unless it is enrolled already."""
        path = self.enrolment
        if not path.exists():
            path.touch(0o600)
            path.write_text(json.dumps(enrolment))
        return self.run("run", "--resident", more=more)

    def run(
        self, *words: str, more: dict[str, str] | None = None, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the zipapp with these words on its command line."""
        environ = {
            **os.environ,
            "STILLFRAME_ENROLMENT": str(self.enrolment),
            "STILLFRAME_STATE_DIR": str(self.state),
            "STILLFRAME_POLL_MS": "50",
            "STILLFRAME_MOUNTS": "",
            "STILLFRAME_CONFIG": guest_file(self.state.parent),
            **(more or {}),
        }
        command = [self._python, self._pyz, *words]
        process = subprocess.Popen(command, env=environ, stdout=stdout, stderr=subprocess.PIPE)
        self._started.append(process)
        return process

    def counters(self) -> dict[str, int]:
        try:
            found: dict[str, int] = json.loads((self.state / "counters.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def log(self) -> str:
        return (self.state / "agent.log").read_text()

    def close(self) -> None:
        """Kill what still runs; a dead-man notices by itself, and holds its lock until it has ended."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        until(lambda: not self.living(), "the end of all processes")

    def living(self) -> list[int]:
        """Find the processes of this state folder."""
        mark = f"STILLFRAME_STATE_DIR={self.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found
