"""Shared access signatures for queues, by the account's key, else by a user delegation key."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.storage.clients import PerLoop, TransportFactory, queue_service
from shared.storage.connection import Connection

if TYPE_CHECKING:
    from azure.storage.queue import UserDelegationKey

#: Clocks of clients and service differ; the storage documentation advises to start a SAS 15 minutes back.
_CLOCK_SKEW = timedelta(minutes=15)

#: A user delegation key lasts at most 7 days (Get User Delegation Key). One is asked for a day, and shared.
_KEY_LIFE = timedelta(days=1)
_KEY_LIMIT = timedelta(days=7) - _CLOCK_SKEW


class QueueSigner:
    """Makes URLs of queues with one right each. ``clock`` gives ms since the epoch."""

    def __init__(
        self, connection: Connection, clock: Callable[[], int], *, transport: TransportFactory | None = None
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._service = PerLoop(lambda: queue_service(connection, transport))
        self._key: tuple[UserDelegationKey, datetime] | None = None

    async def url(self, queue: str, permission: str, valid_ms: int) -> str:
        """The queue's URL with a SAS of this permission (``p``: process, ``a``: add).

        Under a token credential it is valid for 7 days at most, and over HTTPS only.
        """
        from azure.storage.queue import generate_queue_sas  # noqa: PLC0415 - see clients.py

        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        expiry = now + timedelta(milliseconds=valid_ms)
        key = None
        if self._connection.credential is not None:
            expiry = min(expiry, now + _KEY_LIMIT)
            key = await self._delegation_key(now, expiry)
        endpoint = self._connection.queue_endpoint
        signature = generate_queue_sas(
            self._connection.account_name,
            queue,
            account_key=self._connection.account_key or None,
            user_delegation_key=key,
            permission=permission,
            start=now - _CLOCK_SKEW,
            expiry=expiry,
            protocol="https" if endpoint.startswith("https:") else "https,http",
        )
        return f"{endpoint}/{queue}?{signature}"

    async def _delegation_key(self, now: datetime, expiry: datetime) -> "UserDelegationKey":
        """A key that lasts until ``expiry`` or longer; the last one is kept, for asking costs a request."""
        if self._key is not None and self._key[1] >= expiry:
            return self._key[0]
        until = min(max(expiry, now + _KEY_LIFE), now + _KEY_LIMIT)
        # The service refuses a request without a start.
        key = await self._service.get().get_user_delegation_key(start=now - _CLOCK_SKEW, expiry=until)
        self._key = (key, until)
        return key

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._service.close()
