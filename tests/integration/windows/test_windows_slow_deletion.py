"""Shadow copies that take 10 s to delete: nobody is held meanwhile, and no deletion is lost."""

import os
import signal

import pytest

from tests.integration.agent.app_side import App, script, until
from tests.integration.windows.test_windows_vss import VOLUMES, Machine, ordered
from tests.integration.windows.wine import WindowsAgent

SLOW_S = 10


@pytest.fixture
def machine(agent: WindowsAgent) -> Machine:
    made = Machine(agent)
    made.set(volumes=VOLUMES, slow_delete_s=SLOW_S)
    return made


def deleting(machine: Machine, times: int = 1) -> None:
    until(lambda: machine.state().get("deleting", 0) >= times, "the deletion", 60.0)


def test_the_next_start_does_not_wait_for_a_dead_man_that_deletes(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    machine.set(volumes=VOLUMES, slow_delete_s=50)
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"
    agent.started[0].kill()
    deleting(machine)
    assert agent.runs("post.cmd") == ["1"]
    machine.set(**{**machine.state(), "slow_delete_s": 0})

    agent.start(app, command=app.command("resume", 1, {}), **machine.environ())
    assert not app.answer().body["held_until_order"]
    app.quiesce(
        2,
        filesystems="none",
        pre_script=script(agent.batch("pre.cmd")),
        quiesce_timeout_ms=50_000,
        freeze_budget_ms=60_000,
    )

    assert app.answer().kind == "quiesced", app.acks[-1].body
    assert machine.sets() == {}
    assert agent.runs("post.cmd") == ["1"]


def test_a_deletion_whose_dead_man_was_killed_is_made_by_the_next_start(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"
    agent.started[0].kill()
    deleting(machine)
    for pid in [*agent.dead_men(), *agent.wine.processes("diskshadow", agent.name)]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not agent.living(), "the end of all processes")
    assert len(machine.sets()) == 1

    agent.start(app, command=app.command("resume", 1, {}), **machine.environ())

    assert not app.answer().body["held_until_order"]
    assert machine.sets() == {}
    assert agent.runs("post.cmd") == ["1"]


def test_a_slow_deletion_by_order_comes_after_everything_was_let_go(
    agent: WindowsAgent, app: App, machine: Machine
) -> None:
    ordered(agent, app, machine)
    assert app.answer().kind == "quiesced"
    assert agent.runs("post.cmd") == ["1"], "the applications went on before"

    app.resume()

    assert app.answer().body["held_until_order"]
    assert machine.sets() == {}
