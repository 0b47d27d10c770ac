"""The whole protocol on Windows CPython: arm, quiesce, resume, release, with faults on the way."""

import base64
from typing import Any

from shared import protocol
from tests.integration.agent.app_side import KEY, App, script, until
from tests.integration.agent.stub import FAULTS, Faults, QueueStub
from tests.integration.windows.wine import WindowsAgent


def scripts(agent: WindowsAgent) -> dict[str, Any]:
    pre, post = agent.batch("pre.cmd"), agent.batch("post.bat")
    return {"pre_script": script(pre, "a b", "c&d"), "post_script": script(post), "filesystems": "none"}


def test_an_application_is_held_and_let_go(each_agent: WindowsAgent, app: App) -> None:
    agent = each_agent
    process = agent.start(app, arm={"linger_ms": 60_000})
    ready = app.answer()
    app.quiesce(**scripts(agent))
    quiesced = app.answer()
    app.resume()
    resumed = app.answer()
    app.release()
    released = app.answer()

    assert ready.body["os"] == "windows"
    assert ready.body["dead_man"]["armed"]
    assert quiesced.kind == "quiesced", quiesced.body
    assert [hold["kind"] for hold in quiesced.body["held"]] == ["script"]
    assert resumed.body["released_by"] == "order"
    assert resumed.body["held_until_order"]
    assert released.body["was_held"] is False
    assert {a.body["boot_id"] for a in (ready, quiesced, resumed, released)} == {ready.body["boot_id"]}
    assert agent.runs("pre.cmd") == ['1 "a b" "c&d"']
    assert agent.runs("post.bat") == ["1"]
    assert process.wait(60) == 0
    until(lambda: not agent.living(), "the dead-man's end")


def test_every_second_answer_of_the_queue_goes_wrong(
    each_agent: WindowsAgent, app: App, stub: QueueStub
) -> None:
    agent = each_agent
    stub.faults = Faults(0.4, FAULTS, seed=7)
    agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    for generation in (1, 2):
        app.quiesce(generation, **scripts(agent))
        assert app.answer().kind == "quiesced"
        app.resume(generation)
        assert app.answer().body["held_until_order"]

    assert agent.runs("pre.cmd") == ['1 "a b" "c&d"', '2 "a b" "c&d"']
    assert agent.runs("post.bat") == ["1", "2"]
    assert sum(stub.faults.done.values()) > 5


def test_doubled_forged_and_expired_commands_change_nothing(
    agent: WindowsAgent, app: App, stub: QueueStub
) -> None:
    agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    plan = {"quiesce_timeout_ms": 10_000, "freeze_budget_ms": 20_000, **scripts(agent)}
    expired = app.signed("quiesce", 1, 2, plan, expires_in_ms=-1)
    forged = protocol.encode_command(
        protocol.Command("quiesce", "/vm", app.saga, 1, 2, 2**50, plan), protocol.session_key(KEY, "other")
    )
    for text in (expired, forged, "{", "x" * 5_000):
        app.send(text)
    good = app.quiesce(**scripts(agent))
    for _ in range(3):
        stub.put("commands", base64.b64encode(good.encode()).decode())
    assert app.answer().kind == "quiesced"
    app.resume()

    assert app.answer().body["held_until_order"]
    until(lambda: stub.size("commands") == 0, "the end of all messages")
    assert agent.runs("pre.cmd") == ['1 "a b" "c&d"']
    assert agent.runs("post.bat") == ["1"]


def test_a_start_that_detaches_goes_on_without_its_starter(agent: WindowsAgent, app: App) -> None:
    starter = agent.start(app, "--detach", arm={"linger_ms": 60_000})
    assert starter.wait(60) == 0

    assert app.answer().kind == "ready"
    app.release()
    app.answer()
    until(lambda: not agent.living(), "the agent's end")


def test_a_second_start_hands_its_command_over(agent: WindowsAgent, app: App, stub: QueueStub) -> None:
    first = agent.start(app, arm={"linger_ms": 60_000})
    app.answer()
    other = App(stub, "saga-2")

    assert agent.start(other).wait(60) == 0

    assert first.poll() is None
    assert other.answer().kind == "ready"
