"""Reading the service's list of messages, without believing that it is one.

No tree is built and no document type is accepted, so that no entity is ever expanded: what is read takes no
more memory than what was sent.
"""

import base64
import binascii
import xml.etree.ElementTree as ET
from typing import Any, Dict, List, NamedTuple

#: `QueueMessagesList` > `QueueMessage` > its members.
_DEPTH = 3
_MEMBERS = ("MessageId", "PopReceipt", "MessageText")


class BadListing(Exception):
    """The document is no list of messages; ``detail`` says why, and repeats nothing of it."""

    def __init__(self, detail: str) -> None:
        super().__init__("no list of messages: {}".format(detail))
        self.detail = detail


class Message(NamedTuple):
    """A received message. A text that is no base64 is given as it came."""

    name: str
    receipt: str
    text: str


def read(document: bytes, limit: int) -> List[Message]:
    """Read the first ``limit`` messages of an answer.

    Raises:
        BadListing: it is none.
    """
    if b"<!" in document:  # a document type, a comment or a CDATA section: the service sends none of them
        raise BadListing("it has a declaration")
    target = _Listing(limit)
    parser = ET.XMLParser(target=target)
    try:
        parser.feed(document.decode("utf-8-sig"))
        parser.close()
    except UnicodeDecodeError:
        raise BadListing("it is not UTF-8") from None
    except (ET.ParseError, ValueError):
        raise BadListing("it is not well-formed XML") from None
    return [_message({name: "".join(parts) for name, parts in one.items()}) for one in target.found]


class _Listing:
    """Takes the members of each message as the parser comes by them; see ``XMLParser``'s target."""

    def __init__(self, limit: int) -> None:
        self.found: List[Dict[str, List[str]]] = []
        self._limit = limit
        self._count = 0
        self._depth = 0
        self._member = ""

    def start(self, tag: str, _attributes: Any) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise BadListing("it is nested too deep")
        if self._depth == 2 and tag == "QueueMessage":
            self._count += 1
            self.found += [{}] if self._count <= self._limit else []
        wanted = self._depth == _DEPTH and tag in _MEMBERS and 0 < self._count <= self._limit
        self._member = tag if wanted else ""

    def data(self, text: str) -> None:
        if self._member:
            self.found[-1].setdefault(self._member, []).append(text)

    def end(self, _tag: str) -> None:
        self._depth -= 1
        self._member = ""

    def close(self) -> None:
        return


def _message(members: Dict[str, str]) -> Message:
    content = members.get("MessageText", "")
    try:
        text = base64.b64decode(content, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        text = content
    return Message(members.get("MessageId", ""), members.get("PopReceipt", ""), text)
