"""Queue Storage as far as the agent speaks it, with faults: answers can be lost before or after the act."""

import random
import secrets
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: What can happen to a request instead of its answer.
FAULTS = ("reset before", "reset after", "truncated", "503", "slow", "nonsense", "hang up after the headers")


@dataclass
class Held:
    name: str
    content: str
    visible_at: float = 0.0
    receipt: str = ""


@dataclass
class Faults:
    """A share of the requests goes wrong, drawn from a seeded generator."""

    share: float = 0.0
    kinds: tuple[str, ...] = ()
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._random.seed(self.seed)

    def draw(self) -> str:
        if not self.kinds or self._random.random() >= self.share:
            return ""
        kind = self._random.choice(self.kinds)
        self.done[kind] += 1
        return kind


class QueueStub:
    """Two queues, `commands` and `acks`, on a free port of the loopback."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.down = False
        self.bearer = ""  # where it is set, this token alone opens the queues
        self.redirect = ""  # where it is set, every request is sent there
        self.date_shift_s = 0  # how wrong the clock is, as seen from here
        self.document: bytes | None = None  # instead of the list of messages
        self.portal = False  # something else answers in the storage's place
        self._queues: dict[str, dict[str, Held]] = {"commands": {}, "acks": {}}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, queue: str) -> str:
        return self.plain_url(queue) + "?sv=2020-02-10&sig=s%2B"

    def plain_url(self, queue: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{queue}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, queue: str, content: str) -> None:
        held = Held(uuid.uuid4().hex, content)
        with self._lock:
            self._queues[queue][held.name] = held

    def size(self, queue: str) -> int:
        with self._lock:
            return len(self._queues[queue])

    def take(self, queue: str) -> list[str]:
        """Take all messages, as a reader of the other side."""
        with self._lock:
            found = [held.content for held in self._queues[queue].values()]
            self._queues[queue].clear()
        return found

    def receive(self, queue: str, limit: int, visibility_s: float) -> list[Held]:
        now = time.monotonic()
        with self._lock:
            found = [held for held in self._queues[queue].values() if held.visible_at <= now][:limit]
            for held in found:
                held.visible_at, held.receipt = now + visibility_s, secrets.token_hex(4) + "+/="
        return found

    def delete(self, queue: str, name: str, receipt: str) -> bool:
        with self._lock:
            held = self._queues[queue].get(name)
            if held is None or held.receipt != receipt:
                return False
            del self._queues[queue][name]
            return True


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that was killed in a request is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: QueueStub

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.stub.date_shift_s)

    def log_message(self, *_arguments: Any) -> None:
        return

    def do_GET(self) -> None:
        self._serve("receive")

    def do_POST(self) -> None:
        self._serve("put")

    def do_DELETE(self) -> None:
        self._serve("delete")

    def _serve(self, operation: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.stub.requests[operation] += 1
        fault = "reset before" if self.stub.down else self.stub.faults.draw()
        if fault == "reset before":
            self.close_connection = True
            return
        if fault == "503":
            self._answer(503, b"", "")
            return
        if fault == "slow":
            time.sleep(0.3)
        self._answer(*self._act(operation, body), fault)

    def _act(self, operation: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if self.stub.redirect:
            return 307, b""
        if self.stub.bearer:
            if self.headers.get("Authorization") != "Bearer " + self.stub.bearer:
                return 401, b""
            if not self.headers.get("x-ms-version") or not self.headers.get("x-ms-date"):
                return 403, b""
        elif query.get("sig") != ["s+"]:
            return 403, b""
        queue = parts.path.split("/")[1]
        if operation == "receive":
            limit, visibility = int(query["numofmessages"][0]), float(query["visibilitytimeout"][0])
            return 200, self.stub.document or _listing(self.stub.receive(queue, limit, visibility))
        if operation == "put":
            text = ET.fromstring(body).findtext("MessageText")
            if text is None:
                return 400, b""
            self.stub.put(queue, text)
            return 201, b""
        name = parts.path.split("/")[3]
        return (204 if self.stub.delete(queue, name, query["popreceipt"][0]) else 404), b""

    def _answer(self, status: int, document: bytes, fault: str) -> None:
        if fault == "reset after":
            self.close_connection = True
            return
        if fault == "nonsense":
            document = b"<html>gateway" if document else b""
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.stub.redirect)
        cut = fault in ("truncated", "hang up after the headers")
        self.send_header("Content-Length", str(len(document) + (10 if cut else 0)))
        if not self.stub.portal:
            self.send_header("x-ms-request-id", str(uuid.uuid4()))
        self.end_headers()
        if fault != "hang up after the headers":
            self.wfile.write(document)
        self.close_connection = self.close_connection or cut


def _listing(messages: list[Held]) -> bytes:
    root = ET.Element("QueueMessagesList")
    for held in messages:
        element = ET.SubElement(root, "QueueMessage")
        for tag, text in (
            ("MessageId", held.name),
            ("PopReceipt", held.receipt),
            ("MessageText", held.content),
        ):
            ET.SubElement(element, tag).text = text
    return b"\xef\xbb\xbf" + ET.tostring(root, encoding="unicode").encode()
