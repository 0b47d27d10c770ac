"""Real hosts over a real Azurite: each test's host gets a copy of the sample app and queues of its own."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.queue import QueueClient

from local import azurite

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE_APP = Path(__file__).parent / "sample_app"
QUEUE_FUNCTIONS = ("echo", "failing", "gated", "blocking", "threaded", "shapes")
OTHER_FUNCTIONS = ("tick", "startup", "hello", "unhello", "keyed", "mastered", "broken", "silent", "emit")
DEADLINE_S = 30.0


def eventually[Result](what: Callable[[], Result], deadline_s: float = DEADLINE_S) -> Result:
    """The first true value that `what` gives before the deadline."""
    end = time.monotonic() + deadline_s
    while not (result := what()):
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)
    return result


def open_queue(connection: str, name: str) -> QueueClient:
    client = QueueClient.from_connection_string(connection, name)
    with contextlib.suppress(ResourceExistsError):
        client.create_queue()
    return client


def send(queue: QueueClient, body: str) -> None:
    queue.send_message(base64.b64encode(body.encode()).decode())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes


@dataclass
class RunningHost:
    """A host process, its app's folder and its queues."""

    process: subprocess.Popen[bytes]
    folder: Path
    connection: str
    prefix: str
    url: str = ""
    _clients: dict[str, QueueClient] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return (self.folder / "stderr").read_text()

    def queue(self, name: str) -> QueueClient:
        full = f"{self.prefix}-{name}"
        if full not in self._clients:
            self._clients[full] = open_queue(self.connection, full)
        return self._clients[full]

    def send(self, name: str, body: str) -> None:
        send(self.queue(name), body)

    def texts(self, name: str) -> list[str]:
        """What is visible in the queue, still encoded."""
        return [message.content for message in self.queue(name).peek_messages(32)]

    def size(self, name: str) -> int:
        """How many messages the queue holds, hidden ones included."""
        return self.queue(name).get_queue_properties().approximate_message_count or 0

    def notes(self, function: str, event: str) -> list[dict[str, Any]]:
        path = self.folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [note for note in found if (note["function"], note["event"]) == (function, event)]

    def open_gate(self, gate: str) -> None:
        (self.folder / gate).touch()

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        request = urllib.request.Request(self.url + path, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def count(self, function: str) -> tuple[int, int]:
        """Invocations and failures, as the host counts them."""
        counters = json.loads(self.call("GET", "/admin/local/invocations").body)["functions"][function]
        return counters["count"], counters["failures"]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the host and wait for it; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


StartHost = Callable[..., RunningHost]


@pytest.fixture(scope="session")
def storage() -> Iterator[str]:
    """The connection string of an Azurite for this session."""
    with contextlib.ExitStack() as stack:
        try:
            emulator = stack.enter_context(azurite.running())
        except azurite.AzuriteUnavailableError as error:
            pytest.skip(str(error))
        yield emulator.connection_string


@pytest.fixture(scope="module")
def start_host(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHost]:
    """Starts hosts with only the named functions enabled; ends them with the module."""
    hosts: list[RunningHost] = []

    def start(
        *functions: str,
        settings: Mapping[str, str] | None = None,
        arguments: Iterable[str] = (),
        like: RunningHost | None = None,
        prepare: Callable[[Path], None] = lambda _folder: None,
        preload: Mapping[str, Iterable[str]] | None = None,
        wait: bool = True,
    ) -> RunningHost:
        folder = like.folder if like else tmp_path_factory.mktemp("app") / "app"
        if not like:
            shutil.copytree(SAMPLE_APP, folder)
        prepare(folder)
        prefix = like.prefix if like else f"t{uuid.uuid4().hex[:12]}"
        for name, bodies in (preload or {}).items():
            for body in bodies:
                send(open_queue(storage, f"{prefix}-{name}"), body)
        environment = {
            **os.environ,
            "AzureWebJobsStorage": storage,
            "PREFIX": prefix,
            "SAMPLE_FOLDER": str(folder),
            "TICK": "0 0 * * * *",
            **{
                f"AzureWebJobs_{name}_Disabled": "true"
                for name in (*QUEUE_FUNCTIONS, *OTHER_FUNCTIONS)
                if name not in functions
            },
            **(settings or {}),
        }
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("ab") as err:
            process = subprocess.Popen(
                [REPOSITORY / "local/bin/func", "host", "start", "--port", "0", "--verbose", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        host = RunningHost(process, folder, storage, prefix)
        hosts.append(host)
        if wait:
            host.url = eventually(lambda: _announced_url(host))
        return host

    yield start
    for host in hosts:
        if host.process.poll() is None:
            host.process.kill()
            host.process.wait()
        for client in host._clients.values():
            with contextlib.suppress(AzureError):  # its own Azurite may be gone
                client.delete_queue()
            client.close()


def _announced_url(host: RunningHost) -> str:
    assert host.process.poll() is None, host.log
    for line in (host.folder / "stdout").read_text().splitlines():
        if line.startswith("Host started on "):
            return line.removeprefix("Host started on ")
    return ""
