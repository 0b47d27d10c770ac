"""One queue of Azure Queue Storage, over its REST interface, by a SAS URL or with a managed identity.

A SAS URL's `sv` fixes the version of the interface. Texts are base64, the default of the Functions host.
Nothing that the service answers is believed: not its length, not its form, not where it sends us.
"""

import base64
import http.client
import re
import ssl
import urllib.parse
from typing import Callable, Dict, List, NamedTuple, Optional

from agent import listing
from agent.listing import BadListing, Message

#: 32 messages of 64 KiB and the XML around them: no right answer is longer (bytes).
_LONGEST = 4 * 1024 * 1024

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


class NoCredential(Exception):
    """The headers that would open the queue cannot be had right now; ``detail`` says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Credential(NamedTuple):
    """What opens a queue besides its URL: headers for each request, and what to do once they were refused.

    ``headers`` raises NoCredential.
    """

    headers: Callable[[], Dict[str, str]]
    refused: Callable[[], None]


#: The URL carries its own right.
BY_URL = Credential(dict, lambda: None)


class Reply(NamedTuple):
    """An answer of the service: status of HTTP, code of the storage service, its `Date` as it came."""

    status: int
    code: str
    date: str
    document: bytes


class Queue:
    """A queue; for one thread at a time, as it keeps one connection open.

    Raises:
        InsecureUrl: the URL is plain http to another machine.
    """

    def __init__(self, url: str, timeout_s: float, credential: Credential = BY_URL) -> None:
        parts = checked(url)
        self._url = parts
        self._path = parts.path.rstrip("/") + "/messages"
        self._sas = parts.query
        self._timeout_s = timeout_s
        self._credential = credential
        self._connection: Optional[http.client.HTTPConnection] = None

    def receive(self, limit: int, visibility_s: int) -> List[Message]:
        """Take up to ``limit`` (1 to 32) messages, which others do not see for ``visibility_s``.

        Raises:
            QueueUnreachable: messages may have become invisible all the same.
            QueueRefused: for example with 403, when the SAS has expired.
        """
        query = "numofmessages={}&visibilitytimeout={}".format(limit, visibility_s)
        document = self._call("receive", "GET", self._path, query).document
        try:
            return listing.read(document, limit)
        except BadListing as error:
            raise QueueUnreachable("receive", str(error)) from None

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

    def ask(
        self, operation: str, method: str, query: str = "", body: bytes = b"", message: str = ""
    ) -> Reply:
        """Make one request to the queue's messages, or to one ``message``; give the answer, whatever it says.

        Raises:
            QueueUnreachable: there was none.
        """
        path = "{}/{}".format(self._path, message) if message else self._path
        return self._answer(operation, method, path, query, body)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, operation: str, method: str, path: str, query: str, body: bytes = b"") -> Reply:
        reply = self._answer(operation, method, path, query, body)
        if reply.status == 401:
            self._credential.refused()
        if reply.status >= 300:  # no redirection is followed: it would carry the credential elsewhere
            raise QueueRefused(operation, reply.status, reply.code)
        return reply

    def _answer(self, operation: str, method: str, path: str, query: str, body: bytes) -> Reply:
        target = "{}?{}".format(path, "&".join(part for part in (query, self._sas) if part))
        try:
            headers = self._credential.headers()
        except NoCredential as error:
            raise QueueUnreachable(operation, error.detail) from None
        kept = self._connection is not None
        try:
            return self._exchange(method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept or not isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                raise QueueUnreachable(operation, _in_words(error)) from None
            # A connection that was kept open had been closed by the other side: that says nothing.
            return self._answer(operation, method, path, query, body)

    def _exchange(self, method: str, target: str, body: bytes, headers: Dict[str, str]) -> Reply:
        connection = self._connect()
        if body:
            headers = dict(headers, **{"Content-Type": "application/xml", "Accept": "application/xml"})
        connection.request(method, target, body or None, headers)
        response = connection.getresponse()
        document = response.read(_LONGEST + 1)
        if len(document) > _LONGEST or response.will_close:
            self.close()
        if len(document) > _LONGEST:
            raise http.client.HTTPException("the answer is too long")
        code = response.headers.get("x-ms-error-code", "")
        known = code if re.match(r"[A-Za-z]{1,64}\Z", code) else ""
        return Reply(response.status, known, response.headers.get("Date", ""), document)

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


def _in_words(error: Exception) -> str:
    """Say what went wrong, in one printable line: some errors repeat what the other side sent."""
    return ascii("{}: {}".format(type(error).__name__, error))[1:-1][:200]
