"""A storage account in the wrong hands: it can delay and lose, and nothing else."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import protocol
from tests.integration.agent.app_side import VM, App, hooks, runs, until
from tests.integration.agent.imds import ImdsStub
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub

LAUNCHER = str(Path(__file__).with_name("planted.py"))
MESSAGES = 10_000
#: 10,000 messages, each counted, logged and deleted over HTTP (s).
_PATIENCE_S = 600.0

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<QueueMessagesList><QueueMessage><MessageText>&b;</MessageText></QueueMessage></QueueMessagesList>"
)


def hostile(app: App, seen: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Give messages that must not be acted on, each with the reason that it is to be counted under.

    ``seen`` are genuine commands that were carried out: who holds the storage has read them all.
    """
    chance = random.Random(20)
    plan = {"quiesce_timeout_ms": 1_000, "freeze_budget_ms": 1_000, "filesystems": "none", **hooks(folder)}
    guesser = App(app.queues, app.saga)
    guesser.key = b"guessed"
    elsewhere = App(app.queues, "another-saga")
    elsewhere.key = app.key  # signed with the key of a session that it does not belong to
    last = seen[-1]
    while True:
        generation, sequence = chance.randint(0, 9), chance.randint(1, 99)
        kind = chance.choice(["arm", "quiesce", "resume", "release"])
        changed = json.loads(last)
        changed[chance.choice(["generation", "sequence", "expires_at"])] += chance.randint(1, 9)
        command = protocol.Command(kind, VM + "x", app.saga, generation, sequence, 2**50, plan)
        yield "bad_signature", guesser.signed(kind, generation, sequence, plan)
        yield "bad_signature", elsewhere.signed(kind, generation, sequence, plan)
        yield "bad_signature", json.dumps(changed)
        yield "replayed", chance.choice(seen[:-1])
        yield "malformed", last[: chance.randint(0, len(last) - 1)]
        yield "malformed", "[" * chance.randint(1, 20_000)
        yield "too_large", last + " " * protocol.MAX_BYTES
        yield "stranger", protocol.encode_command(command, app.key)
        yield "expired", app.signed(kind, generation, sequence, plan, expires_in_ms=-1)
        yield "unknown_version", last.replace('"stillframe":1', '"stillframe":9')


def served(agent: LocalAgent, app: App, folder: Path, **planted: str) -> list[str]:
    """Play two generations of a session that goes on; give its commands, which the storage has seen."""
    hour = 3_600_000
    plan = {"quiesce_timeout_ms": 20_000, "freeze_budget_ms": 60_000, "filesystems": "none"}
    body = {"budget_ms": 60_000, "session_ms": hour, "linger_ms": hour}
    seen = [app.command("arm", 0, body, expires_in_ms=hour)]
    agent.start(app, command=seen[0], **planted)
    app.answer()
    for generation in (1, 2):
        more = {**plan, **hooks(folder)}
        seen.append(app.command("quiesce", generation, more, expires_in_ms=hour))
        app.send(seen[-1])
        assert app.answer().kind == "quiesced"
        app.resume(generation)
        assert app.answer().kind == "resumed"
    return seen


def acted_on(app: App, folder: Path) -> list[str]:
    """Give what an agent has done beyond the session that `served` played: acks, and scripts that ran."""
    scripts = [f"{name} {run}" for name in ("pre", "post") for run in runs(folder, name)[2:]]
    return [ack.kind for ack in app.collect()[5:]] + scripts


@pytest.mark.timeout(900)
def test_of_ten_thousand_hostile_messages_none_is_acted_on_and_all_are_counted(
    local_agent: LocalAgent, app: App, stub: QueueStub, tmp_path: Path
) -> None:
    seen = served(local_agent, app, tmp_path)
    messages = hostile(app, seen, tmp_path)
    batch = [next(messages) for _ in range(MESSAGES)]
    random.Random(21).shuffle(batch)
    for _, text in batch:
        app.send(text)

    wanted = Counter(reason for reason, _ in batch)
    until(lambda: stub.size("commands") == 0, "the deletion of them all", _PATIENCE_S)
    counted = local_agent.counters()
    assert set(counted) == set(wanted)
    # One that was not deleted in time comes again, and is counted again.
    assert all(counted[reason] >= number for reason, number in wanted.items()), (counted, wanted)
    assert sum(counted.values()) < 1.5 * MESSAGES
    assert acted_on(app, tmp_path) == []
    app.release(2)  # and the session that they were aimed at goes on
    assert app.answer(patience_s=_PATIENCE_S).kind == "released"


@pytest.mark.parametrize("check", ["signature", "expiry"])
def test_an_agent_that_left_out_a_check_would_be_found_by_the_flood(
    check: str, app: App, pyz: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    agent = LocalAgent(LAUNCHER, tmp_path)
    try:
        seen = served(agent, app, tmp_path, PLANTED_PYZ=pyz, PLANTED_UNCHECKED=check)
        assert acted_on(app, tmp_path) == []
        messages = hostile(app, seen, tmp_path)
        for _ in range(200):
            app.send(next(messages)[1])

        until(lambda: acted_on(app, tmp_path), "something that was acted on")
    finally:
        agent.close()


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        b"<QueueMessagesList>" + b"<QueueMessage/>" * 300_000,
        b"<a>" * 200_000,
        "<QueueMessagesList/>".encode("utf-16"),
        b"\xff" * 1_000,
        b"x" * (5 * 1024 * 1024),
    ],
    ids=["entities", "endless list", "deep", "utf-16", "no text", "too long"],
)
def test_a_hostile_answer_is_refused_and_the_agent_serves_on(
    document: bytes, local_agent: LocalAgent, app: App, stub: QueueStub
) -> None:
    local_agent.start(app)
    app.answer()
    stub.document = document
    until(lambda: "receive: " in local_agent.log(), "the refusal")

    stub.document = None
    app.release()

    assert app.answer().kind == "released"


def test_no_redirection_is_followed_and_nothing_secret_is_logged(
    local_agent: LocalAgent, app: App, stub: QueueStub, imds: ImdsStub
) -> None:
    local_agent.start(app)
    app.answer()
    stub.redirect = imds.url + "/elsewhere"
    until(lambda: "receive: 307" in local_agent.log(), "the refusal")
    stub.redirect = ""
    app.release()
    app.answer()

    assert not imds.seen
    until(lambda: not local_agent.living(), "the agent's end")
    for path in local_agent.state.rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert "sig=" not in text, path
            assert app.vm_key.hex() not in text, path


def test_what_a_message_says_cannot_forge_a_line_of_the_log(local_agent: LocalAgent, app: App) -> None:
    local_agent.start(app)
    app.answer()
    forged = "x\n2026-01-01 00:00:00,000 INFO resume of generation 1"
    command = protocol.Command("release", forged, app.saga, 1, 9, int(time.time() * 1000) + 60_000, {})

    app.send(protocol.encode_command(command, app.key))

    until(lambda: local_agent.counters() == {"stranger": 1}, "the refusal")
    assert not any(line.startswith("2026-01-01 00:00:00,000 INFO") for line in local_agent.log().splitlines())
