"""One POST to a webhook: bounded in time, to no address but those that are allowed, following no redirect."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from shared.delivery.addresses import Network, check_address
from shared.version import VERSION

#: Seconds that one attempt may take in all. Standard Webhooks recommends 15 to 30 s.
ATTEMPT_WITHIN_S = 20.0
_CONNECT_WITHIN_S = 10.0
#: A receiver's headers; its body is of no interest, and is not read.
_LONGEST_HEADER = 8_190

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class Unreachable(Exception):
    """No answer came: ``why`` is the class of the error, or says what did not come in time."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no answer: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said. ``retry_after_ms`` is how long it asks to be left alone, or None."""

    status: int
    retry_after_ms: int | None = None


class WebhookClient:
    """Posts to webhooks. ``allowed`` are networks that may be reached although they are not public."""

    def __init__(self, allowed: Sequence[Network], *, within_s: float = ATTEMPT_WITHIN_S) -> None:
        self._allowed = allowed
        self._within_s = within_s

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, now: int) -> Answer:
        """Post once. ``now`` (ms since the epoch) is what a date in ``Retry-After`` is compared with.

        Raises:
            Unreachable: there was no answer in time.
            ForbiddenAddress: the host is, or resolves to, an address that may not be reached.
        """
        import aiohttp  # noqa: PLC0415 - the indexing of the app's functions must not pay for it

        own = {"Content-Type": CONTENT_TYPE, "User-Agent": f"Stillframe/{VERSION}"}
        # A session for each: the address is looked up and checked every time, and nothing is kept between
        # receivers (cookies, connections). No proxy of the environment, which would look the name up itself.
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._socket, force_close=True),
            timeout=aiohttp.ClientTimeout(total=self._within_s, connect=_CONNECT_WITHIN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_field_size=_LONGEST_HEADER,
        )
        try:
            async with (
                session,
                session.post(url, data=body, headers={**headers, **own}, allow_redirects=False) as answer,
            ):
                return Answer(answer.status, _retry_after_ms(answer.headers.get("Retry-After"), now))
        except TimeoutError as error:
            raise Unreachable(f"not within {self._within_s:g} s") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error

    def _socket(self, target: Any) -> socket.socket:
        """Make the socket of a connection whose address is known: nothing is resolved after this."""
        family, kind, protocol, _, address = target
        check_address(str(address[0]), self._allowed)
        return socket.socket(family=family, type=kind, proto=protocol)


def _retry_after_ms(text: str | None, now: int) -> int | None:
    """Read ``Retry-After`` (RFC 9110): seconds, or a date. What is neither says nothing."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text.strip()) < 10:
        return int(text) * 1000
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, int(at.timestamp() * 1000) - now)
