"""The process that makes straight-line passes, as seen from the bench."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bench.straight_line import FloorError, Pass
from local.stack.app_host import ROOT

LOOPBACK, STORAGE = "loopback", "storage"

_PASS_DEADLINE_S = 120.0
_END_S = 10.0


class Floor:
    """Makes one pass at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._passes = 0

    async def run(self, line: str, vm_id: str, guest: Mapping[str, Any]) -> Pass:
        """Make a pass over ``line``, LOOPBACK or STORAGE. ``guest`` is the body of the quiesce command.

        Raises:
            FloorError: it did not end as it should, or not within two minutes.
        """
        self._passes += 1
        session = f"floor-{os.getpid()}-{self._passes}"
        self._write({"line": line, "session": session, "vm_id": vm_id, "guest": dict(guest)})
        assert self._process.stdout is not None
        try:
            answer = await asyncio.wait_for(self._process.stdout.readline(), _PASS_DEADLINE_S)
        except TimeoutError:
            raise FloorError(f"no answer within {_PASS_DEADLINE_S:.0f} s") from None
        if not answer:
            raise FloorError("the process that makes the passes has ended")
        result = json.loads(answer)
        if "error" in result:
            raise FloorError(result["error"])
        return Pass(**result)

    def _write(self, document: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document).encode() + b"\n")


@contextlib.asynccontextmanager
async def floor(arm_url: str, connection_string: str) -> AsyncIterator[Floor]:
    """Start the process, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.floor_worker"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the bench, which then ends it in good order
    )
    assert process.stdin is not None
    process.stdin.write(
        json.dumps({"arm": arm_url, "storage": {"GuestStorage": connection_string}}).encode() + b"\n"
    )
    try:
        yield Floor(process)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            process.kill()
            await process.wait()
