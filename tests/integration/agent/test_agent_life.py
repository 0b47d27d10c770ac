"""How an agent begins and ends: bootstraps, hand-overs, daemons, one per state folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.agent.app_side import App, hooks, runs, script, until
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub


def test_the_agent_ends_by_itself_after_its_session(local_agent: LocalAgent, app: App) -> None:
    process = local_agent.start(app)
    app.answer()

    app.release()
    assert app.answer().body["was_held"] is False

    assert process.wait(30) == 0
    until(lambda: not local_agent.living(), "the dead-man's end")


def test_the_agent_ends_when_the_sessions_time_is_over(local_agent: LocalAgent, app: App) -> None:
    process = local_agent.start(app, arm={"session_ms": 300})
    app.answer()

    assert process.wait(30) == 0


def test_the_agent_lingers_for_repeated_commands_and_then_ends(
    local_agent: LocalAgent, app: App, tmp_path: Path
) -> None:
    process = local_agent.start(app, arm={"linger_ms": 500})
    app.answer()
    app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()
    app.resume()
    app.answer()

    assert process.wait(30) == 0


def test_a_second_start_hands_its_command_to_the_running_agent(
    local_agent: LocalAgent, app: App, stub: QueueStub
) -> None:
    first = local_agent.start(app)
    app.answer()
    other = App(stub, "saga-2")

    second = local_agent.start(other)

    assert second.wait(30) == 0
    assert first.poll() is None
    until(lambda: "arm of generation 0, sequence 1" in local_agent.log(), "the hand-over")
    assert other.answer().kind == "ready"


def test_a_hand_over_while_something_is_held_waits_for_its_release(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    local_agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()
    other = App(stub, "saga-2")

    second = local_agent.start(other)
    assert second.wait(30) == 0
    app.resume()
    assert app.answer().body["held_until_order"]

    assert other.answer().kind == "ready"
    assert runs(tmp_path, "post") == ["1"]


def test_a_hand_over_brings_newer_queues(local_agent: LocalAgent, app: App) -> None:
    local_agent.start(app, stay=True)
    app.answer()
    newer = QueueStub()
    try:
        app.queues = newer
        assert local_agent.start(app, stay=True).wait(30) == 0

        assert app.answer().kind == "ready"
        app.release()
        assert app.answer().kind == "released"
    finally:
        newer.close()


def test_a_detached_agent_outlives_its_starter(local_agent: LocalAgent, app: App) -> None:
    starter = local_agent.start(app, "--detach")

    assert starter.wait(30) == 0
    assert app.answer().kind == "ready"
    agents = [pid for pid in local_agent.living() if os.getsid(pid) != os.getsid(0)]
    assert agents
    for pid in agents:
        streams = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
        assert not any(stream.startswith(("/dev/pts", "/dev/tty")) for stream in streams)
    app.release()
    assert app.answer().kind == "released"
    until(lambda: not local_agent.living(), "its end")


def test_nothing_that_the_agent_starts_inherits_the_bootstrap(
    local_agent: LocalAgent, app: App, tmp_path: Path
) -> None:
    local_agent.start(app)
    app.answer()
    path = tmp_path / "look"
    path.write_text("#!/bin/sh\nenv\n")
    path.chmod(0o755)

    app.quiesce(filesystems="none", pre_script=script(str(path)))
    body = app.answer().body

    shown = body["script"]["output"] if body["script"] else ""
    assert "STILLFRAME_PHASE=pre" in shown
    assert "STILLFRAME_BOOTSTRAP" not in shown


def test_a_terminated_agent_lets_go_first(local_agent: LocalAgent, app: App, tmp_path: Path) -> None:
    process = local_agent.start(app)
    app.answer()
    app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()

    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert app.unasked().body["released_by"] == "agent"
    assert runs(tmp_path, "post") == ["1"]


@pytest.mark.parametrize(
    ("bootstrap", "told"),
    [
        (None, "STILLFRAME_BOOTSTRAP: expected a JSON object"),
        ("{", "STILLFRAME_BOOTSTRAP: expected a JSON object"),
        ({"vm": "/vm"}, "STILLFRAME_BOOTSTRAP.key: expected a text"),
        (
            {"vm": "/vm", "key": "00", "command_queue": "http://example.org/q", "ack_queue": "https://e/q"},
            "example.org: only https is spoken to other machines",
        ),
    ],
)
def test_a_wrong_start_says_what_is_wrong(bootstrap: object, told: str, pyz: str, tmp_path: Path) -> None:
    environ = {**os.environ, "STILLFRAME_STATE_DIR": str(tmp_path / "state"), "STILLFRAME_MOUNTS": ""}
    if bootstrap is not None:
        text = bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap)
        environ["STILLFRAME_BOOTSTRAP"] = text

    done = subprocess.run(
        [sys.executable, pyz, "run"], check=False, env=environ, capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 2
    assert done.stderr == f"stillframe agent: {told}\n"
