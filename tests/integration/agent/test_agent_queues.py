"""Sessions over a bad line, and messages that must not be acted on."""

import json
from pathlib import Path

import pytest

from agent.config import IDLE_POLL_MS
from shared import protocol
from tests.integration.agent.app_side import VM, App, hooks, runs, until
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import FAULTS, Faults, QueueStub

#: How often the app repeats a command that is not answered (s): less than the agent's invisibility of 5 s.
_REPEAT_S = 2.0


def answered(app: App, text: str) -> protocol.Ack:
    """Send a command again and again until it is answered, as the app does."""
    app.send(text)
    for _ in range(20):
        try:
            return app.answer(patience_s=_REPEAT_S)
        except AssertionError:
            app.send(text)
    return app.answer()


@pytest.mark.parametrize("fault", FAULTS)
def test_on_a_bad_line_every_command_is_answered_and_each_hook_runs_once(
    fault: str, python: str, stub: QueueStub, pyz: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    agent, app = LocalAgent(pyz, tmp_path, python), App(stub)
    stub.faults = Faults(0.4, (fault,), seed=7)
    try:
        process = agent.start(app, arm={"linger_ms": 60_000})
        assert app.answer().kind == "ready"
        for generation in (1, 2):
            plan = {"quiesce_timeout_ms": 10_000, "freeze_budget_ms": 60_000, "filesystems": "none"}
            quiesced = answered(app, app.command("quiesce", generation, {**plan, **hooks(tmp_path)}))
            resumed = answered(app, app.command("resume", generation, {}))
            assert (quiesced.kind, resumed.kind) == ("quiesced", "resumed")
            assert resumed.body["held_until_order"]
        assert answered(app, app.command("release", 2, {"why": "done"})).kind == "released"

        assert process.wait(60) == 0
    finally:
        agent.close()

    assert runs(tmp_path, "pre") == runs(tmp_path, "post") == ["1", "2"]
    assert stub.faults.done[fault] > 0


def test_a_command_that_comes_twice_is_carried_out_once_and_answered_twice(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    local_agent.start(app)
    app.answer()
    text = app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()
    sent = stub.requests["put"]

    for _ in range(3):
        app.send(text)
    until(lambda: stub.requests["put"] >= sent + 1 and stub.size("commands") == 0, "a repeated answer")
    app.resume()
    app.answer()

    assert [ack.kind for ack in app.collect()] == ["ready", "quiesced", "resumed"]
    assert runs(tmp_path, "pre") == ["1"]


def test_what_must_not_be_acted_on_is_dropped_and_counted(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    local_agent.start(app, arm={"session_ms": 300_000})
    app.answer()
    body = {"quiesce_timeout_ms": 1_000, "freeze_budget_ms": 1_000, "filesystems": "none", **hooks(tmp_path)}
    good = app.signed("quiesce", 1, 9, body)
    forger = App(stub, app.saga)
    forger.key = b"guessed"
    tampered = json.loads(good)
    tampered["body"]["pre_script"]["path"] = "/bin/false"
    stranger = protocol.Command("quiesce", VM + "x", app.saga, 1, 9, 2**50, body)
    ack = protocol.Ack("ready", VM, app.saga, 1, 9, 1, 1, {})
    cases = {
        "bad_signature": [forger.signed("quiesce", 1, 9, body), json.dumps(tampered)],
        "expired": [app.signed("quiesce", 1, 9, body, expires_in_ms=-1)],
        "replayed": [app.signed("release", 1, 0, {})],
        "stranger": [protocol.encode_command(stranger, app.key)],
        "too_large": ["x" * (protocol.MAX_BYTES + 1)],
        "unknown_version": [good.replace('"stillframe":1', '"stillframe":2')],
        "malformed": [
            good[:-40],
            "",
            "[]",
            "[" * 40_000,
            protocol.encode_ack(ack, app.key),
            app.signed("quiesce", 1, 9, {}),
        ],
    }

    for texts in cases.values():
        for text in texts:
            app.send(text)
    stub.put("commands", "this is no base64 ///")
    wanted = {reason: len(texts) for reason, texts in cases.items()}
    wanted["malformed"] += 1

    until(lambda: sum(local_agent.counters().values()) == sum(wanted.values()), "their count")
    assert local_agent.counters() == wanted
    until(lambda: stub.size("commands") == 0, "the deletion of them all")
    assert [ack.kind for ack in app.collect()] == ["ready"]
    assert runs(tmp_path, "pre") == runs(tmp_path, "post") == []


def test_a_flood_of_forgeries_delays_but_does_not_stop_a_session(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    forger = App(stub, app.saga)
    forger.key = b"guessed"
    for number in range(2_000):
        forger.send(forger.signed("release", 1, 100 + number, {}))
    local_agent.start(app)
    app.answer()

    app.quiesce(filesystems="none", **hooks(tmp_path))
    assert app.answer().kind == "quiesced"

    until(lambda: local_agent.counters() == {"bad_signature": 2_000}, "the count")


def test_a_session_that_has_ended_cannot_be_played_back(
    local_agent: LocalAgent, app: App, tmp_path: Path
) -> None:
    arm = app.arm()
    local_agent.start(app, command=arm, stay=True)
    app.answer()
    quiesce = app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()
    app.resume()
    app.answer()
    app.release()
    app.answer()

    until(lambda: "the session has ended" in local_agent.log(), "the session's end")
    app.send(arm)
    app.send(quiesce)

    until(lambda: local_agent.counters() == {"replayed": 2}, "their refusal")
    assert runs(tmp_path, "pre") == ["1"]


def test_an_ack_that_was_not_confirmed_is_sent_by_the_next_start(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    first = local_agent.start(app)
    app.answer()
    stub.faults = Faults(1.0, ("503",))
    app.quiesce(filesystems="none", **hooks(tmp_path))
    stub.faults = Faults(0.0)
    until(lambda: runs(tmp_path, "pre") == ["1"], "the pre-script")
    until(lambda: '"Quiesced"' in (local_agent.state / "state.json").read_text(), "the journal")
    first.kill()
    first.wait()
    app.acks.clear()

    local_agent.start(app)
    told = app.unasked()

    assert (told.kind, told.body["held_until_order"]) == ("resumed", False)
    assert runs(tmp_path, "post") == ["1"]


def test_an_idle_agent_asks_seldom_and_a_hand_over_wakes_it_at_once(
    local_agent: LocalAgent, app: App, stub: QueueStub
) -> None:
    local_agent.start(app, stay=True, command=app.command("release", 0, {"why": "nothing is armed"}))
    assert app.answer().kind == "released"
    asked = stub.requests["receive"]
    other = App(stub, "saga-2")
    local_agent.start(other, stay=True)

    assert other.answer().kind == "ready"

    looks_of_an_armed_agent = 20 * IDLE_POLL_MS // 1000
    assert stub.requests["receive"] - asked < looks_of_an_armed_agent
