"""The agent that a Windows guest keeps: started by its task, woken by its queue, upgraded while it works."""

import hashlib
import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.compute.agent_package import FETCH
from tests.integration.agent.app_side import App, enrolled, script, until
from tests.integration.agent.stub import QueueStub
from tests.integration.windows.conftest import PatientApp
from tests.integration.windows.wine import WindowsAgent

WAITS_S = 120.0


def armed(stub: QueueStub, saga: str) -> App:
    app = PatientApp(stub, saga)
    app.send(app.arm())
    assert app.answer().body["resident"] is True
    return app


def held(agent: WindowsAgent, app: App) -> None:
    pre, post = script(agent.batch("pre.cmd")), script(agent.batch("post.cmd"))
    app.quiesce(pre_script=pre, post_script=post, filesystems="none")
    assert app.answer().kind == "quiesced", app.acks[-1].body


def other(agent: WindowsAgent) -> Path:
    """Make another version of the program."""
    path = agent.program.with_name("fresh.pyz")
    shutil.copy(agent.program, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"another version"
    return path


def versions(agent: WindowsAgent) -> list[str]:
    return sorted(path.name for path in agent.program.parent.glob("agent-*.pyz"))


def named(program: Path) -> str:
    return f"agent-{hashlib.sha256(program.read_bytes()).hexdigest()[:16]}.pyz"


def test_a_resident_agent_serves_one_session_after_the_other(agent: WindowsAgent, stub: QueueStub) -> None:
    agent.place(agent.program)
    process = agent.reside(enrolled(stub))
    for number in (1, 2):
        app = armed(stub, f"saga-{number}")
        held(agent, app)
        app.resume()
        assert app.answer().body["held_until_order"]
        app.release()
        assert app.answer().kind == "released"

    assert process.poll() is None
    assert agent.runs("post.cmd") == ["1", "1"]


def test_a_session_is_finished_by_its_version_and_the_task_starts_the_next(
    agent: WindowsAgent, stub: QueueStub
) -> None:
    first, second = agent.program, other(agent)
    agent.place(first)
    process = agent.reside(enrolled(stub))
    app = armed(stub, "saga-1")
    held(agent, app)

    agent.place(second)

    assert versions(agent) == sorted([named(first), named(second)]), "what runs is not deleted"
    app.resume()
    assert app.answer().body["held_until_order"]
    assert process.poll() is None
    app.release()
    app.answer()
    assert process.wait(WAITS_S) == 0
    assert "another version was installed" in agent.log()
    agent.reside(enrolled(stub))
    armed(stub, "saga-2")
    agent.place(second)
    assert versions(agent) == [named(second)], "what no longer runs is deleted"


def test_a_run_command_hands_its_session_to_the_resident_agent(agent: WindowsAgent, stub: QueueStub) -> None:
    agent.place(agent.program)
    resident = agent.reside(enrolled(stub))
    until((agent.state / "agent.log").exists, "the resident agent", WAITS_S)
    app = PatientApp(stub)

    assert agent.start(app).wait(WAITS_S) == 0

    assert app.answer().body["resident"] is True
    app.release()
    app.answer()
    assert resident.poll() is None


@pytest.fixture
def served(agent: WindowsAgent) -> Iterator[tuple[Path, str]]:
    """Another version, and the URL where it is to be had."""
    package = other(agent)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(package.parent))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield package, f"http://127.0.0.1:{server.server_address[1]}/{package.name}"
        server.shutdown()


def fetched(agent: WindowsAgent, url: str, sha256: str) -> None:
    """Do what the run command does before it starts the agent."""
    more = {
        "STILLFRAME_PACKAGE_URL": url,
        "STILLFRAME_PACKAGE_SHA256": sha256,
        "STILLFRAME_PACKAGE_UPGRADE": "1",
    }
    installed = agent.wine.path(agent.program.with_name(named(agent.program)))
    agent.call(Path("-"), installed, stdin=FETCH.encode("ascii"), **more)


def test_a_run_command_brings_the_pinned_version(agent: WindowsAgent, served: tuple[Path, str]) -> None:
    package, url = served
    agent.place(agent.program)

    fetched(agent, url, hashlib.sha256(package.read_bytes()).hexdigest())

    assert agent.program.with_name("current").read_text() == named(package)


def test_a_version_that_is_not_the_pinned_one_is_not_installed(
    agent: WindowsAgent, served: tuple[Path, str]
) -> None:
    agent.place(agent.program)

    fetched(agent, served[1], "0" * 64)

    assert agent.program.with_name("current").read_text() == named(agent.program)


def test_a_check_looks_at_the_guest_and_at_the_way_to_its_queues(
    agent: WindowsAgent, stub: QueueStub
) -> None:
    bootstrap = json.dumps(enrolled(stub))

    told = agent.call(agent.program, "check", "--json", stdin=b"", STILLFRAME_BOOTSTRAP=bootstrap)

    found = {each["name"]: each["verdict"] for each in json.loads(told)["findings"]}
    looked_at = ("python", "rights", "queue-dns", "queue-tcp", "queue-http", "clock", "commands", "acks")
    assert [(name, found[name]) for name in looked_at] == [(name, "ok") for name in looked_at]
    assert found["vss"] == "warning"  # Wine has no diskshadow
