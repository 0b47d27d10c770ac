"""The app under the local Functions host, as a process that can be stopped, killed and started again."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from local.functions_host.keys import Keys

ROOT = Path(__file__).resolve().parents[2]

_LISTENING = re.compile(rb"Host started on http://127\.0\.0\.1:(\d+)")
_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0
_POLL_S = 0.02


class HostDidNotStartError(Exception):
    """The Functions host ended, or was not ready in time; ``log`` is the end of what it said."""

    def __init__(self, log: str) -> None:
        super().__init__(f"the Functions host did not start: {log or 'it said nothing'}")
        self.log = log


#: What Python is told to run; whatever stands for it takes the same arguments.
FUNCTIONS_HOST = ("-m", "local.functions_host")


class AppHost:
    """The Functions host over this repository's ``function_app.py``; its log goes to a file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        program: tuple[str, ...] = FUNCTIONS_HOST,
        keys: Keys | None = None,
    ) -> None:
        """Take the application settings; without ``keys`` everybody on this machine may call the app."""
        given = {} if keys is None else {"STILLFRAME_HOST_KEYS": keys.text()}
        self._own = dict(environment)
        self._environment = {**os.environ, **environment, **given, "PYTHONPATH": str(ROOT)}
        self._program = program
        self._keys = keys
        self._options = () if keys is None else ("--enableAuth",)
        self.log = log
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the app's HTTP API is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether the host was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    def another(self, log: Path) -> "AppHost":
        """Make a second host of the same app, not started yet: another instance of a scaled-out app."""
        return AppHost(self._own, log, program=self._program, keys=self._keys)

    async def start(self) -> None:
        """Start the host and wait until it is ready. After a kill it takes the same port again.

        Raises:
            HostDidNotStartError: with what it said.
        """
        with self.log.open("ab") as log:
            start = log.tell()
            self._process = await self._spawn(log)
        ends_at = asyncio.get_running_loop().time() + _START_DEADLINE_S
        while True:
            said = self._said_since(start)
            if found := _LISTENING.search(said):
                self._port = int(found[1])
                return
            if self._process.returncode is not None or asyncio.get_running_loop().time() > ends_at:
                raise HostDidNotStartError(said[-2000:].decode(errors="replace"))
            await asyncio.sleep(_POLL_S)

    def _said_since(self, start: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read()

    async def _spawn(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        command = ("host", "start", "--verbose", "--port", str(self._port))
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *self._program,
            *command,
            *self._options,
            cwd=ROOT,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    async def ended(self) -> None:
        """Wait until the host has ended, by itself or killed by somebody."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """End the host as a lost instance ends: at once, with whatever it was doing."""
        if self._process and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """Let the host finish what it does, then end it."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_DEADLINE_S)
        except TimeoutError:
            await self.kill()
