"""The instant in shadow copies, through a whole session, with stand-ins of diskshadow and vssadmin."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from local import vss_stand_in
from tests.integration.agent.app_side import App, script, until
from tests.integration.windows.wine import WindowsAgent

STAND_IN = Path(vss_stand_in.__file__).read_text()
VOLUMES = ["C:", "Z:"]  # the drives of a Wine prefix


class Machine:
    """The shadow copies of the prefix."""

    def __init__(self, agent: WindowsAgent) -> None:
        self.agent = agent
        self.path = agent.wine.drive / "machine" / f"{agent.name}.json"
        self.path.parent.mkdir(exist_ok=True)
        self.set(volumes=VOLUMES)
        system32 = agent.wine.drive / "windows" / "system32"
        for name in ("diskshadow", "vssadmin"):
            if not (system32 / f"{name}.exe").exists():
                end = f"code = main({name!r}, sys.orig_argv[1:])\nsys.stdout.flush()\nos._exit(code)"
                text = f"{STAND_IN}\n{end}\n"
                agent.wine.program(agent.python, system32 / f"{name}.exe", text)

    def set(self, **members: Any) -> None:
        self.path.write_text(json.dumps(members))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def sets(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state().get("sets", {})
        return found

    def environ(self) -> dict[str, str]:
        return {"VSS_STAND_IN": self.agent.wine.path(self.path)}


@pytest.fixture
def machine(agent: WindowsAgent) -> Machine:
    return Machine(agent)


def ordered(agent: WindowsAgent, app: App, machine: Machine, lifetime_ms: int = 60_000) -> None:
    agent.start(app, arm={"linger_ms": 60_000}, **machine.environ())
    app.answer()
    app.quiesce(
        quiesce_timeout_ms=50_000,
        freeze_budget_ms=60_000,
        pre_script=script(agent.batch("pre.cmd")),
        post_script=script(agent.batch("post.cmd")),
        anchor={"provider": "vss", "lifetime_ms": lifetime_ms, "settings": {"retry_delay_ms": "100"}},
    )


def test_the_application_goes_on_while_the_instant_is_kept(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    ordered(agent, app, machine)
    quiesced = app.answer()

    assert quiesced.kind == "quiesced", quiesced.body
    assert quiesced.body["anchored"]
    holds = [(hold["kind"], hold["name"], hold["mode"]) for hold in quiesced.body["held"]]
    assert [hold for hold in holds if hold[0] == "vss"] == [("vss", name, "anchor") for name in VOLUMES]
    assert quiesced.body["not_held"] == []
    assert agent.runs("post.cmd") == ["1"]
    assert len(machine.sets()) == 1

    app.resume()
    resumed = app.answer()

    assert resumed.body["held_until_order"], resumed.body
    assert machine.sets() == {}
    assert agent.runs("post.cmd") == ["1"]


def test_a_copy_that_windows_dropped_is_told_of(agent: WindowsAgent, app: App, machine: Machine) -> None:
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"
    state = machine.state()
    next(iter(state["sets"].values())).pop("C:")
    machine.set(**state)

    app.resume()

    assert not app.answer().body["held_until_order"]
    assert machine.sets() == {}


def test_a_writer_that_fails_leaves_nothing_behind(agent: WindowsAgent, app: App, machine: Machine) -> None:
    machine.set(volumes=VOLUMES, writers={"SqlServerWriter": [1, "VSS_WS_FAILED_AT_FREEZE", 0x800423F4]})
    ordered(agent, app, machine)

    failed = app.answer()

    assert (failed.kind, failed.body["reason"]) == ("quiesce_failed", "writer_failed")
    assert machine.sets() == {}
    assert agent.runs("post.cmd") == ["1"]


def test_the_dead_man_deletes_the_copies_of_an_agent_that_was_killed(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"

    agent.started[0].kill()

    until(lambda: machine.sets() == {}, "the end of the set", 60.0)
    until(lambda: not agent.living(), "the dead-man's end", 60.0)


def test_the_copies_go_when_their_lifetime_is_spent(agent: WindowsAgent, app: App, machine: Machine) -> None:
    ordered(agent, app, machine, lifetime_ms=20_000)
    assert app.answer().kind == "quiesced"

    resumed = app.unasked()

    assert not resumed.body["held_until_order"]
    until(lambda: machine.sets() == {}, "the end of the set", 60.0)


def test_what_a_reboot_left_behind_is_deleted_at_boot(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"
    pids = [agent.started[0].pid, *agent.dead_men()]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    until(lambda: not agent.living(), "the end of all processes")
    assert len(machine.sets()) == 1

    agent.tidy(**machine.environ())

    assert machine.sets() == {}
