"""A whole session over Azurite's own queues and SAS URLs."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.queue import QueueSasPermissions, QueueServiceClient, generate_queue_sas

from local.azurite import ACCOUNT, ACCOUNT_KEY, AzuriteProcess
from tests.integration.agent.app_side import KEY, VM, App, hooks, runs
from tests.integration.agent.process import LocalAgent

pytestmark = pytest.mark.azurite


class AzuriteQueues:
    """A command queue and an ack queue; the agent may only take from the one and add to the other."""

    def __init__(self, azurite: AzuriteProcess) -> None:
        self._service = QueueServiceClient.from_connection_string(azurite.connection_string)
        self._base = f"http://127.0.0.1:{azurite.queue_port}/{ACCOUNT}"
        self._names = {name: f"agent-test-{name}" for name in ("commands", "acks")}
        for name in self._names.values():
            self._service.create_queue(name)

    def url(self, queue: str) -> str:
        commands = queue == "commands"
        sas = generate_queue_sas(
            ACCOUNT,
            self._names[queue],
            ACCOUNT_KEY,
            permission=QueueSasPermissions(process=commands, add=not commands),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{self._base}/{self._names[queue]}?{sas}"

    def put(self, queue: str, content: str) -> None:
        self._service.get_queue_client(self._names[queue]).send_message(content)

    def take(self, queue: str) -> list[str]:
        client = self._service.get_queue_client(self._names[queue])
        found = list(client.receive_messages())
        for message in found:
            client.delete_message(message)
        return [str(message.content) for message in found]

    def left(self, queue: str) -> int:
        client = self._service.get_queue_client(self._names[queue])
        return client.get_queue_properties().approximate_message_count or 0

    def close(self) -> None:
        for name in self._names.values():
            self._service.delete_queue(name)
        self._service.close()


@pytest.fixture
def queues(azurite: AzuriteProcess) -> Iterator[AzuriteQueues]:
    made = AzuriteQueues(azurite)
    yield made
    made.close()


def test_a_whole_session_runs_over_sas_urls_and_leaves_no_message(
    queues: AzuriteQueues, every_python: str, pyz: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    agent, app = LocalAgent(pyz, tmp_path, every_python), App(queues)
    try:
        process = agent.start(app)
        assert app.answer().kind == "ready"
        app.quiesce(filesystems="none", **hooks(tmp_path))
        assert app.answer().kind == "quiesced"
        app.resume()
        assert app.answer().body["held_until_order"]
        app.release()
        assert app.answer().kind == "released"

        assert process.wait(60) == 0
    finally:
        agent.close()

    assert runs(tmp_path, "pre") == runs(tmp_path, "post") == ["1"]
    assert queues.left("commands") == 0
    assert agent.counters() == {}


def test_a_check_finds_what_the_service_allows_and_adds_nothing(
    queues: AzuriteQueues, local_agent: LocalAgent
) -> None:
    enrolment = {"vm": VM, "key": KEY.hex()}
    allowed = {**enrolment, "command_queue": queues.url("commands"), "ack_queue": queues.url("acks")}
    swapped = {**enrolment, "command_queue": queues.url("acks"), "ack_queue": queues.url("commands")}
    found = []
    for document in (allowed, swapped):
        local_agent.enrolment.touch(0o600)
        local_agent.enrolment.write_text(json.dumps(document))
        told, _ = local_agent.run("check", stdout=subprocess.PIPE).communicate(timeout=60)
        verdicts = {line.split()[1]: line.split()[0] for line in told.decode().splitlines()}
        found.append((verdicts["commands"], verdicts["acks"]))

    assert found == [("ok", "ok"), ("failed", "failed")]
    assert (queues.left("commands"), queues.left("acks")) == (0, 0)
