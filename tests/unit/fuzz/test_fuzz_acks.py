"""Acks: what comes in the queue is one or turned away, and a guest that has its key may say what it likes."""

import asyncio
import json
from functools import cache
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from shared import protocol
from shared.engine.orders import Keys
from shared.engine.queue_names import ACKS
from shared.engine.reports import event_of
from shared.engine.views import saga_view
from shared.protocol import Rejected, decode_ack
from shared.saga.codec import decode, decode_any, encode
from shared.saga.events import Event
from shared.saga.machine import advance
from shared.saga.state import SagaState
from shared.storage.memory import MemoryQueues
from shared.storage.rows import pack, unpack
from tests.unit.engine.house import MASTER, House
from tests.unit.fuzz.examples import fuzz
from tests.unit.fuzz.genuine_messages import acks, recorded, signed
from tests.unit.fuzz.mutating import mutated, mutated_text
from tests.unit.saga.build import Saga, arming, capturing, completing, quiescing, resuming

KEYS = Keys(MASTER)
DOMAIN = protocol._ACK_DOMAIN


@cache
def sagas() -> list[Saga]:
    return [Saga(), arming(), quiescing(), capturing(), resuming(), completing()]


def read(text: str) -> Event | None:
    """Read an ack as the app does; None when it is turned away."""
    try:
        return event_of(decode_ack(text, KEYS.of_session), 1_800_000_000_000)
    except Rejected:
        return None


def taken(state: SagaState, event: Event, now: int) -> SagaState:
    """Let a saga take an event, and check that what comes of it can be stored and shown."""
    transition = advance(state, event, now)
    for record in (transition.state, *transition.effects):
        stored = json.loads(json.dumps(encode(record)))
        assert encode(record) == stored
    stored = unpack(pack("saga", "state", encode(transition.state)))
    assert decode(SagaState, stored) == transition.state
    assert decode_any(Event, json.loads(json.dumps(encode(event)))) == event
    json.dumps(saga_view(transition.state, ()), ensure_ascii=False).encode()
    return transition.state


@fuzz(400)
@given(st.binary(max_size=200).map(lambda body: body.decode("utf-8", "replace")))
def test_bytes_are_no_ack(text: str) -> None:
    assert read(text) is None


@fuzz(300)
@given(st.deferred(lambda: mutated_text(recorded()[1])))
def test_a_changed_ack_is_turned_away_by_its_signature_or_before(text: str) -> None:
    event = read(text)
    assert event is None or any(json.loads(text) == each for each in acks())


@fuzz(300)
@given(st.deferred(lambda: mutated(acks())), st.integers(0, 5), st.integers(0, 10**7))
def test_a_guest_with_its_key_may_say_anything_and_its_saga_has_an_answer(
    document: Any, at: int, later: int
) -> None:
    text = signed(document, DOMAIN)
    assume(text is not None)
    assert text is not None
    event = read(text)
    if event is None:
        return
    saga = sagas()[at]
    now = saga.now + later
    after = taken(saga.state, event, now)
    taken(after, event, now)
    taken(after, event, now + 10_000_000)


async def interrupted(stage: int, texts: list[str]) -> House:
    """Run a saga with a guest that says ``texts`` once ``stage`` messages were delivered."""
    house = House()
    run = await house.ask()
    for _ in range(stage):
        await house.work()
    for text in texts:
        await MemoryQueues.put(house.queues, ACKS, text, delay_s=0, expires_in_s=-1)
    await house.settle()
    view = await house.view(run)
    assert view["phase"] == "done"
    assert house.failures == []
    return house


@fuzz(25)
@given(st.deferred(lambda: st.lists(mutated(acks()), min_size=1, max_size=3)), st.integers(0, 8))
def test_whatever_a_guest_with_its_key_says_the_saga_ends_and_no_message_fails(
    documents: list[Any], stage: int
) -> None:
    texts = [text for each in documents if (text := signed(each, DOMAIN)) is not None]
    house = asyncio.run(interrupted(stage, texts))
    assert not house.guest().held
