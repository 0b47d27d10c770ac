import json

import pytest

from tests.integration.functions_host.conftest import RunningHost, StartHost, eventually

pytestmark = pytest.mark.azurite

KEYS = {"master": "m", "host": {"default": "h"}, "functions": {"keyed": {"default": "k"}}}


@pytest.fixture(scope="module")
def host(start_host: StartHost) -> RunningHost:
    return start_host("hello", "unhello", "keyed", "mastered", "broken", "silent")


@pytest.fixture(scope="module")
def guarded(start_host: StartHost) -> RunningHost:
    keys = {"STILLFRAME_HOST_KEYS": json.dumps(KEYS)}
    return start_host("hello", "keyed", "mastered", settings=keys, arguments=["--enableAuth"])


def test_a_request_reaches_the_function_whole(host: RunningHost) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    answer = host.call(
        "POST", "/api/hello/W%C3%B6rld?a=1&b=2", "übrigens".encode(), {"X-Sample": "v", "Traceparent": trace}
    )

    seen = json.loads(answer.body)
    assert answer.status == 203
    assert seen["method"] == "POST"
    assert seen["url"].startswith(host.url + "/api/hello/")
    assert (seen["name"], seen["query"], seen["body"]) == ("Wörld", {"a": "1", "b": "2"}, "übrigens")
    assert (seen["x-sample"], seen["trace"]) == ("v", trace)


def test_an_answer_carries_status_headers_and_cookies(host: RunningHost) -> None:
    answer = host.call("GET", "/api/hello/you")

    assert answer.headers["X-Answer"] == "yes"
    assert answer.headers["Content-Type"] == "application/json"
    cookie = answer.headers["Set-Cookie"]
    assert cookie == "taste=sweet; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"


def test_a_literal_route_wins_over_a_parameter_and_methods_choose_between_routes(host: RunningHost) -> None:
    assert host.call("DELETE", "/api/hello/world").body == b"gone"
    assert json.loads(host.call("GET", "/api/HELLO/world").body)["name"] == "world"


def test_unknown_routes_and_methods_are_refused(host: RunningHost) -> None:
    assert host.call("GET", "/api/nowhere").status == 404
    assert host.call("GET", "/hello/you").status == 404
    refused = host.call("PUT", "/api/hello/you")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,POST")


def test_a_failing_function_answers_500_without_its_secrets(host: RunningHost) -> None:
    answer = host.call("GET", "/api/broken")

    assert (answer.status, answer.body) == (500, b"")
    eventually(lambda: "broken on purpose" in host.log)


def test_a_function_without_an_http_output_answers_204(host: RunningHost) -> None:
    assert host.call("GET", "/api/silent").status == 204
    assert len(host.notes("silent", "called")) == 1


def test_keys_are_not_asked_for_by_default(host: RunningHost) -> None:
    assert host.call("GET", "/api/keyed").status == 200
    assert host.call("GET", "/api/mastered").status == 200


def test_the_host_tells_that_it_runs(host: RunningHost) -> None:
    assert json.loads(host.call("GET", "/admin/host/status").body)["state"] == "Running"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/hello/you", None, 203),
        ("/api/keyed", None, 401),
        ("/api/keyed", "wrong", 401),
        ("/api/keyed", "k", 200),
        ("/api/keyed", "h", 200),
        ("/api/keyed", "m", 200),
        ("/api/mastered", "h", 401),
        ("/api/mastered", "m", 200),
        ("/admin/host/status", "h", 401),
        ("/admin/host/status", "m", 200),
    ],
)
def test_with_auth_enabled_each_level_takes_its_keys(
    guarded: RunningHost, path: str, key: str | None, status: int
) -> None:
    headers = {"x-functions-key": key} if key else {}

    assert guarded.call("GET", path, headers=headers).status == status


def test_the_header_key_wins_over_the_query_key(guarded: RunningHost) -> None:
    assert guarded.call("GET", "/api/keyed?code=k").status == 200
    assert guarded.call("GET", "/api/keyed?code=k", headers={"x-functions-key": "wrong"}).status == 401


def test_without_given_keys_a_private_key_file_is_made(start_host: StartHost) -> None:
    host = start_host("keyed", arguments=["--enableAuth"])
    path = host.folder / ".local" / "keys.json"

    key = json.loads(path.read_text())["host"]["default"]

    assert path.stat().st_mode & 0o077 == 0
    assert host.call("GET", "/api/keyed", headers={"x-functions-key": key}).status == 200
