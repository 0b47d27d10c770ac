"""Requests that no honest client sends, to the running app: each is refused, none learns of the inside."""

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from local.stack.stack import Stack, StackOptions
from shared.triggers.requests import LARGEST_BODY

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(settings={"STILLFRAME_SCHEDULES_TIMER": "0 0 0 1 1 *"})
JSON = {"Content-Type": "application/json"}

SEGMENTS = [
    "%2F", "a%2Fb", "..", "%2e%2e", "..%2F..%2Fetc", "%00", "a%00b", "%0a", "%0ab", "%5c", "%23", "%3f",
    "%ff",
    "%c0%af", "%ed%a0%80", "%F0%9F%92%A9", "%E2%80%AE", "%", "%zz", "x" * 501, "x" * 7_000, "'", '"', "a;b",
    "$(id)", "%20",
]  # fmt: skip
BODIES = [
    b"", b"\0", b"{", b"[" * 100_000, b"{" * 100_000, b'{"a":' * 50_000, b'"' + b"x" * 500_000, b"9" * 9_000,
    b'{"vms": ' + b"9" * 5_000 + b"}", b'{"vms": 1e400}', b'{"vms": NaN}', b'{"vms": -0}', b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}", '{"vms": []}'.encode("utf-16"), b'{"vms": ["\xed\xa0\x80"]}', b'{"vms": ["\\ud800"]}',
    b'{"vms": [], "vms": []}', b'{"policy": "a", "policy": "b"}', b"null", b"true", b'"policy"', b"[]", b"{}",
    b'{"__proto__": {}}', b'{"policy": {"$ref": "#"}}', b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>", b"policy=a",
    b" " * (LARGEST_BODY + 1),
]  # fmt: skip
HEADERS = [
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "multipart/form-data; boundary=a"},
    {"Content-Type": "\xff\xfe"},
    JSON | {"Idempotency-Key": "k" * 300},
    JSON | {"Idempotency-Key": "\xff\xfe"},
    JSON | {"Content-Encoding": "gzip"},
    JSON | {"Content-Encoding": "deflate, br"},
]


async def answer(
    stack: Stack, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, bytes]:
    """Send a request as it is: no client library mends it. Give status and body."""
    where = urlsplit(stack.api.base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    sent = {"Host": where.netloc, "Connection": "close", "Content-Length": str(len(body)), **headers}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in sent.items())
    writer.write(head.encode("latin-1") + b"\r\n" + body)
    try:
        whole = await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
    first, _, rest = whole.partition(b"\r\n")
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2]


def assert_refused(status: int, body: bytes) -> None:
    assert 400 <= status < 500, (status, body[:300])
    for inside in (b"Traceback", b'File "', b".py", b"Error(", b"azure.core"):
        assert inside not in body


def assert_problem(status: int, body: bytes) -> None:
    assert_refused(status, body)
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["detail"]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body[:12]!r}-{len(body)}")
async def test_a_body_that_is_no_document_is_told_so_whatever_it_is(stack: Stack, body: bytes) -> None:
    assert_problem(*await answer(stack, "POST", "/api/runs", JSON, body))
    assert_problem(*await answer(stack, "PUT", "/api/policies/hostile", JSON, body))


@pytest.mark.parametrize("headers", HEADERS, ids=str)
async def test_headers_that_say_something_else_than_json_are_refused(
    stack: Stack, headers: dict[str, str]
) -> None:
    assert_refused(*await answer(stack, "POST", "/api/runs", headers, b'{"policy": "hostile"}'))


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment[:20])
async def test_a_path_with_anything_in_it_leads_nowhere(stack: Stack, segment: str) -> None:
    for method, path in (
        ("GET", f"/api/runs/{segment}"),
        ("POST", f"/api/runs/{segment}/cancel"),
        ("GET", f"/api/runs/0123456789abcdef/vms/{segment}"),
        ("GET", f"/api/policies/{segment}"),
        ("PUT", f"/api/policies/{segment}"),
        ("DELETE", f"/api/policies/{segment}"),
    ):
        body = b'{"vms": []}' if method == "PUT" else b""
        assert_refused(*await answer(stack, method, path, JSON, body))


async def test_a_name_that_no_run_can_have_is_told_by_the_app(stack: Stack) -> None:
    for segment in ("%0ab", "%00", "x" * 501, "%23", "%ed%a0%80"):
        assert_problem(*await answer(stack, "POST", f"/api/runs/{segment}/cancel", {}))


@pytest.mark.parametrize("etag", ["", "x", '"1"', 'W/"x"', '"a", "b"', "W/\"datetime'x'\"", "\xff"])
async def test_an_etag_that_is_none_or_anothers_changes_nothing(stack: Stack, etag: str) -> None:
    vm = stack.vm_id("v")
    policy = json.dumps({"vms": [vm], "guest_processing": {"enabled": False}}).encode()
    _, before, _ = await stack.api.call("PUT", "/api/policies/kept", json.loads(policy))
    for method in ("PUT", "DELETE"):
        status, body = await answer(stack, method, "/api/policies/kept", JSON | {"If-Match": etag}, policy)
        assert_problem(status, body)
        assert status in (400, 412)
    _, after, _ = await stack.api.call("GET", "/api/policies/kept")
    assert after["ETag"] == before["ETag"]


async def test_storage_that_cannot_be_reached_is_503_with_the_time_to_try_again(stack: Stack) -> None:
    stack.storage.kill()
    status, body = await answer(stack, "GET", "/api/runs/0123456789abcdef", {})
    assert status == 503
    problem = json.loads(body)
    assert problem["instance"].removeprefix("urn:uuid:") in stack.host.log.read_text()
    assert "127.0.0.1" not in body.decode()
