"""The command line's calls: what it asks of the API, with which key, and how it ends."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import client as cli_client
from cli.app import general_first
from cli.errors import Code
from cli.shown import counted
from shared.triggers.openapi import document
from shared.triggers.rights import right_of
from tests.unit.cli.api_double import URL, VM, Api, entry, ok, problem, run_view, written

Capture = pytest.CaptureFixture[str]
STARTED = ok({"run": "r1", "href": "/api/runs/r1"}, 202)


@pytest.fixture(autouse=True)
def nobody_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(cli_client, "_PAUSE_S", 0.0)
    monkeypatch.setattr(cli_client, "_LONGEST_PAUSE_S", 0.0)


def test_json_is_what_the_api_answered_to_the_byte(capsys: Capture) -> None:
    text = '{ "run":"r1",\n "vms": [ ] , "new_member": 1}'
    api = Api().on("GET", "/runs/r1", httpx.Response(200, text=text))
    assert api.run("run", "show", "r1", "--output", "json") == Code.WELL
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (problem(400, "vms[0]: expected the ARM id of a VM", "vms[0]"), Code.REFUSED, "vms[0]: expected the"),
        (problem(404, "there is no run r1"), Code.REFUSED, "there is no run r1"),
        (problem(409, "ask by saga"), Code.REFUSED, "ask by saga"),
        (problem(422, "the key was used"), Code.REFUSED, "the key was used"),
        (problem(500, "A defect of the app. Error 7."), Code.UNEXPECTED, "A defect of the app"),
        (problem(503, "The storage does not answer.", Retry_After="5"), Code.UNREACHABLE, "The storage does"),
        (httpx.Response(401), Code.NOT_ALLOWED, "wants a key"),
        (httpx.Response(403), Code.NOT_ALLOWED, "wants a key"),
        (httpx.Response(404, text="<html>"), Code.UNEXPECTED, "not as Stillframe does"),
        (httpx.Response(200, text="<html>"), Code.UNEXPECTED, "no JSON"),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example.org"}), Code.UNEXPECTED, "302"),
        (httpx.ConnectError("refused"), Code.UNREACHABLE, "cannot be reached: refused"),
        (httpx.ReadTimeout("slow"), Code.UNREACHABLE, "did not answer in time"),
    ],
)
def test_every_way_to_fail_is_one_sentence_and_has_its_exit_code(
    answer: Any, code: Code, words: str, capsys: Capture
) -> None:
    assert Api().on("GET", "/runs/r1", answer).run("run", "show", "r1") == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("vms[0]") <= 1


def test_what_may_be_repeated_is_and_a_start_keeps_its_key() -> None:
    api = Api().on("POST", "/runs", httpx.ReadTimeout("slow"), problem(503, "wait"), STARTED)
    assert api.run("run", "start", "--policy", "nightly") == Code.WELL
    keys = {request.headers["Idempotency-Key"] for request in api.asked}
    assert (len(api.asked), len(keys)) == (3, 1)
    assert api.said() == {"policy": "nightly"}


def test_a_delete_is_asked_about_and_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api().on("DELETE", "/policies/nightly", httpx.ReadTimeout("slow"))
    assert api.run("policy", "delete", "nightly", "--yes") == Code.UNREACHABLE
    assert len(api.asked) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert api.run("policy", "delete", "nightly") == Code.INTERRUPTED
    assert len(api.asked) == 1


def test_each_call_has_the_key_of_its_right() -> None:
    keys = {"STILLFRAME_KEY_READ": "r", "STILLFRAME_KEY_RUN": "s", "STILLFRAME_KEY": "rest"}
    api = Api().on("POST", "/runs", STARTED).on("GET", "/runs/r1", ok(run_view(entry("db-1"))))
    api.on("DELETE", "/policies/nightly", httpx.Response(204))
    api.run("run", "start", "--policy", "nightly", **keys)
    api.run("run", "show", "r1", **keys)
    api.run("policy", "delete", "nightly", "-y", **keys)
    api.run("run", "show", "r1", "--key", "given", **keys)
    assert [request.headers["x-functions-key"] for request in api.asked] == ["s", "r", "rest", "given"]


def test_the_commands_of_this_api_use_the_rights_that_it_says() -> None:
    """Of those functions that the document has: which right a call claims is the one that opens it."""
    keys = {f"STILLFRAME_KEY_{right.upper()}": right for right in ("read", "run", "admin")}
    for arguments, path, method in (
        (("run", "start", "--policy", "n"), "/runs", "post"),
        (("run", "show", "r1"), "/runs/{run}", "get"),
        (("run", "show", "r1", "db-1"), "/runs/{run}/vms/{vm}", "get"),
        (("run", "cancel", "r1"), "/runs/{run}/cancel", "post"),
        (("policy", "get", "nightly"), "/policies/{policy}", "get"),
        (("policy", "delete", "nightly", "-y"), "/policies/{policy}", "delete"),
        (("health",), "/health", "get"),
        (("policy", "list"), "/policies", "get"),
        (("policy", "preview", "nightly"), "/policies/{policy}/preview", "get"),
        (("run", "list"), "/runs", "get"),
        (("run", "retry", "r1"), "/runs/{run}/retry", "post"),
        (("points", "list"), "/recovery-points", "get"),
        (("points", "show", "p1"), "/recovery-points/{point}", "get"),
        (("points", "hold", "p1", "--reason", "x"), "/recovery-points/{point}/hold", "post"),
        (("points", "release", "p1"), "/recovery-points/{point}/release", "post"),
        (("points", "delete", "p1", "-y"), "/recovery-points/{point}", "delete"),
        (("rebuild-index", "s/g"), "/recovery-points/rebuild", "post"),
        (("rehearse", "--policy", "n", "--no-watch"), "/rehearsals", "post"),
        (("preflight", VM), "/preflight", "get"),
    ):
        api = Api()
        api.run(*arguments, **keys)
        [request] = api.asked
        concrete = path.format(run="r1", vm="db-1", policy="nightly", point="p1")
        assert (request.method.lower(), request.url.path) == (method, f"/api{concrete}")
        operation = document()["paths"].get(path, {}).get(method)
        if operation:
            assert request.headers["x-functions-key"] == right_of(operation["operationId"])


def test_without_a_url_or_with_one_that_would_leak_the_key_nothing_is_sent(capsys: Capture) -> None:
    api = Api()
    for url in ("", "http://backups.example.org", "ftp://x", "backups"):
        assert api.run("health", STILLFRAME_URL=url) == Code.UNEXPECTED
    assert api.asked == []
    assert "STILLFRAME_URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("run", "show"), ("nope",), ("run", "start"), ("run", "show", "r1", "--output", "xml")]
)
def test_wrong_usage_ends_with_1_and_asks_nobody(arguments: tuple[str, ...], capsys: Capture) -> None:
    api = Api()
    assert api.run(*arguments) == Code.UNEXPECTED
    assert api.asked == []
    assert capsys.readouterr().err


def test_general_options_may_stand_anywhere() -> None:
    assert general_first(["run", "show", "r1", "-o", "json", "--quiet"]) == [
        "-o", "json", "--quiet", "run", "show", "r1",
    ]  # fmt: skip
    assert general_first(["run", "show", "--url=x", "--", "--key", "y"]) == [
        "--url=x", "run", "show", "--", "--key", "y",
    ]  # fmt: skip
    assert general_first(["health", "--output"]) == ["--output", "health"]


def config(folder: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    path = folder / "stillframe" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return {"XDG_CONFIG_HOME": str(folder), "STILLFRAME_URL": ""}


PROFILES = f"""
default = "test"
[profiles.test]
url = "{URL}/api/"
key = "k"
output = "json"
[profiles.production]
url = "https://backups.example.org"
key_admin = "a"
"""


def test_a_profile_says_where_and_with_what(tmp_path: Path, capsys: Capture) -> None:
    environment = config(tmp_path, PROFILES)
    api = Api().on("GET", "/health", ok({"status": "healthy"}))
    assert api.run("health", **environment) == Code.WELL
    assert api.run("health", "--profile", "production", **environment) == Code.WELL
    assert [str(request.url) for request in api.asked] == [
        f"{URL}/api/health", "https://backups.example.org/api/health",
    ]  # fmt: skip
    assert [request.headers.get("x-functions-key") for request in api.asked] == ["k", None]
    captured = capsys.readouterr()
    assert captured.out.startswith('{"status":"healthy"}\n')
    assert captured.err == ""


def test_a_configuration_that_others_may_read_is_told_of(tmp_path: Path, capsys: Capture) -> None:
    api = Api().on("GET", "/health", ok({"status": "healthy"}))
    assert api.run("health", **config(tmp_path, PROFILES, 0o644)) == Code.WELL
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[profiles.a]\nurl = 1", "expected a text"),
        ("[profiles.a]\nulr = 'x'", "ulr: unknown"),
        ("[profiles", "config.toml"),
        ("profiles = 1", "expected tables"),
        ("default = 'b'\n[profiles.a]\nurl='https://x'", "there is no profile b; known: a"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    text: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    assert Api().run("health", **config(tmp_path, text)) == Code.UNEXPECTED
    assert words in capsys.readouterr().err


def test_a_policy_is_applied_under_its_files_name_its_own_or_the_given_one(tmp_path: Path) -> None:
    api = Api()
    for name in ("nightly", "own", "given"):
        api.on("PUT", f"/policies/{name}", ok({"policy": name}, ETag='W/"1"'))
    file = written(
        tmp_path, "nightly.yaml", f"vms: [{VM}]\nnotifications:\n  - {{on: [failure], queue: q-1}}\n"
    )
    own = written(tmp_path, "x.json", json.dumps({"policy": "own", "vms": [VM]}))
    assert api.run("policy", "apply", file) == Code.WELL
    assert api.said() == {"vms": [VM], "notifications": [{"on": ["failure"], "queue": "q-1"}]}
    assert api.run("policy", "apply", own, "--if-match", 'W/"1"') == Code.WELL
    assert api.said() == {"vms": [VM]}
    assert api.asked[-1].headers["If-Match"] == 'W/"1"'
    assert api.run("policy", "apply", own, "--name", "given") == Code.WELL
    assert [request.url.path.rpartition("/")[2] for request in api.asked] == ["nightly", "own", "given"]
    assert api.run("policy", "apply", own, "--name", "Not One") == Code.UNEXPECTED
    assert len(api.asked) == 3


def test_a_dry_run_only_checks(tmp_path: Path) -> None:
    api = Api().on("POST", "/policies/validate", ok({}), problem(400, "x", "vms"))
    file = written(tmp_path, "nightly.yaml", f"vms: [{VM}]\n")
    assert api.run("policy", "apply", file, "--dry-run") == Code.WELL
    assert api.run("policy", "apply", file, "--dry-run") == Code.REFUSED
    assert {request.url.path for request in api.asked} == {"/api/policies/validate"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.yaml", "vms: [a]\nvms: [b]\n", "line 2, column 1: vms comes twice"),
        ("p.yaml", "a: &x [1]\nb: *x\n", "aliases"),
        ("p.yaml", "a: [\n", "line 2"),
        ("p.yaml", "- a\n", "expected one object"),
        ("p.yaml", "1: a\n", "a name must be a text"),
        ("p.yaml", "a: !!python/name:os.system x\n", "line 1"),
        ("p.json", '{"a": 1, "a": 2}', "a comes twice"),
        ("p.json", '{"a": ', "p.json"),
        ("p.json", "", "expected one object"),
    ],
)
def test_a_file_that_is_no_document_is_refused_with_its_place(
    name: str, text: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    api = Api()
    assert api.run("policy", "apply", written(tmp_path, name, text)) == Code.UNEXPECTED
    assert words in capsys.readouterr().err
    assert api.asked == []


def test_yaml_is_read_as_people_mean_it(tmp_path: Path) -> None:
    text = "on: yes\nat: 12:30\nday: 2026-01-31\nmode: 010\nnothing: ~\nyes: no\nhalf: 0.5\nflag: true\n"
    api = Api().on("POST", "/runs", STARTED)
    assert api.run("run", "start", written(tmp_path, "r.yaml", text)) == Code.WELL
    assert api.said() == {
        "on": "yes", "at": "12:30", "day": "2026-01-31", "mode": 10, "nothing": None, "yes": "no",
        "half": 0.5, "flag": True,
    }  # fmt: skip


def test_lists_follow_their_continuations_up_to_the_limit(capsys: Capture) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        at, size = int(request.url.params.get("continuation", 0)), int(request.url.params["limit"])
        items = [{"point": f"p{number}", "name": "db-1", "grade": "crash"} for number in range(at, at + size)]
        return ok({"items": items, "continuation": str(at + size)})

    api = Api().on("GET", "/recovery-points", page)
    assert api.run("points", "list", "--limit", "1500", "--vm", VM, "-o", "json") == Code.WELL
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1500
    assert [request.url.params["limit"] for request in api.asked] == ["1000", "500"]
    assert {request.url.params["vm"] for request in api.asked} == {VM}


def test_times_may_be_said_as_how_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api().on("GET", "/recovery-points", ok({"items": [], "continuation": None}))
    api.run("points", "list", "--since", "2026-11-27T02:30:00+01:00", "--until", "1h")
    params = api.asked[-1].url.params
    assert params["since"] == "2026-11-27T01:30:00Z"
    assert params["until"].endswith("Z")


def test_health_that_is_not_well_ends_with_3_and_what_a_person_should_see_with_4_if_strict(
    capsys: Capture,
) -> None:
    ill = {"status": "unhealthy", "problems": ["the tables cannot be read"], "version": "1"}
    api = Api().on("GET", "/health", ok(ill, 503))
    assert api.run("health") == Code.FAILED
    assert "the tables cannot be read" in capsys.readouterr().out
    api.on("GET", "/health", ok({"status": "healthy", "attention": ["1 notices could not be delivered"]}))
    assert api.run("health") == Code.WELL
    assert api.run("health", "--strict") == Code.WARNED


def test_a_preflight_says_what_stops_first_and_ends_by_the_worst(capsys: Capture) -> None:
    findings = [
        {"level": "ok", "code": "a", "sentence": "It runs."},
        {"level": "error", "code": "b", "sentence": "No agent.", "what_to_do": "Install it."},
    ]
    api = Api().on("GET", "/preflight", ok({"vm": VM, "findings": findings}))
    assert api.run("preflight", VM, "--policy", "nightly") == Code.FAILED
    out = capsys.readouterr().out
    assert out.index("No agent.") < out.index("Install it.") < out.index("It runs.")
    assert api.asked[-1].url.params["vm"] == VM


@pytest.mark.parametrize(
    ("count", "more", "told"),
    [
        (0, False, "0 policies"),
        (1, False, "1 policy"),
        (2, True, "2 policies; there are more: give a higher --limit"),
    ],
)
def test_one_is_not_told_as_several(count: int, more: bool, told: str) -> None:  # noqa: FBT001
    page: dict[str, Any] = {"items": [{}] * count, "continuation": "next" if more else None}
    assert counted(page, "policy", "policies") == told


def test_a_preview_shows_of_each_vm_its_rule_and_what_becomes_of_its_tags(capsys: Capture) -> None:
    tag = {"tag": "stillframe:exclude", "code": "bad_tag", "wrong": True, "sentence": "its tag says nothing"}
    vm = {"vm": VM, "name": "db-1", "rule": "vms", "found": True, "priority": None, "tags": [tag]}
    preview = {"policy": "nightly", "complete": True, "selected": [vm], "excluded": [], "schedules": []}
    api = Api().on("GET", "/policies/nightly/preview", ok(preview))
    assert api.run("policy", "preview", "nightly") == Code.WELL
    shown = capsys.readouterr().out
    assert "vms" in shown
    assert "its tag says nothing" in shown
