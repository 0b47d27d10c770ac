"""App and agent of different versions: members may be missing or unknown, another protocol is refused."""

import json
from typing import Any

import pytest

from agent.orders import parse
from shared.engine.reports import event_of
from shared.protocol import QUIESCE_FAILED, UnknownVersion, decode_ack, decode_command
from tests.samples.written import KEYS, NOW, SAGA, VM, acks, commands
from tests.unit.engine.house import House

#: What ``docs/protocol.md`` says that a reader takes as empty when it is missing.
YOUNGER = ["mode", "detail", "anchored", "warnings", "clock_jump_ms", "took_ms", "held_ms", "resident",
           "key_version", "protocol", "python", "attempts"]  # fmt: skip


def without(data: Any, *names: str) -> Any:
    if isinstance(data, dict):
        return {name: without(value, *names) for name, value in data.items() if name not in names}
    return [without(item, *names) for item in data] if isinstance(data, list) else data


def with_more(data: Any) -> Any:
    """Add a member of tomorrow to every object."""
    if isinstance(data, dict):
        return {name: with_more(value) for name, value in data.items()} | {"of_tomorrow": [1]}
    return [with_more(item) for item in data] if isinstance(data, list) else data


@pytest.mark.parametrize("name", [*YOUNGER, None])
def test_the_app_reads_the_acks_of_an_older_agent_that_says_less(name: str | None) -> None:
    for text in acks():
        ack = decode_ack(json.dumps(text), KEYS.of_session)
        gone = [name] if name else YOUNGER
        if ack.kind == QUIESCE_FAILED:  # which always said in detail why
            gone = [each for each in gone if each != "detail"]
        less = without(ack.body, *gone)
        assert event_of(ack._replace(body=less), NOW)


def test_the_app_reads_the_acks_of_a_newer_agent_that_says_more() -> None:
    for text in acks():
        ack = decode_ack(json.dumps(text), KEYS.of_session)
        assert event_of(ack._replace(body=with_more(ack.body)), NOW) == event_of(ack, NOW)


@pytest.mark.parametrize("name", ["handlers", "anchor", "linger_ms", "retries", "run_as", "stderr"])
def test_the_agent_reads_the_commands_of_an_older_app_that_says_less(name: str) -> None:
    for text in commands():
        command = decode_command(json.dumps(text), VM, lambda saga: KEYS.of_session(VM, saga), NOW)
        assert parse(command._replace(body=without(command.body, name)))


def test_the_agent_reads_the_commands_of_a_newer_app_that_says_more() -> None:
    for text in commands():
        command = decode_command(json.dumps(text), VM, lambda saga: KEYS.of_session(VM, saga), NOW)
        more = {**command.body, "of_tomorrow": [1]}
        assert parse(command._replace(body=more)) == parse(command)


def test_another_protocol_is_refused_by_both_sides_whatever_its_form() -> None:
    newer = {"stillframe": 2, "body": "of another form"}
    for ack in acks():
        with pytest.raises(UnknownVersion):
            decode_ack(json.dumps(ack | newer), KEYS.of_session)
    for command in commands():
        with pytest.raises(UnknownVersion):
            decode_command(json.dumps(command | newer), VM, lambda saga: KEYS.of_session(VM, saga), NOW)


@pytest.mark.parametrize(("version", "outcome"), [("9.9.9", "succeeded"), ("0.0.1", "failed")])
async def test_a_newer_agent_of_the_same_protocol_does_and_one_that_is_too_old_does_not(
    version: str, outcome: str
) -> None:
    house = House()
    house.guest().version = version
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    assert view["outcome"] == outcome
    if outcome == "failed":
        assert version in view["problem"]["sentence"]
    assert not house.guest().held
    assert view["saga"] != SAGA
