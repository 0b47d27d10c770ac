"""One queue of Azure Queue Storage, over its REST interface and a SAS URL.

The URL's `sv` fixes the version of the interface. Texts are base64, the default of the Functions host.
"""

import base64
import binascii
import http.client
import ssl
import urllib.parse
import xml.etree.ElementTree as ET
from typing import List, NamedTuple, Optional, Tuple

#: 32 messages of 64 KiB, base64 and XML around them: no right answer is longer (bytes).
_LONGEST = 8 * 1024 * 1024

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class InsecureUrl(Exception):
    """A queue's URL is neither https nor http to this very machine. The SAS is not repeated here."""

    def __init__(self, host: str) -> None:
        super().__init__("{}: only https is spoken to other machines".format(host))
        self.host = host


class QueueUnreachable(Exception):
    """The queue did not answer, or not wholly: whether it acted is unknown."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__("{}: {}".format(operation, detail))
        self.operation = operation
        self.detail = detail


class QueueRefused(Exception):
    """The queue answered with an error: ``status`` of HTTP, ``code`` of the storage service."""

    def __init__(self, operation: str, status: int, code: str) -> None:
        super().__init__("{}: {} {}".format(operation, status, code))
        self.operation = operation
        self.status = status
        self.code = code


class Message(NamedTuple):
    """A received message. A text that is no base64 is given as it came."""

    name: str
    receipt: str
    text: str


class Queue:
    """A queue; for one thread at a time, as it keeps one connection open.

    Raises:
        InsecureUrl: the URL is plain http to another machine.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = checked(url)
        self._url = parts
        self._path = parts.path.rstrip("/") + "/messages"
        self._sas = parts.query
        self._timeout_s = timeout_s
        self._connection: Optional[http.client.HTTPConnection] = None

    def receive(self, limit: int, visibility_s: int) -> List[Message]:
        """Take up to ``limit`` (1 to 32) messages, which others do not see for ``visibility_s``.

        Raises:
            QueueUnreachable: messages may have become invisible all the same.
            QueueRefused: for example with 403, when the SAS has expired.
        """
        query = "numofmessages={}&visibilitytimeout={}".format(limit, visibility_s)
        document = self._call("receive", "GET", self._path, query)
        try:
            found = ET.fromstring(document.decode("utf-8-sig")).iter("QueueMessage")
            return [_message(element) for element in found]
        except (ET.ParseError, UnicodeDecodeError) as error:
            raise QueueUnreachable("receive", "no XML: {}".format(error)) from None

    def delete(self, message: Message) -> None:
        """Delete a received message; one that is gone, or came again since, is fine.

        Raises:
            QueueUnreachable: the message may be there still, and will come again.
            QueueRefused: it will come again too.
        """
        path = "{}/{}".format(self._path, urllib.parse.quote(message.name, safe=""))
        query = "popreceipt={}".format(urllib.parse.quote(message.receipt, safe=""))
        try:
            self._call("delete", "DELETE", path, query)
        except QueueRefused as refused:
            if refused.status not in (400, 404):
                raise

    def put(self, text: str) -> None:
        """Add a message.

        Raises:
            QueueUnreachable: it may have been added all the same.
            QueueRefused: it was not added.
        """
        content = base64.b64encode(text.encode("utf-8")).decode("ascii")
        document = "<QueueMessage><MessageText>{}</MessageText></QueueMessage>".format(content)
        self._call("put", "POST", self._path, "", document.encode("ascii"))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, operation: str, method: str, path: str, query: str, body: bytes = b"") -> bytes:
        target = "{}?{}".format(path, "&".join(part for part in (query, self._sas) if part))
        kept = self._connection is not None
        try:
            status, code, document = self._exchange(method, target, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept or not isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                raise QueueUnreachable(operation, "{}: {}".format(type(error).__name__, error)) from None
            # A connection that was kept open had been closed by the other side: that says nothing.
            return self._call(operation, method, path, query, body)
        if status >= 300:
            raise QueueRefused(operation, status, code)
        return document

    def _exchange(self, method: str, target: str, body: bytes) -> Tuple[int, str, bytes]:
        connection = self._connect()
        headers = {"Content-Type": "application/xml", "Accept": "application/xml"} if body else {}
        connection.request(method, target, body or None, headers)
        response = connection.getresponse()
        document = response.read(_LONGEST + 1)
        if len(document) > _LONGEST or response.will_close:
            self.close()
        if len(document) > _LONGEST:
            raise http.client.HTTPException("the answer is too long")
        return response.status, response.headers.get("x-ms-error-code", ""), document

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = connection_to(self._url, self._timeout_s)
        return self._connection


def checked(url: str) -> urllib.parse.SplitResult:
    """Take a URL apart.

    Raises:
        InsecureUrl: it is plain http to another machine.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise InsecureUrl(host)
    return parts


def connection_to(url: urllib.parse.SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    """Make a connection to the server of a checked URL; the first request opens it."""
    host, port = url.hostname or "", url.port
    if url.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _message(element: ET.Element) -> Message:
    content = element.findtext("MessageText") or ""
    try:
        text = base64.b64decode(content, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        text = content
    return Message(element.findtext("MessageId") or "", element.findtext("PopReceipt") or "", text)
