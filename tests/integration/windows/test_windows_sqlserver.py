"""SQL Server held by its handler on Windows, with a stand-in of sqlcmd.exe."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.app_side import App, script, until
from tests.integration.windows.wine import WindowsAgent

STAND_IN = Path(__file__).parents[1] / "agent" / "stand_ins" / "sqlcmd"
INSTANCES = "HKLM\\SOFTWARE\\Microsoft\\Microsoft SQL Server\\Instance Names\\SQL"
NAMES = ["orders", "Bücher", "50% & more"]
#: As ``-f 65001`` orders; else in the code page of consoles.
BEGIN = """
import sys
sys.argv = sys.orig_argv
sys.stdout.reconfigure(encoding="utf-8" if "65001" in sys.argv else "cp437", errors="replace")
"""
END = """
sys.stdout.flush()
os._exit(0)
"""
#: An exit of the stand-in must not go on as an interpreter.
EXITS = ("sys.exit(1)", "os._exit(1)")


class SQLServer:
    """The instance of one prefix."""

    def __init__(self, agent: WindowsAgent) -> None:
        self.agent = agent
        self.path = agent.wine.drive / "server" / f"{agent.name}.json"
        self.path.parent.mkdir(exist_ok=True)
        self.change(version=16, started="2026-01-01T00:00:00", databases=NAMES, suspended={}, log=[])
        program = agent.wine.drive / "Program Files" / "SqlCmd" / "sqlcmd.exe"
        if not program.exists():
            program.parent.mkdir()
            agent.wine.program(agent.python, program, BEGIN + STAND_IN.read_text().replace(*EXITS) + END)

    def change(self, **members: Any) -> None:
        found = self.state if self.path.exists() else {}
        fresh = self.path.with_suffix(".changed")
        fresh.write_text(json.dumps({**found, **members}))
        fresh.replace(self.path)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def suspended(self) -> list[str]:
        return sorted(self.state["suspended"])


@pytest.fixture
def server(agent: WindowsAgent) -> Iterator[SQLServer]:
    made = SQLServer(agent)
    agent.wine.run("reg", "add", INSTANCES, "/v", "MSSQLSERVER", "/d", "MSSQL16.MSSQLSERVER", "/f")
    yield made
    agent.wine.run("reg", "delete", INSTANCES, "/f")


def ordered(agent: WindowsAgent, app: App, server: SQLServer, **plan: Any) -> None:
    agent.start(app, arm={"linger_ms": 60_000}, STAND_IN_STATE=agent.wine.path(server.path))
    app.answer()
    app.quiesce(
        **{
            "handlers": [{"name": "sqlserver"}],
            "filesystems": "none",
            "quiesce_timeout_ms": 50_000,
            "freeze_budget_ms": 60_000,
            "post_script": script(agent.batch("post.cmd")),
            **plan,
        }
    )


def test_the_databases_are_suspended_until_the_order(
    agent: WindowsAgent, app: App, server: SQLServer
) -> None:
    ordered(agent, app, server)
    quiesced = app.answer()

    assert quiesced.kind == "quiesced", quiesced.body
    held = [(hold["kind"], hold["name"], hold["mode"]) for hold in quiesced.body["held"]]
    assert held == [("handler", "sqlserver:localhost", "frozen")]
    assert server.suspended() == sorted(NAMES)

    app.resume()
    resumed = app.answer()

    assert resumed.body["held_until_order"], resumed.body
    assert server.suspended() == []
    assert agent.runs("post.cmd") == ["1"]


def test_an_instance_is_found_by_itself(agent: WindowsAgent, app: App, server: SQLServer) -> None:
    ordered(agent, app, server, handlers="auto")
    quiesced = app.answer()

    assert [hold["name"] for hold in quiesced.body["held"]] == ["sqlserver:localhost"], quiesced.body


def test_the_databases_are_let_go_when_their_process_is_killed(
    agent: WindowsAgent, app: App, server: SQLServer
) -> None:
    ordered(agent, app, server)
    assert app.answer().kind == "quiesced"

    [holder] = agent.wine.processes("hold", agent.name)
    os.kill(holder, signal.SIGKILL)

    assert not app.unasked().body["held_until_order"]
    assert server.suspended() == []


def test_the_databases_are_let_go_when_agent_and_handler_are_killed(
    agent: WindowsAgent, app: App, server: SQLServer
) -> None:
    ordered(agent, app, server)
    assert app.answer().kind == "quiesced"

    for pid in (agent.started[0].pid, *agent.wine.processes("hold", agent.name)):
        os.kill(pid, signal.SIGKILL)

    until(lambda: agent.runs("post.cmd"), "the post-script", 60.0)
    assert server.suspended() == []


def test_a_client_does_not_outlive_its_killed_handler(
    agent: WindowsAgent, app: App, server: SQLServer
) -> None:
    server.change(slow_s=15)
    ordered(agent, app, server)
    until(lambda: any("= ON" in text for text in server.state["log"]), "the order to suspend", 60.0)
    assert agent.wine.processes("sqlcmd")

    [holder] = agent.wine.processes("hold", agent.name)
    os.kill(holder, signal.SIGKILL)

    until(lambda: not agent.wine.processes("sqlcmd", "= ON"), "the client's end", 10.0)
    assert app.answer().kind == "quiesce_failed"
    assert server.suspended() == []
