"""The service's list of messages, as a hostile storage account would write it."""

import base64
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import listing
from agent.listing import BadListing, Message

ONE = (
    "<QueueMessage><MessageId>m1</MessageId><PopReceipt>r+/=</PopReceipt><DequeueCount>1</DequeueCount>"
    "<MessageText>aGVsbG8=</MessageText></QueueMessage>"
)
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><QueueMessagesList><QueueMessage><MessageText>&i;</MessageText></QueueMessage></QueueMessagesList>"
)


def listed(*messages: str, head: str = '\ufeff<?xml version="1.0" encoding="utf-8"?>') -> bytes:
    return f"{head}<QueueMessagesList>{''.join(messages)}</QueueMessagesList>".encode()


def test_messages_are_read_with_what_deletes_them() -> None:
    assert listing.read(listed(ONE, ONE), 32) == [Message("m1", "r+/=", "hello")] * 2
    assert listing.read(listed(), 32) == []


def test_a_text_that_is_no_base64_is_given_as_it_came() -> None:
    message = "<QueueMessage><MessageText>&lt;hello&gt;</MessageText></QueueMessage>"

    assert listing.read(listed(message), 32) == [Message("", "", "<hello>")]


def test_no_more_messages_are_taken_than_were_asked_for() -> None:
    assert len(listing.read(listed(*[ONE] * 1000), 32)) == 32


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (BOMB.encode(), "declaration"),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/shadow'>" + listed(ONE, head=""), "declaration"),
        (BOMB.encode("utf-16"), "UTF-8"),
        (BOMB.encode("utf-16-le"), "well-formed"),
        (listed(ONE).decode("utf-8-sig").encode("utf-16"), "UTF-8"),
        (b"\xff\xfe" + listed(ONE), "UTF-8"),
        (b"<a>" * 100_000, "deep"),
        (listed(ONE)[:-30], "well-formed"),
        (b"", "well-formed"),
        (b"<html>gateway", "well-formed"),
    ],
    ids=["bomb", "external", "utf-16 bomb", "no mark", "utf-16", "latin", "deep", "cut", "empty", "html"],
)
def test_what_is_no_list_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(BadListing) as refused:
        listing.read(document, 32)

    assert why in refused.value.detail


def test_a_declared_encoding_does_not_change_how_it_is_read() -> None:
    document = listed(ONE, head='<?xml version="1.0" encoding="utf-16"?>')

    assert listing.read(document, 32) == [Message("m1", "r+/=", "hello")]


def test_reading_takes_little_more_memory_than_the_document() -> None:
    document = listed("<QueueMessage/>" * 250_000)
    tracemalloc.start()
    try:
        listing.read(document, 32)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20 * len(document)


@given(
    st.binary(max_size=200) | st.text(alphabet="<>/!&;QueMsagLitx= \"'\x00é", max_size=200).map(str.encode)
)
def test_whatever_comes_is_read_or_refused(document: bytes) -> None:
    try:
        found = listing.read(document, 32)
    except BadListing:
        return
    assert all(isinstance(message, Message) for message in found)


@given(st.lists(st.text(max_size=50), max_size=40))
def test_every_text_comes_through(texts: list[str]) -> None:
    coded = [base64.b64encode(text.encode("utf-8", "replace")).decode() for text in texts]
    messages = [f"<QueueMessage><MessageText>{c}</MessageText></QueueMessage>" for c in coded]

    found = listing.read(listed(*messages), 32)

    assert [m.text for m in found] == [t.encode("utf-8", "replace").decode() for t in texts[:32]]
