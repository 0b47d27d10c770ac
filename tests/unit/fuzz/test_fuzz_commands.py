"""Commands and bootstraps: a guest's agent takes what is right, and refuses the rest by its own errors."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent import config, identity, listing, orders, queues, session
from agent.moves import CommandReceived
from agent.state import State
from shared import protocol
from shared.protocol import Rejected, decode_command
from tests.unit.engine.house import T0, VM
from tests.unit.fuzz.examples import fuzz
from tests.unit.fuzz.genuine_messages import GUEST_KEY, commands, recorded, signed
from tests.unit.fuzz.mutating import mutated, mutated_text, spliced_text

DOMAIN = protocol._COMMAND_DOMAIN
BOOTSTRAPS: list[dict[str, Any]] = [
    {
        "vm": VM,
        "key": "00" * 32,
        "command_queue": "https://guests.queue.core.windows.net/c-1?sv=2025&sig=a%2Bb",
        "ack_queue": "http://127.0.0.1:10001/devstoreaccount1/stillframe-acks?sig=x",
        "command": "{}",
        "stay": True,
        "key_version": 2,
        "credential": "managed_identity",
        "client_id": "11111111-2222-3333-4444-555555555555",
    },
    {"vm": VM, "key": "ff", "command_queue": "https://q/c", "ack_queue": "https://[::1]:8080/a"},
]
LISTING = (
    '<?xml version="1.0" encoding="utf-8"?><QueueMessagesList><QueueMessage><MessageId>1</MessageId>'
    "<PopReceipt>r</PopReceipt><MessageText>e30=</MessageText></QueueMessage><QueueMessage>"
    "<MessageId>2</MessageId><MessageText>no base64</MessageText></QueueMessage></QueueMessagesList>"
)
TOKENS = [{"access_token": "abc", "expires_in": "3600"}, {"access_token": "abc", "expires_in": 86_400}]


def read(text: str) -> orders.Order | None:
    """Read a command as the agent does; None when it is refused."""
    try:
        command = decode_command(text, VM, lambda saga: protocol.session_key(GUEST_KEY, saga), T0)
        return orders.parse(command)
    except Rejected:
        return None


@fuzz(400)
@given(st.binary(max_size=200).map(lambda body: body.decode("utf-8", "replace")))
def test_bytes_are_no_command(text: str) -> None:
    assert read(text) is None


@fuzz(300)
@given(st.deferred(lambda: mutated_text(recorded()[0])))
def test_a_changed_command_is_refused_by_its_signature_or_before(text: str) -> None:
    order = read(text)
    assert order is None or any(json.loads(text) == each for each in commands())


@fuzz(300)
@given(st.deferred(lambda: st.lists(mutated(commands()), min_size=1, max_size=4)), st.integers(0, 10**8))
def test_a_session_takes_whatever_is_signed_with_its_key(documents: list[Any], now: int) -> None:
    state = State()
    for document in documents:
        text = signed(document, DOMAIN)
        order = None if text is None else read(text)
        if order is not None:
            state, _ = session.react(state, CommandReceived(order, 0), now)
            now += 1


@fuzz(300)
@given(mutated_text([json.dumps(each) for each in BOOTSTRAPS]))
def test_a_bootstrap_is_read_or_refused_without_repeating_its_secrets(text: str) -> None:
    told = ""
    try:
        bootstrap = config.read_bootstrap(text)
    except config.BadSetting as refused:
        told = str(refused)
    assert "sig=" not in told
    assert "0000" not in told
    if told:
        return
    protocol.session_key(bootstrap.key, "saga")
    for url in (bootstrap.command_queue, bootstrap.ack_queue):
        try:
            parts = queues.checked(url)
        except queues.InsecureUrl:
            continue
        assert parts.hostname
        assert parts.port is None or 0 < parts.port < 2**16


@fuzz(400)
@given(spliced_text([LISTING]))
def test_an_answer_of_the_queue_service_is_a_list_of_messages_or_refused(text: str) -> None:
    try:
        messages = listing.read(text.encode("utf-8", "surrogatepass"), 32)
    except listing.BadListing:
        return
    assert len(messages) <= 32


@fuzz(300)
@given(mutated_text([json.dumps(each) for each in TOKENS]))
def test_an_answer_of_the_metadata_service_is_a_token_or_none(text: str) -> None:
    try:
        token = identity._token(text.encode("utf-8", "surrogatepass"), 0)
    except queues.NoCredential:
        return
    assert token.text


def test_what_is_recorded_is_genuine() -> None:
    kinds = {read(text).kind for text in recorded()[0] if read(text)}  # type: ignore[union-attr]
    assert kinds >= {protocol.ARM, protocol.QUIESCE, protocol.RESUME}
    assert {json.loads(text)["kind"] for text in recorded()[1]} >= {"ready", "quiesced", "resumed"}
