import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest

from shared.compute.client import ClientPool, PlainHttpOnLoopback
from shared.compute.credentials import LoopbackCredential, credential_for, is_loopback

HEAVY = ("azure.mgmt", "azure.identity", "aiohttp", "msal")


def test_importing_the_package_does_not_import_the_sdk() -> None:
    program = "import sys, shared.compute; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    assert [name for name in modules if name.startswith(HEAVY)] == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:23400", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80/x", True),
        ("http://localhost:7071", True),
        ("http://LOCALHOST", True),
        ("https://management.azure.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://example.com/?127.0.0.1", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
        ("http://[127.0.0.1", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, *, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize(
    ("url", "options"),
    [("http://127.0.0.1:1/a", {"enforce_https": False}), ("http://example.com/a", {})],
)
def test_plain_http_is_allowed_for_this_machine_only(url: str, options: dict[str, Any]) -> None:
    request = PipelineRequest(SimpleNamespace(url=url), PipelineContext(None))

    PlainHttpOnLoopback().on_request(request)

    assert request.context.options == options


def test_a_stand_in_gets_a_token_that_proves_nothing_and_azure_does_not() -> None:
    assert isinstance(credential_for("http://127.0.0.1:1"), LoopbackCredential)
    assert not isinstance(credential_for("https://management.azure.com"), LoopbackCredential)


async def test_clients_are_made_once_per_subscription_and_anew_after_closing() -> None:
    made: list[LoopbackCredential] = []

    def credential() -> LoopbackCredential:
        made.append(LoopbackCredential())
        return made[-1]

    pool = ClientPool(credential, endpoint="http://127.0.0.1:1")
    assert made == []

    first = pool.of("S1")
    assert pool.of("s1") is first
    assert pool.of("s2") is not first
    assert len(made) == 1

    await pool.close()
    assert pool.of("s1") is not first
    await pool.close()
