"""`agent.pyz check` over real sockets: closed ports, wrong names, strange servers, what Azurite refuses."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueSasPermissions, QueueServiceClient, generate_queue_sas

from local.azurite import ACCOUNT, ACCOUNT_KEY, AzuriteProcess
from tests.integration.agent.app_side import KEY, VM, enrolled
from tests.integration.agent.imds import ImdsStub
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub


def findings(agent: LocalAgent, *words: str, **more: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Check, and give the exit code with the findings by their names."""
    process = agent.run("check", "--json", *words, more=more, stdout=subprocess.PIPE)
    told, wrong = process.communicate(timeout=60)
    assert not wrong, wrong
    document: dict[str, Any] = json.loads(told)
    found = {each["name"]: each for each in document["findings"]}
    failed = any(each["verdict"] == "failed" for each in document["findings"])
    assert document["well"] is not failed
    assert process.returncode == (1 if failed else 0)
    return process.returncode, found


def bootstrap(**more: str) -> dict[str, str]:
    return {"STILLFRAME_BOOTSTRAP": json.dumps({"vm": VM, "key": KEY.hex(), **more})}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TlsServer:
    """A service behind a certificate for ``names``, which its own CA file trusts."""

    def __init__(self, folder: Path, names: str) -> None:
        self.ca, key = folder / "ca.pem", folder / "key.pem"
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/O=Test CA",
        ]
        more = ["-addext", f"subjectAltName={names}", "-out", str(self.ca), "-keyout", str(key)]
        subprocess.run([*made, *more], check=True, capture_output=True)

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_arguments: object) -> None:
                return

            def do_GET(self) -> None:
                self.send_response(403)
                self.send_header("x-ms-request-id", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["DNS:localhost", "DNS:elsewhere.invalid"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TlsServer]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    served = TlsServer(tmp_path, request.param)
    yield served
    served.close()


def test_a_certificate_for_another_name_is_told_from_a_good_one(
    tls: TlsServer, tmp_path: Path, pyz: str, python: str, request: pytest.FixtureRequest
) -> None:
    agent = LocalAgent(pyz, tmp_path, python)

    _, found = findings(agent, "--endpoint", tls.url, SSL_CERT_FILE=str(tls.ca))

    if "DNS:localhost" in request.node.name:
        assert [found[f"endpoint-{step}"]["verdict"] for step in ("tcp", "tls", "http")] == ["ok"] * 3
        assert "Test CA" in found["endpoint-tls"]["detail"]
        assert found["clock"]["verdict"] == "ok"
    else:
        assert found["endpoint-tls"]["verdict"] == "failed"
        assert "another server" in found["endpoint-tls"]["advice"]
        assert "endpoint-http" not in found


def test_a_certificate_that_the_system_does_not_trust_is_told_of(
    tls: TlsServer, local_agent: LocalAgent
) -> None:
    code, found = findings(local_agent, "--endpoint", tls.url)

    assert code == 1
    assert "CA certificates" in found["endpoint-tls"]["advice"]


def test_a_closed_port_is_told_from_a_name_that_is_none(local_agent: LocalAgent) -> None:
    closed = f"https://127.0.0.1:{free_port()}"

    code, found = findings(local_agent, "--endpoint", closed)
    _, nowhere = findings(local_agent, "--endpoint", "https://nowhere.invalid")

    assert code == 1
    assert found["endpoint-dns"]["verdict"] == "ok"
    assert found["endpoint-tcp"]["verdict"] == "failed"
    assert "outbound 443" in found["endpoint-tcp"]["advice"]
    assert nowhere["endpoint-dns"]["verdict"] == "failed"
    assert "endpoint-tcp" not in nowhere


def test_what_is_not_the_storage_is_told_of_and_asked_for_nothing(
    local_agent: LocalAgent, stub: QueueStub
) -> None:
    stub.portal = True
    urls = {"command_queue": stub.url("commands"), "ack_queue": stub.url("acks")}

    _, found = findings(local_agent, **bootstrap(**urls))

    assert found["queue-http"]["verdict"] == "failed"
    assert "not the storage" in found["queue-http"]["detail"]
    assert "commands" not in found
    assert (stub.requests["delete"], stub.requests["put"]) == (0, 0)


def test_plain_http_to_another_machine_is_refused_before_it_is_spoken(local_agent: LocalAgent) -> None:
    _, found = findings(local_agent, "--endpoint", "http://192.0.2.1")

    assert found["endpoint-url"]["verdict"] == "failed"


def test_the_check_by_switch_is_the_check_by_verb(local_agent: LocalAgent, stub: QueueStub) -> None:
    local_agent.enrolment.touch(0o600)
    local_agent.enrolment.write_text(json.dumps(enrolled(stub)))

    process = local_agent.run("--check", stdout=subprocess.PIPE)
    told, _ = process.communicate(timeout=60)

    assert [line.split()[0] for line in told.decode().splitlines() if " acks " in line] == ["ok"]


def test_a_token_that_cannot_be_had_is_told_before_the_queues_are_asked(
    local_agent: LocalAgent, stub: QueueStub, imds: ImdsStub
) -> None:
    imds.failures = [400]
    urls = {"command_queue": stub.plain_url("commands"), "ack_queue": stub.plain_url("acks")}
    environ = bootstrap(**urls, credential="managed_identity")

    _, found = findings(local_agent, **environ, STILLFRAME_IMDS=imds.url)
    stub.bearer = "token-2"
    _, later = findings(local_agent, **environ, STILLFRAME_IMDS=imds.url)

    assert "identity" in found["identity"]["advice"]
    assert "commands" not in found
    assert [later[name]["verdict"] for name in ("identity", "commands", "acks")] == ["ok"] * 3


class Rights:
    """Two queues of Azurite, and URLs with the SAS that is asked for."""

    def __init__(self, azurite: AzuriteProcess) -> None:
        self.service = QueueServiceClient.from_connection_string(azurite.connection_string)
        self.base = f"http://127.0.0.1:{azurite.queue_port}/{ACCOUNT}"
        for name in ("check-commands", "check-acks"):
            self.service.create_queue(name)

    def url(self, queue: str, *, hours: int = 1, **rights: bool) -> str:
        expiry = datetime.now(UTC) + timedelta(hours=hours)
        permission = QueueSasPermissions(**rights)
        signed = generate_queue_sas(ACCOUNT, queue, ACCOUNT_KEY, permission=permission, expiry=expiry)
        return f"{self.base}/{queue}?{signed}"

    def messages(self, queue: str) -> list[tuple[str, int]]:
        client = self.service.get_queue_client(queue)
        return [(str(m.content), m.dequeue_count or 0) for m in client.peek_messages(32)]

    def close(self) -> None:
        for name in ("check-commands", "check-acks"):
            self.service.delete_queue(name)
        self.service.close()


@pytest.fixture
def granted(azurite: AzuriteProcess) -> Iterator[Rights]:
    made = Rights(azurite)
    yield made
    made.close()


def queues(commands: str, acks: str) -> dict[str, str]:
    return bootstrap(command_queue=commands, ack_queue=acks)


@pytest.mark.azurite
def test_the_rights_are_shown_without_touching_a_message(local_agent: LocalAgent, granted: Rights) -> None:
    granted.service.get_queue_client("check-commands").send_message("a command that waits")

    found = findings(
        local_agent,
        **queues(granted.url("check-commands", process=True), granted.url("check-acks", add=True)),
    )[1]

    names = ("queue-dns", "queue-tcp", "queue-http", "clock", "commands-sas", "acks-sas", "commands", "acks")
    assert [(name, found[name]["verdict"]) for name in names] == [(name, "ok") for name in names]
    assert granted.messages("check-commands") == [("a command that waits", 0)]
    assert granted.messages("check-acks") == []


@pytest.mark.azurite
def test_a_right_that_is_missing_is_named_and_the_sas_is_not_repeated(
    local_agent: LocalAgent, granted: Rights
) -> None:
    # Both say the right thing of themselves, but are signed for other queues.
    commands = granted.url("check-acks", process=True).replace("check-acks", "check-commands", 1)
    acks = granted.url("check-commands", add=True).replace("check-commands", "check-acks", 1)

    code, found = findings(local_agent, **queues(commands, acks))

    assert code == 1
    assert [found[name]["verdict"] for name in ("commands", "acks")] == ["failed", "failed"]
    assert "sig=" not in json.dumps(found)
    weak = queues(granted.url("check-commands", read=True), granted.url("check-acks", read=True))
    _, found = findings(local_agent, **weak)
    assert [found[name]["verdict"] for name in ("commands-sas", "commands", "acks")] == ["failed"] * 3


@pytest.mark.azurite
def test_a_sas_that_has_expired_and_a_queue_that_is_gone_are_told_apart(
    local_agent: LocalAgent, granted: Rights
) -> None:
    expired = queues(
        granted.url("check-commands", hours=-1, process=True), granted.url("check-acks", add=True)
    )
    gone = queues(granted.url("no-such-queue", process=True), granted.url("check-acks", add=True))

    _, first = findings(local_agent, **expired)
    _, second = findings(local_agent, **gone)

    assert "expired at" in first["commands-sas"]["detail"]
    assert first["commands"]["verdict"] == "failed"
    assert second["commands"]["detail"] == "there is no such queue"
    assert second["acks"]["verdict"] == "ok"


def test_every_python_of_a_guest_can_check(
    every_python: str, tmp_path: Path, pyz: str, stub: QueueStub
) -> None:
    agent = LocalAgent(pyz, tmp_path, every_python)

    _, found = findings(agent, **queues(stub.url("commands"), stub.url("acks")))

    assert [found[name]["verdict"] for name in ("python", "queue-http", "commands", "acks")] == ["ok"] * 4
