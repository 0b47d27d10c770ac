"""Whatever dies on Windows, the applications go on: by the dead-man, by the agent, or by the next start."""

import os
import signal

from tests.integration.agent.app_side import App, script, until
from tests.integration.windows.wine import WindowsAgent


def held(agent: WindowsAgent, app: App, **plan: int) -> None:
    agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    app.quiesce(
        filesystems="none",
        pre_script=script(agent.batch("pre.cmd")),
        post_script=script(agent.batch("post.cmd")),
        **plan,
    )
    assert app.answer().kind == "quiesced"


def test_the_dead_man_acts_when_the_budget_is_spent(each_agent: WindowsAgent, app: App) -> None:
    held(each_agent, app, freeze_budget_ms=8_000)

    resumed = app.unasked()

    assert resumed.body["released_by"] == "dead-man"
    assert not resumed.body["held_until_order"]
    assert each_agent.runs("post.cmd") == ["1"]


def test_the_dead_man_acts_when_the_agent_is_killed(each_agent: WindowsAgent, app: App) -> None:
    agent = each_agent
    held(agent, app)

    agent.started[0].kill()
    until(lambda: agent.runs("post.cmd"), "the post-script")
    until(lambda: not agent.living(), "the dead-man's end")
    agent.start(app, command=app.command("resume", 1, {}))

    assert app.answer().body["released_by"] == "dead-man"
    assert agent.runs("post.cmd") == ["1"]


def test_the_agent_acts_when_the_dead_man_is_killed(each_agent: WindowsAgent, app: App) -> None:
    held(each_agent, app)

    [dead_man] = each_agent.dead_men()
    os.kill(dead_man, signal.SIGKILL)

    assert app.unasked().body["released_by"] == "agent"
    assert each_agent.runs("post.cmd") == ["1"]


def test_the_next_start_acts_when_both_are_killed(agent: WindowsAgent, app: App) -> None:
    held(agent, app)
    # Whichever dies first would be missed by the other: both are stopped before they are killed.
    pids = [agent.started[0].pid, *agent.dead_men()]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    agent.started[0].wait()
    assert agent.runs("post.cmd") == []

    agent.start(app, command=app.command("resume", 1, {}))

    assert app.answer().body["released_by"] == "restart"
    assert agent.runs("post.cmd") == ["1"]


def test_a_pre_script_does_not_outlive_its_killed_agent(agent: WindowsAgent, app: App) -> None:
    agent.start(app)
    app.answer()
    app.quiesce(
        filesystems="none",
        pre_script=script(agent.batch("pre.cmd", "ping -n 60 127.0.0.1 >nul\necho late>>%~f0.late")),
        post_script=script(agent.batch("post.cmd")),
    )
    until(lambda: agent.runs("pre.cmd"), "the pre-script's start")

    agent.started[0].kill()

    until(lambda: agent.runs("post.cmd"), "the post-script")
    until(lambda: not agent.living(), "the end of all processes")
    assert not agent.wine.processes("ping", "60")
    assert not (agent.folder / "pre.cmd.late").exists()
