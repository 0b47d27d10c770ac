"""Delivered scripts in a session: kept before anything is held, run by whoever is alive, then removed."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.app_side import App, guest_file, until
from tests.integration.agent.process import LocalAgent


class Blobs:
    """Where long scripts lie; what is taken away is gone."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.requests = 0
        blobs = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_arguments: Any) -> None:
                return

            def do_GET(self) -> None:
                blobs.requests += 1
                content = blobs.content.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def script(self, name: str, text: str) -> dict[str, Any]:
        """Give a script to be fetched from here."""
        self.content["/" + name] = text.encode()
        url = f"http://127.0.0.1:{self.server.server_port}/{name}"
        return {"url": url, "sha256": pin(text), "name": name, "timeout_ms": 20_000}


@pytest.fixture
def blobs() -> Iterator[Blobs]:
    served = Blobs()
    yield served
    served.server.shutdown()
    served.server.server_close()


def pin(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def noting(folder: Path, name: str, then: str = "") -> str:
    return f'#!/bin/sh\necho "$STILLFRAME_GENERATION" >> {folder}/{name}.runs\n{then}\n'


def delivered(text: str, name: str, **rules: Any) -> dict[str, Any]:
    return {"content": text, "sha256": pin(text), "name": name, "timeout_ms": 20_000, **rules}


def runs(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.runs"
    return path.read_text().split() if path.exists() else []


def left(agent: LocalAgent) -> list[str]:
    return [path.name for path in agent.state.glob("script-*")]


def test_delivered_and_fetched_scripts_are_run_and_removed(
    local_agent: LocalAgent, app: App, tmp_path: Path, blobs: Blobs, python: str
) -> None:
    local_agent.start(app)
    again = f"[ $(wc -l < {tmp_path}/pre.runs) -ge 2 ] || exit 1"
    pre = delivered(noting(tmp_path, "pre", again), "pre.sh", retries=2)
    app.quiesce(
        filesystems="none", pre_script=pre, post_script=blobs.script("post.sh", noting(tmp_path, "post"))
    )

    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body
    assert (quiesced.body["script"]["path"], quiesced.body["script"]["attempts"]) == ("pre.sh", 2)
    blobs.content.clear()  # it was kept before anything was held
    app.resume()
    resumed = app.answer()

    assert (resumed.body["script"]["path"], resumed.body["script"]["reason"]) == ("post.sh", "")
    assert (runs(tmp_path, "pre"), runs(tmp_path, "post")) == (["1", "1"], ["1"])
    assert left(local_agent) == []


def test_the_dead_man_runs_a_fetched_post_script_without_a_network(
    local_agent: LocalAgent, app: App, tmp_path: Path, blobs: Blobs
) -> None:
    process = local_agent.start(app)
    app.answer()
    pre = delivered(noting(tmp_path, "pre", "sleep 600"), "pre.sh", timeout_ms=60_000)
    post = blobs.script("post.sh", noting(tmp_path, "post"))
    app.quiesce(filesystems="none", pre_script=pre, post_script=post, quiesce_timeout_ms=15_000)
    until(lambda: runs(tmp_path, "pre") == ["1"], "the pre-script")
    blobs.content.clear()

    process.kill()

    until(lambda: runs(tmp_path, "post") == ["1"], "the post-script, by the dead-man")
    process.wait()
    local_agent.start(
        app, command=app.command("arm", 0, {"budget_ms": 1, "session_ms": 60_000, "linger_ms": 1})
    )
    until(lambda: left(local_agent) == [], "the removal of the scripts")
    assert (runs(tmp_path, "pre"), runs(tmp_path, "post"), blobs.requests) == (["1"], ["1"], 1)


@pytest.mark.parametrize(
    "reason", ["script_hash_mismatch", "script_gone", "script_outside", "script_not_allowed"]
)
def test_what_refuses_a_script_refuses_it_before_anything_is_held(
    local_agent: LocalAgent, app: App, tmp_path: Path, blobs: Blobs, reason: str
) -> None:
    post: dict[str, Any] = delivered(noting(tmp_path, "post"), "post.sh")
    pre: dict[str, Any] = {"path": str(tmp_path / "pre"), "timeout_ms": 1_000}
    (tmp_path / "pre").write_text(noting(tmp_path, "pre"))
    (tmp_path / "pre").chmod(0o755)
    if reason == "script_hash_mismatch":
        post["content"] += "#"
    elif reason == "script_gone":
        post = blobs.script("post.sh", "x")
        blobs.content.clear()
    elif reason == "script_outside":
        post = {"path": "/bin/true", "timeout_ms": 1_000}
    else:
        guest_file(tmp_path, "delivered = no")
    local_agent.start(app)

    app.quiesce(filesystems="none", pre_script=pre, post_script=post)
    failed = app.answer()

    assert (failed.kind, failed.body["reason"]) == ("quiesce_failed", reason)
    assert (runs(tmp_path, "pre"), left(local_agent)) == ([], [])
