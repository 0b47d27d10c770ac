"""Scripts on Windows: what Wine can run of them, their arguments, their end with all that they started."""

import json
import os
import signal

import pytest

from shared.protocol import Ack
from tests.integration.agent.app_side import App, script, until
from tests.integration.windows.wine import WindowsAgent

ARGUMENTS = ("a b", 'say "hi"', "%PATH%", "", "C:\\folder\\", 'back\\"slash', "a&b|c>d^e", "ä€")
ECHO = "import json; open(sys.orig_argv[1], 'w').write(json.dumps(sys.orig_argv[2:])); code = 0"


def program(agent: WindowsAgent, name: str, text: str) -> str:
    """Make a real .exe of a Python text, which ends the interpreter before that looks at any argument."""
    target = agent.folder / name
    agent.wine.program(agent.python, target, f"import os, sys\n{text}\nsys.stdout.flush()\nos._exit(code)\n")
    return agent.wine.path(target)


def answered(agent: WindowsAgent, app: App, pre: str, *arguments: str, timeout_ms: int = 30_000) -> Ack:
    agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    app.quiesce(
        filesystems="none",
        quiesce_timeout_ms=40_000,
        freeze_budget_ms=60_000,
        pre_script=script(pre, *arguments, timeout_ms=timeout_ms),
        post_script=script(agent.batch("post.cmd")),
    )
    return app.answer()


def test_a_program_gets_its_arguments_as_they_were_sent(agent: WindowsAgent, app: App) -> None:
    told = agent.folder / "told.json"

    ack = answered(agent, app, program(agent, "pre.exe", ECHO), agent.wine.path(told), *ARGUMENTS)

    assert ack.kind == "quiesced", ack.body
    assert json.loads(told.read_text()) == list(ARGUMENTS)


def test_a_time_out_ends_all_that_a_script_started(agent: WindowsAgent, app: App) -> None:
    text = (
        'start "" /b ping -n 62 127.0.0.1 >nul\necho here\nping -n 63 127.0.0.1 >nul\necho late>>"%~f0.late"'
    )
    pre = agent.batch("pre.cmd", text)
    agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    app.quiesce(
        filesystems="none",
        quiesce_timeout_ms=40_000,
        freeze_budget_ms=60_000,
        pre_script=script(pre, timeout_ms=8_000),
        post_script=script(agent.batch("post.cmd")),
    )
    until(lambda: agent.wine.processes("ping", "62") and agent.wine.processes("ping", "63"), "two pings")

    ack = app.answer()

    assert (ack.kind, ack.body["reason"]) == ("quiesce_failed", "script_timed_out")
    assert "here" in ack.body["script"]["output"]
    assert not agent.wine.processes("ping", "127.0.0.1")
    assert not (agent.folder / "pre.cmd.late").exists()
    assert agent.runs("post.cmd") == ["1"]


def test_what_a_script_left_running_on_purpose_goes_on(agent: WindowsAgent, app: App) -> None:
    ack = answered(agent, app, agent.batch("pre.cmd", 'start "" /b ping -n 64 127.0.0.1 >nul'))

    assert ack.kind == "quiesced", ack.body
    left = agent.wine.processes("ping", "64")
    assert left
    app.resume()
    app.answer()
    assert agent.wine.processes("ping", "64") == left
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_a_flood_of_output_is_read_and_kept_in_bounds(agent: WindowsAgent, app: App) -> None:
    flood = "sys.stdout.write('first' + 'x' * 2_000_000 + 'last'); code = 3"

    ack = answered(agent, app, program(agent, "pre.exe", flood))

    assert (ack.kind, ack.body["reason"]) == ("quiesce_failed", "script_failed")
    assert ack.body["script"]["exit_code"] == 3
    output = ack.body["script"]["output"]
    assert output.startswith("first")
    assert output.endswith("last")
    assert len(output) < 10_000


@pytest.mark.parametrize(
    ("name", "arguments", "mode", "reason"),
    [
        ("pre.cmd", ("%PATH%",), 0o755, "script_arguments"),
        ("pre.sh", (), 0o755, "script_not_executable"),
        ("pre.cmd", (), 0o777, "script_unsafe"),
    ],
)
def test_a_script_that_must_not_be_run_is_refused_before_anything_is_held(
    agent: WindowsAgent, app: App, name: str, arguments: tuple[str, ...], mode: int, reason: str
) -> None:
    pre = agent.batch(name)
    (agent.folder / name).chmod(mode)

    ack = answered(agent, app, pre, *arguments)

    assert (ack.kind, ack.body["reason"]) == ("quiesce_failed", reason)
    assert agent.runs(name) == []
    assert agent.runs("post.cmd") == []
