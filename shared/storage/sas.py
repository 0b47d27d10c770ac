"""Shared access signatures for queues and blobs, by the account's key, else by a user delegation key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.storage.clients import PerLoop, TransportFactory, blob_service, queue_service
from shared.storage.connection import Connection

#: Clocks of clients and service differ; the storage documentation advises to start a SAS 15 minutes back.
_CLOCK_SKEW = timedelta(minutes=15)

#: A user delegation key lasts at most 7 days (Get User Delegation Key). One is asked for a day, and shared.
_KEY_LIFE = timedelta(days=1)
_KEY_LIMIT = timedelta(days=7) - _CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class _Validity:
    """What every signature of a service has in common; ``key`` is None where the account's key signs."""

    start: datetime
    expiry: datetime
    protocol: str
    key: Any


class _Signing:
    """The times of signatures, and the delegation key of one service; the last key is kept."""

    def __init__(
        self,
        connection: Connection,
        endpoint: str,
        clock: Callable[[], int],
        ask: Callable[[datetime, datetime], Awaitable[Any]],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._ask = ask
        self._protocol = "https" if endpoint.startswith("https:") else "https,http"
        self._key: tuple[Any, datetime] | None = None

    async def valid(self, for_ms: int) -> _Validity:
        """Give a validity of ``for_ms``; at most 7 days where a token credential opens the account."""
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        expiry = now + timedelta(milliseconds=for_ms)
        key = None
        if self._connection.credential is not None:
            expiry = min(expiry, now + _KEY_LIMIT)
            key = await self._delegation_key(now, expiry)
        return _Validity(now - _CLOCK_SKEW, expiry, self._protocol, key)

    async def _delegation_key(self, now: datetime, expiry: datetime) -> Any:
        """A key that lasts until ``expiry`` or longer: asking for one costs a request."""
        if self._key is not None and self._key[1] >= expiry:
            return self._key[0]
        until = min(max(expiry, now + _KEY_LIFE), now + _KEY_LIMIT)
        # The service refuses a request without a start.
        key = await self._ask(now - _CLOCK_SKEW, until)
        self._key = (key, until)
        return key


class QueueSigner:
    """Makes URLs of queues with one right each. ``clock`` gives ms since the epoch."""

    def __init__(
        self, connection: Connection, clock: Callable[[], int], *, transport: TransportFactory | None = None
    ) -> None:
        self._connection = connection
        self._service = PerLoop(lambda: queue_service(connection, transport))
        self._signing = _Signing(connection, connection.queue_endpoint, clock, self._new_key)

    def plain_url(self, queue: str) -> str:
        """The queue's URL without any right."""
        return f"{self._connection.queue_endpoint}/{queue}"

    async def url(self, queue: str, permission: str, valid_ms: int) -> str:
        """The queue's URL with a SAS of this permission (``p``: process, ``a``: add).

        Under a token credential it is valid for 7 days at most, and over HTTPS only.
        """
        from azure.storage.queue import generate_queue_sas  # noqa: PLC0415 - see clients.py

        validity = await self._signing.valid(valid_ms)
        signature = generate_queue_sas(
            self._connection.account_name,
            queue,
            account_key=self._connection.account_key or None,
            user_delegation_key=validity.key,
            permission=permission,
            start=validity.start,
            expiry=validity.expiry,
            protocol=validity.protocol,
        )
        return f"{self.plain_url(queue)}?{signature}"

    async def _new_key(self, start: datetime, expiry: datetime) -> Any:
        return await self._service.get().get_user_delegation_key(start=start, expiry=expiry)

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._service.close()


class BlobSigner:
    """Makes URLs by which a blob can be read and nothing else. ``clock`` gives ms since the epoch."""

    def __init__(
        self, connection: Connection, clock: Callable[[], int], *, transport: TransportFactory | None = None
    ) -> None:
        self._connection = connection
        self._service = PerLoop(lambda: blob_service(connection, transport))
        self._signing = _Signing(connection, connection.blob_endpoint, clock, self._new_key)

    async def url(self, container: str, blob: str, valid_ms: int) -> str:
        """The blob's URL with a SAS to read it; for its limits see ``QueueSigner.url``."""
        from azure.storage.blob import generate_blob_sas  # noqa: PLC0415 - see clients.py

        validity = await self._signing.valid(valid_ms)
        signature = generate_blob_sas(
            self._connection.account_name,
            container,
            blob,
            account_key=self._connection.account_key or None,
            user_delegation_key=validity.key,
            permission="r",
            start=validity.start,
            expiry=validity.expiry,
            protocol=validity.protocol,
        )
        return f"{self._connection.blob_endpoint}/{container}/{blob}?{signature}"

    async def _new_key(self, start: datetime, expiry: datetime) -> Any:
        return await self._service.get().get_user_delegation_key(start, expiry)

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._service.close()
