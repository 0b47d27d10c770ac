"""Which part of Stillframe sent a storage request, and what for.

The agent speaks plain HTTP without the SDK's name. Of the SDK's requests, those to blobs and those that
receive messages, delete received ones or ask whether a queue exists are the Functions host's; the rest is the
app's. The host's blobs (leases and status of timers) have nothing to do with sagas and are kept apart.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bench.tap import Exchange

AGENT, HOST, APP = "agent", "host", "app"

_TEXT = re.compile(rb"<MessageText>([^<]*)</MessageText>")
_ID = re.compile(rb"<MessageId>([^<]*)</MessageId>")
_INNER = re.compile(rb"^(?:GET|POST|PUT|PATCH|MERGE|DELETE) (\S+) HTTP/1\.1", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One storage request; ``detail`` says which messages or rows it was about.

    ``idle``: a poll that found nothing, or the host's housekeeping.
    """

    who: str
    what: str
    detail: str
    idle: bool
    status: int
    began: float
    ended: float


def read_all(exchanges: Sequence[Exchange]) -> list[Request]:
    """Say what each exchange was, in the order of their beginnings."""
    received = message_ids(exchanges)
    return [_read(one, received) for one in sorted(exchanges, key=lambda one: one.began)]


def message_ids(exchanges: Iterable[Exchange]) -> set[str]:
    """Give the ids of all messages that were received."""
    return {
        found.decode()
        for one in exchanges
        if one.service == "queue" and one.method == "GET"
        for found in _ID.findall(one.answer)
    }


def undeleted(exchanges: Sequence[Exchange]) -> set[str]:
    """Give the ids of messages that were received and not deleted: somebody still works on them."""
    gone = {_last(one) for one in exchanges if one.method == "DELETE" and one.status < 300}
    return message_ids(exchanges) - gone


def names_of(exchange: Exchange) -> tuple[str, str]:
    """Give kind and saga of the command or ack that a request put into a queue; empty for any other."""
    if exchange.service != "queue" or exchange.method != "POST" or exchange.status >= 300:
        return "", ""
    signed = (text for text in _texts(exchange.body) if "kind" in text)
    return next(((str(text["kind"]), str(text["saga"])) for text in signed), ("", ""))


def _read(one: Exchange, received: set[str]) -> Request:
    by_agent = "azsdk" not in one.headers.get("user-agent", "")
    who, what, detail, idle = {"queue": _queue, "table": _table, "blob": _blob}[one.service](one, received)
    return Request(
        who=AGENT if by_agent else who,
        what=what,
        detail=detail,
        idle=idle,
        status=one.status,
        began=one.began,
        ended=one.ended,
    )


def _queue(one: Exchange, received: set[str]) -> tuple[str, str, str, bool]:
    parts = [unquote(part) for part in urlsplit(one.target).path.split("/")[2:]]
    queue = _queue_name(parts[0]) if parts else ""
    if one.method == "GET" and parts[1:] == ["messages"]:
        found = _TEXT.findall(one.answer)
        return HOST, f"receive from {queue}", _names(one.answer), not found
    if one.method == "POST":
        return APP, f"put into {queue}", _names(one.body), False
    if one.method == "DELETE" and len(parts) == 3:
        if parts[2] in received:
            return HOST, f"delete from {queue}", "", False
        return APP, f"take back from {queue}", "", False
    return HOST, f"{one.method} {queue}", "", True  # existence checks until a queue is there


def _table(one: Exchange, _received: set[str]) -> tuple[str, str, str, bool]:
    path = unquote(urlsplit(one.target).path)
    if path.endswith("/$batch"):
        rows = [unquote(urlsplit(url.decode()).path) for url in _INNER.findall(one.body)]
        table = rows[0].rpartition("/")[2].partition("(")[0] if rows else ""
        return APP, f"transaction on {table}", f"{len(rows)} rows", False
    name = path.rpartition("/")[2]
    verb = "read" if one.method == "GET" else one.method
    detail = "a row" if "RowKey=" in name else "a range"
    return APP, f"{verb} of {name.partition('(')[0]}", detail, False


def _blob(one: Exchange, _received: set[str]) -> tuple[str, str, str, bool]:
    return HOST, f"{one.method} blob", "", True


def _queue_name(queue: str) -> str:
    return "the guest's commands" if queue.startswith("cmd-") else queue.removeprefix("stillframe-")


def _names(document: bytes) -> str:
    """Say what messages are in a document, such as "ready" or "3 ready, 1 quiesced"."""
    counts = Counter(_name(text) for text in _texts(document))
    if counts.total() == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _name(text: dict[str, object]) -> str:
    if "kind" in text:
        return str(text["kind"])
    if "task" in text:
        return str(text["task"])
    return f"watch {text['watch']}" if text.get("watch") else "start"


def _texts(document: bytes) -> list[dict[str, object]]:
    found = []
    for content in _TEXT.findall(document):
        try:
            text = json.loads(base64.b64decode(content, validate=True))
        except (binascii.Error, ValueError):
            text = {}
        found.append(text if isinstance(text, dict) else {})
    return found


def _last(one: Exchange) -> str:
    return unquote(urlsplit(one.target).path.rpartition("/")[2])
