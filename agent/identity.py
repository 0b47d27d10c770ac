"""The VM's managed identity: tokens from Azure's instance metadata service (IMDS).

Rules of the service (Microsoft's documentation of managed identities on VMs): plain http to 169.254.169.254
from within the VM only, header `Metadata: true`, no proxy; 404, 410, 429 and 5xx pass by themselves, which
whoever asks for the next request finds out. No redirection is followed: the service makes none.
"""

import email.utils
import http.client
import json
import threading
import urllib.parse
from typing import Any, Callable, Dict, NamedTuple

from agent.queues import Credential, NoCredential

_API_VERSION = "2018-02-01"
_RESOURCE = "https://storage.azure.com/"
#: Queue Storage takes tokens since 2017-11-09.
_STORAGE_VERSION = "2021-12-02"

#: A token is renewed this long before it expires, and used until then if that fails (ms).
_EARLY_MS = 5 * 60 * 1000
#: A token that does not say how long it lasts is taken to last so long (s).
_SHORTEST_S = 60
_TIMEOUT_S = 3.0
_LONGEST = 64 * 1024


class Token(NamedTuple):
    """A token, and until when it is good (ms, monotonic: no step of the clock makes it older)."""

    text: str
    expires: int


class ManagedIdentity:
    """Gives tokens for Azure Storage, to several threads. ``monotonic`` gives ms."""

    def __init__(self, endpoint: str, client_id: str, monotonic: Callable[[], int]) -> None:
        parts = urllib.parse.urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port
        query = {"api-version": _API_VERSION, "resource": _RESOURCE}
        if client_id:
            query["client_id"] = client_id
        self._target = "/metadata/identity/oauth2/token?" + urllib.parse.urlencode(query)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token = Token("", 0)

    @property
    def credential(self) -> Credential:
        """Give what opens queues by this identity."""
        return Credential(self._headers, self.forget)

    def token(self) -> str:
        """Give a token that is good now.

        Raises:
            NoCredential: there is none, and none can be had.
        """
        with self._lock:
            now = self._monotonic()
            if now >= self._token.expires - _EARLY_MS:
                try:
                    self._token = self._ask(now)
                except NoCredential:
                    if now >= self._token.expires:
                        raise
            return self._token.text

    def forget(self) -> None:
        """Drop the token: a queue has refused it, and a new one may do."""
        with self._lock:
            self._token = Token("", 0)

    def _headers(self) -> Dict[str, str]:
        return {
            "Authorization": "Bearer " + self.token(),
            "x-ms-version": _STORAGE_VERSION,
            "x-ms-date": email.utils.formatdate(usegmt=True),
        }

    def _ask(self, now: int) -> Token:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", self._target, headers={"Metadata": "true"})
            response = connection.getresponse()
            status, document = response.status, response.read(_LONGEST)
        except (OSError, http.client.HTTPException) as error:
            detail = "no managed identity: {}".format(type(error).__name__)
            raise NoCredential(detail) from None
        finally:
            connection.close()
        if status != 200:
            detail = "no managed identity: the metadata service answered {}".format(status)
            raise NoCredential(detail)
        return _token(document, now)


def _token(document: bytes, now: int) -> Token:
    try:
        members: Any = json.loads(document.decode("utf-8"))
        text = members["access_token"]
        lasts_s = int(members.get("expires_in") or _SHORTEST_S)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoCredential("no managed identity: the metadata service's answer has no token") from None
    if not _is_header(text):
        raise NoCredential("no managed identity: the metadata service's token is none")
    return Token(text, now + max(lasts_s, _SHORTEST_S) * 1000)


def _is_header(text: Any) -> bool:
    """Whether this may be sent in a header."""
    return isinstance(text, str) and text != "" and all("!" <= c <= "~" for c in text)
