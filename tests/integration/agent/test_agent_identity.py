"""The VM's managed identity instead of a SAS, against a stand-in for Azure's metadata service."""

from pathlib import Path

import pytest

from agent.identity import ManagedIdentity
from agent.queues import NoCredential, Queue, QueueRefused, QueueUnreachable
from tests.integration.agent.app_side import App, until
from tests.integration.agent.imds import ImdsStub
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub

HOUR_MS = 3_600_000


class Time:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


def test_a_token_is_asked_for_once_and_again_five_minutes_before_it_expires(imds: ImdsStub) -> None:
    time = Time()
    identity = ManagedIdentity(imds.url, "", time)

    assert [identity.token(), identity.token()] == ["token-1", "token-1"]
    time.now += HOUR_MS - 5 * 60_000
    assert identity.token() == "token-2"
    assert imds.asked == [{"api-version": "2018-02-01", "resource": "https://storage.azure.com/"}] * 2


def test_a_user_assigned_identity_is_asked_for_by_its_client_id(imds: ImdsStub) -> None:
    ManagedIdentity(imds.url, "11-22", Time()).token()

    assert imds.asked[0]["client_id"] == "11-22"


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_a_service_that_is_not_ready_is_asked_again_by_the_next_request(imds: ImdsStub, status: int) -> None:
    identity = ManagedIdentity(imds.url, "", Time())
    imds.failures = [status]

    with pytest.raises(NoCredential) as refused:
        identity.token()

    assert str(status) in refused.value.detail
    assert identity.token() == "token-2"


def test_a_token_that_cannot_be_renewed_is_used_until_it_expires(imds: ImdsStub) -> None:
    time = Time()
    identity = ManagedIdentity(imds.url, "", time)
    identity.token()
    imds.failures = [500, 500]

    time.now += HOUR_MS - 1
    assert identity.token() == "token-1"
    time.now += 1
    with pytest.raises(NoCredential):
        identity.token()


def test_a_redirection_is_not_followed(imds: ImdsStub) -> None:
    imds.failures, imds.location = [302], imds.url + "/elsewhere"

    with pytest.raises(NoCredential):
        ManagedIdentity(imds.url, "", Time()).token()

    assert imds.seen["/elsewhere"] == 0


@pytest.mark.parametrize(
    "document",
    [b"<html>", b"[]", b"{}", b'{"access_token": 7}', b'{"access_token": "a\\r\\nHost: b"}', b"\xff"],
)
def test_an_answer_without_a_token_is_none_and_is_not_repeated(imds: ImdsStub, document: bytes) -> None:
    imds.document = document

    with pytest.raises(NoCredential) as refused:
        ManagedIdentity(imds.url, "", Time()).token()

    assert "Host" not in refused.value.detail


def test_nobody_at_home_makes_the_queue_unreachable() -> None:
    credential = ManagedIdentity("http://127.0.0.1:1", "", Time()).credential

    with pytest.raises(QueueUnreachable) as unreachable:
        Queue("https://a.queue.core.windows.net/c", 1.0, credential).receive(1, 1)

    assert "no managed identity" in unreachable.value.detail


def test_a_refused_token_is_replaced(imds: ImdsStub, stub: QueueStub) -> None:
    queue = Queue(stub.plain_url("commands"), 3.0, ManagedIdentity(imds.url, "", Time()).credential)
    stub.bearer = "token-2"  # the first one was revoked, say

    with pytest.raises(QueueRefused) as refused:
        queue.receive(1, 1)

    assert refused.value.status == 401
    assert queue.receive(1, 1) == []


def test_the_token_follows_no_redirection(imds: ImdsStub, stub: QueueStub) -> None:
    stub.bearer, stub.redirect = "token-1", imds.url + "/elsewhere"
    queue = Queue(stub.plain_url("commands"), 3.0, ManagedIdentity(imds.url, "", Time()).credential)

    with pytest.raises(QueueRefused):
        queue.receive(1, 1)

    assert imds.seen["/elsewhere"] == 0


def test_a_whole_session_runs_by_the_vms_identity_alone(
    imds: ImdsStub, stub: QueueStub, app: App, pyz: str, python: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    agent = LocalAgent(pyz, tmp_path, python)
    stub.bearer = "token-3"
    imds.failures = [404, 429]  # the first moments of a VM
    urls = {"command_queue": stub.plain_url("commands"), "ack_queue": stub.plain_url("acks")}
    try:
        agent.start(app, bootstrap={**urls, "credential": "managed_identity"}, STILLFRAME_IMDS=imds.url)
        assert app.answer().kind == "ready"
        app.release()
        assert app.answer().kind == "released"
        until(lambda: len(imds.asked) == 3, "one token for both queues")
    finally:
        agent.close()
    assert "token-" not in agent.log()
