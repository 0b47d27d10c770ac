"""Azurite, the storage emulator, as a child process on free ports.

It comes with ``npm ci`` (``package-lock.json`` pins 3.35.0: the last that runs on Node 18 and 20). With no
folder given everything stays in memory; in a folder it survives a normal stop, while a kill loses up to the
last 5 s (LokiJS, its store, saves every 5 s).
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Azurite's public development account; the same constants are in every storage SDK.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_EXECUTABLE = Path(__file__).resolve().parent.parent / "node_modules" / ".bin" / "azurite"
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at http://[^:]+:(\d+)")
_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.02


class AzuriteUnavailableError(Exception):
    """Azurite could not be started; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class AzuriteProcess:
    """A running Azurite. Ports are on 127.0.0.1."""

    process: subprocess.Popen[bytes]
    blob_port: int
    queue_port: int
    table_port: int

    @property
    def connection_string(self) -> str:
        """What ``AzureWebJobsStorage`` takes."""
        endpoints = (
            f"{service}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};"
            for service, port in (
                ("Blob", self.blob_port),
                ("Queue", self.queue_port),
                ("Table", self.table_port),
            )
        )
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        return account + "".join(endpoints)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); what was not yet written to its folder is lost."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(
    location: Path | None = None, *, blob: int = 0, queue: int = 0, table: int = 0
) -> Iterator[AzuriteProcess]:
    """Run Azurite for as long as the context lasts. Port 0 means any free one.

    On Linux it also dies with the thread that started it, so that a killed test run leaves nothing behind.

    Raises:
        AzuriteUnavailableError: Node or the package is missing, or it did not come up within 60 s.
    """
    command = _command(location, blob, queue, table)
    # A file, not a pipe: nobody reads on once it has started, and a full pipe would block it.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches whoever started it, who then ends it in good order
        )
        try:
            yield _started(process, output.fileno())
        finally:
            _stop(process)


def _command(location: Path | None, blob: int, queue: int, table: int) -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise AzuriteUnavailableError("Azurite needs Node.js 18 or newer on PATH")
    if not _EXECUTABLE.exists():
        raise AzuriteUnavailableError(f"Azurite is not installed: run `npm ci` in {_EXECUTABLE.parents[2]}")
    setpriv = shutil.which("setpriv")
    # --inMemoryPersistence together with --location is an error; the API versions of the SDKs are newer than
    # Azurite's; the keep-alives must outlive the SDKs' idle connections.
    storage = ["--inMemoryPersistence"] if location is None else ["--location", str(location)]
    return [
        *([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []),
        *(node, str(_EXECUTABLE), "--silent", "--disableTelemetry", "--skipApiVersionCheck", *storage),
        *("--blobPort", str(blob), "--queuePort", str(queue), "--tablePort", str(table)),
        *(
            "--blobKeepAliveTimeout",
            "120",
            "--queueKeepAliveTimeout",
            "120",
            "--tableKeepAliveTimeout",
            "120",
        ),
    ]


def _started(process: subprocess.Popen[bytes], output: int) -> AzuriteProcess:
    """Wait until all three services have said on which port they listen."""
    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        ended = process.poll() is not None
        said = os.pread(output, 65536, 0).decode(errors="replace")
        ports = {service: int(port) for service, port in _LISTENING.findall(said)}
        if len(ports) == 3:
            return AzuriteProcess(process, ports["Blob"], ports["Queue"], ports["Table"])
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        if ended:
            raise AzuriteUnavailableError(f"Azurite ended at once with code {process.returncode}: {last}")
        if time.monotonic() > deadline:
            raise AzuriteUnavailableError(f"Azurite did not come up within {_START_DEADLINE_S:.0f} s: {last}")
        time.sleep(_POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it in good order, so that a folder is written first; by force when it takes too long."""
    process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
