"""Acks: what is taken, what is turned away, and that no guest can do more than harm its own saga."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.engine.queue_names import ACKS
from shared.engine.reports import LARGEST_NUMBER, LONGEST_TEXT, event_of
from shared.protocol import (
    QUIESCE_FAILED,
    QUIESCED,
    READY,
    RELEASED,
    RESUMED,
    Ack,
    Malformed,
    encode_ack,
    session_key,
    vm_key,
)
from shared.saga.events import Quiesced, QuiesceFailed, Resumed
from shared.saga.evidence import GuestWarning
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import MASTER, VM, House

SCRIPT = {"path": "/opt/pre.sh", "exit_code": 0, "timed_out": False, "duration_ms": 5, "output": "ok"}
HELD = {"kind": "filesystem", "name": "/data"}
WARNING = {"kind": "handler", "name": "postgresql:5432", "code": "probe_failed", "detail": "no answer"}
BODIES: dict[str, dict[str, Any]] = {
    READY: {"boot_id": "b", "dead_man": {"armed": True}, "agent_version": "1"},
    QUIESCED: {
        "boot_id": "b",
        "dead_man": {"armed": True},
        "held": [{**HELD, "mode": "frozen"}],
        "not_held": [{**HELD, "reason": "read_only"}],
        "quiesce_ms": 5,
        "budget_left_ms": 29_000,
        "script": SCRIPT,
        "anchored": False,
        "warnings": [WARNING],
    },
    QUIESCE_FAILED: {
        "reason": "r",
        "detail": "d",
        "released": True,
        "script": SCRIPT,
        "post_script": SCRIPT,
        "warnings": [WARNING],
    },
    RESUMED: {
        "boot_id": "b",
        "released_by": "order",
        "held_until_order": True,
        "held": [{**HELD, "held_until_order": True, "detail": ""}],
        "window_ms": 900,
        "script": SCRIPT,
        "clock_jump_ms": -3,
        "warnings": [WARNING],
    },
    RELEASED: {"was_held": False},
}


def ack(kind: str, body: dict[str, Any], *, vm: str = VM, saga: str = "s", generation: int = 1) -> Ack:
    return Ack(kind, vm, saga, generation, 2, 1, 0, body)


def members(body: dict[str, Any], path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the path of every member of a body, however deep."""
    found: list[tuple[Any, ...]] = []
    for name, value in body.items():
        found.append((*path, name))
        if isinstance(value, dict):
            found += members(value, (*path, name))
        if isinstance(value, list):
            found += members(value[0], (*path, name, 0))
    return found


EVERY_MEMBER = [(kind, path) for kind, body in BODIES.items() for path in members(body)]


def changed(kind: str, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    body = copy.deepcopy(BODIES[kind])
    place: Any = body
    for name in path[:-1]:
        place = place[name]
    change(place, path[-1])
    return body


def wrong_kind(place: Any, name: str) -> None:
    place[name] = [3.5] if not isinstance(place[name], list) else {"no": "list"}


#: What an agent need not say, and what an older one does not know of.
MAY_BE_MISSING = {
    "script", "post_script", "exit_code", "mode", "detail", "anchored", "warnings", "clock_jump_ms",
}  # fmt: skip


@pytest.mark.parametrize("kind", BODIES)
def test_a_good_body_is_read(kind: str) -> None:
    assert event_of(ack(kind, BODIES[kind]), 7).generation == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "path"), EVERY_MEMBER)
def test_a_body_with_a_member_of_the_wrong_kind_is_turned_away_by_its_name(
    kind: str, path: tuple[Any, ...]
) -> None:
    with pytest.raises(Malformed) as caught:
        event_of(ack(kind, changed(kind, path, wrong_kind)), 7)
    assert caught.value.field.endswith(str(path[-1]))


@pytest.mark.parametrize(("kind", "path"), EVERY_MEMBER)
def test_a_body_that_lacks_a_member_is_turned_away_unless_it_may_be_missing(
    kind: str, path: tuple[Any, ...]
) -> None:
    body = changed(kind, path, lambda place, name: place.pop(name))
    may_be_missing = path[-1] in MAY_BE_MISSING and path != ("detail",)
    if may_be_missing:
        event_of(ack(kind, body), 7)
        return
    with pytest.raises(Malformed):
        event_of(ack(kind, body), 7)


@pytest.mark.parametrize("number", [-1, True, 1.0, LARGEST_NUMBER + 1, 10**400, "5", None])
def test_a_number_that_no_table_could_hold_is_turned_away(number: Any) -> None:
    with pytest.raises(Malformed) as caught:
        event_of(ack(RESUMED, BODIES[RESUMED] | {"window_ms": number}), 7)
    assert caught.value.field == "window_ms"


@pytest.mark.parametrize("jump", [None, True, 1.0, "5", LARGEST_NUMBER + 1, -LARGEST_NUMBER - 1])
def test_a_jump_of_the_clock_that_no_table_could_hold_is_turned_away(jump: Any) -> None:
    with pytest.raises(Malformed) as caught:
        event_of(ack(RESUMED, BODIES[RESUMED] | {"clock_jump_ms": jump}), 7)
    assert caught.value.field == "clock_jump_ms"


