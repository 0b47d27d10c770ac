"""What the simulator needs of guests, and a backend that runs scripts on this machine."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

OUTPUT_LIMIT_BYTES = 4096
"""The tail of each stream that a managed run command returns ("Run scripts with managed Run Commands")."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class GuestResult:
    """How a script ended: its exit code (negative: killed by that signal), and the tails of its streams."""

    exit_code: int
    output: str
    error: str


class GuestBackend(Protocol):
    """Runs scripts in guests."""

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        """Run a script in a guest and wait for it. Being cancelled means: kill the script."""
        ...


class UnknownGuestError(Exception):
    """No environment was given for this VM."""

    def __init__(self, vm_name: str) -> None:
        super().__init__(f"no guest named {vm_name}")
        self.vm_name = vm_name


class LocalShell:
    """Runs a guest's scripts by sh on this machine, each in a session of its own.

    A script may leave children behind: they live on, and nobody waits for them, because the streams are
    files and not pipes. A cancelled run kills the script's process group.
    """

    def __init__(self, environments: Mapping[str, Mapping[str, str]]) -> None:
        """Take the environment of each VM by its name; nothing of this process's own is handed on."""
        self._environments = environments

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        """Run the script, raising `UnknownGuestError` for a VM without an environment."""
        if vm_name not in self._environments:
            raise UnknownGuestError(vm_name)
        merged = {"PATH": _DEFAULT_PATH, **self._environments[vm_name], **environment}
        with (
            tempfile.NamedTemporaryFile("w", suffix=".sh") as source,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as error,
        ):
            source.write(script)
            source.flush()
            exit_code = await _run_script(Path(source.name), merged, output, error)
            return GuestResult(exit_code, _tail(output), _tail(error))


async def _run_script(
    script: Path, environment: Mapping[str, str], output: IO[bytes], error: IO[bytes]
) -> int:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        str(script),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=error,
        env=environment,
        start_new_session=True,
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise


def _tail(stream: IO[bytes]) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - OUTPUT_LIMIT_BYTES))
    return stream.read().decode(errors="replace")