def test_what_the_guest_held_how_and_warns_of_is_read() -> None:
    quiesced = event_of(ack(QUIESCED, BODIES[QUIESCED] | {"anchored": True}), 7)
    resumed = event_of(ack(RESUMED, BODIES[RESUMED]), 7)
    assert isinstance(quiesced, Quiesced)
    assert isinstance(resumed, Resumed)
    assert (quiesced.report.anchored, quiesced.report.held[0].mode) == (True, "frozen")
    assert resumed.report.clock_jump_ms == -3
    assert resumed.report.warnings == (GuestWarning(**WARNING),)


def test_long_texts_are_cut() -> None:
    body = BODIES[QUIESCE_FAILED] | {"detail": "x" * (LONGEST_TEXT + 1)}
    event = event_of(ack(QUIESCE_FAILED, body), 7)
    assert isinstance(event, QuiesceFailed)
    assert len(event.detail) == LONGEST_TEXT


def test_a_name_that_is_no_unicode_text_becomes_one() -> None:
    body = BODIES[QUIESCED] | {"held": [{"kind": "filesystem", "name": "/mnt/\udcff"}]}
    event = event_of(ack(QUIESCED, body), 7)
    assert isinstance(event, Quiesced)
    assert event.report.held[0].name == "/mnt/?"


async def armed(house: House) -> str:
    """Run until the guest has said ``ready``, and drop that; give the saga."""
    await house.ask()
    for _ in range(10):
        if house.messages(ACKS):
            break
        await house.work()
    for message in house.messages(ACKS):
        await house._delete(ACKS, message)
    return house.guest().commands[0].saga


def signed(text: Ack, *, vm: str = VM, saga: str | None = None) -> str:
    return encode_ack(text, session_key(vm_key(MASTER, vm), saga or text.saga))


READY_ACK = ack(READY, BODIES[READY])


async def turned_away(house: House, text: str) -> list[str]:
    """Bring a text; it must change nothing. Give the reasons that were counted."""
    before, seen = repr(house.tables._tables), len(house.interruptions.seen)
    await house.app.acks.take(text, house.clock())
    await house.app.acks.give_up(text)
    assert repr(house.tables._tables) == before
    assert house.interruptions.seen[seen:] == []
    return list(house.app.acks.counts.rejected.elements())


async def test_an_ack_that_its_guest_signed_is_taken() -> None:
    house = House()
    saga = await armed(house)
    await house.app.acks.take(signed(READY_ACK._replace(saga=saga)), 0)
    assert (await house.sagas.load(saga)).state.phase == "quiescing"


async def test_a_forged_ack_is_counted_and_dropped() -> None:
    house = House()
    saga = await armed(house)
    forged = encode_ack(READY_ACK._replace(saga=saga), b"a guess")
    assert await turned_away(house, forged) == ["bad_signature", "bad_signature"]


async def test_an_ack_signed_for_another_saga_is_counted_and_dropped() -> None:
    house = House()
    saga = await armed(house)
    replayed = signed(READY_ACK._replace(saga=saga), saga="another saga of this VM")
    assert await turned_away(house, replayed) == ["bad_signature", "bad_signature"]


async def test_another_vms_guest_cannot_speak_for_this_one() -> None:
    house = House()
    saga = await armed(house)
    other = vm_id("db-2")
    text = signed(READY_ACK._replace(saga=saga, vm=other), vm=other)
    assert await turned_away(house, text) == ["stranger", "stranger"]


@pytest.mark.parametrize("saga", ["0123456789abcdef0123", "made/up", "x" * 600, "#?\\", "\n"])
async def test_an_ack_for_a_saga_that_its_guest_made_up_is_counted_and_dropped(saga: str) -> None:
    house = House()
    await armed(house)
    assert await turned_away(house, signed(READY_ACK._replace(saga=saga))) == ["stranger", "stranger"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "malformed"),
        ("[]", "malformed"),
        ("\ufffd\ufffd", "malformed"),
        ("[" * 5_000, "malformed"),
        ("{}", "unknown_version"),
        ('{"stillframe":2}', "unknown_version"),
        ('{"stillframe":1}', "malformed"),
        (json.dumps("x" * 50_000), "too_large"),
    ],
)
async def test_what_is_no_ack_is_counted_and_dropped(text: str, reason: str) -> None:
    house = House()
    await armed(house)
    assert await turned_away(house, text) == [reason, reason]


async def test_a_genuine_ack_with_a_bad_body_is_counted_and_dropped() -> None:
    house = House()
    saga = await armed(house)
    text = signed(READY_ACK._replace(saga=saga, body={}))
    await house.app.acks.take(text, house.clock())
    assert house.app.acks.counts.rejected == {"malformed": 1}
    assert (await house.sagas.load(saga)).state.phase == "arming"


async def test_an_ack_of_an_older_generation_counts_for_nothing() -> None:
    house = House()
    saga = await armed(house)
    await house.app.acks.take(signed(READY_ACK._replace(saga=saga, generation=0)), house.clock())
    assert (await house.sagas.load(saga)).state.phase == "arming"


async def test_a_poison_ack_ends_its_saga() -> None:
    house = House()
    saga = await armed(house)
    await house.app.acks.give_up(signed(READY_ACK._replace(saga=saga)))
    await house.settle()
    state = (await house.sagas.load(saga)).state
    assert (state.phase, state.outcome) == ("done", "failed")
    assert "the ack ready of generation 1" in state.reasons[-1]


async def test_turned_away_acks_leave_no_text_of_a_stranger_but_its_reason_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    saga = await armed(house)
    await house.app.acks.take(encode_ack(READY_ACK._replace(saga=saga), b"a guess"), house.clock())
    assert "bad_signature" in caplog.text
    assert "boot_id" not in caplog.text
