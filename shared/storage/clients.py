"""SDK clients: made on first use, one per event loop, with explicit retries and time-outs.

The SDKs are imported when the first client is made: the queue SDK alone costs 0.3-0.4 s of CPU, which would
otherwise be spent while the Functions host is still indexing.
"""

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from shared.storage.connection import Connection
from shared.storage.errors import MissingSetting

if TYPE_CHECKING:
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.data.tables.aio import TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

TransportFactory = Callable[[], "AsyncHttpTransport[Any, Any]"]

#: Pauses of 0, 0.2 and 0.4 s. The SDK's own default needs 4.8 s to report a refused connection.
TABLE_RETRIES: dict[str, Any] = {"retry_total": 3, "retry_backoff_factor": 0.1, "retry_backoff_max": 2}

#: For queues and blobs. The SDKs pause for initial_backoff + increment_base ** n seconds: 1.2 s
#: each. Their default starts at 15 s.
QUEUE_RETRIES: dict[str, Any] = {
    "retry_total": 3,
    "initial_backoff": 0.2,
    "increment_base": 1,
    "random_jitter_range": 0,
}

#: Seconds to connect, and between two bytes of an answer. The defaults are minutes.
TIMEOUTS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 15}


class _Closeable(Protocol):
    async def close(self) -> None: ...


class PerLoop[Client: _Closeable]:
    """A client for each event loop that asks: an aiohttp session works in no other loop than its own."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = (
            weakref.WeakKeyDictionary()
        )

    def get(self) -> Client:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = self._make()
        return client

    async def close(self) -> None:
        """Close the running loop's client, if there is one; the next ``get`` makes a new one."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()


def table_service(connection: Connection, transport: TransportFactory | None = None) -> "TableServiceClient":
    """Make a Table service client of the connection.

    Raises:
        MissingSetting: the connection names no table service.
    """
    from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - see the module's docstring
    from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 - see the module's docstring

    if not connection.table_endpoint:
        raise MissingSetting(f"{connection.name}__tableServiceUri")
    credential = (
        connection.credential()
        if connection.credential
        else AzureNamedKeyCredential(connection.account_name, connection.account_key)
    )
    return TableServiceClient(
        connection.table_endpoint, credential=credential, **TABLE_RETRIES, **_transport(transport)
    )


def queue_service(connection: Connection, transport: TransportFactory | None = None) -> "QueueServiceClient":
    """Make a Queue service client of the connection.

    Raises:
        MissingSetting: the connection names no queue service.
    """
    from azure.storage.queue.aio import QueueServiceClient  # noqa: PLC0415 - see the module's docstring

    if not connection.queue_endpoint:
        raise MissingSetting(f"{connection.name}__queueServiceUri")
    return QueueServiceClient(
        connection.queue_endpoint,
        credential=_storage_credential(connection),
        **QUEUE_RETRIES,
        **_transport(transport),
    )


def blob_service(connection: Connection, transport: TransportFactory | None = None) -> "BlobServiceClient":
    """Make a Blob service client of the connection.

    Raises:
        MissingSetting: the connection names no blob service.
    """
    from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 - see the module's docstring

    if not connection.blob_endpoint:
        raise MissingSetting(f"{connection.name}__blobServiceUri")
    return BlobServiceClient(
        connection.blob_endpoint,
        credential=_storage_credential(connection),
        **QUEUE_RETRIES,
        **_transport(transport),
    )


def _storage_credential(connection: Connection) -> Any:
    """Give what opens queues and blobs of the connection: a token credential, or the account's key."""
    if connection.credential:
        return connection.credential()
    return {"account_name": connection.account_name, "account_key": connection.account_key}


def _transport(transport: TransportFactory | None) -> dict[str, Any]:
    return {"transport": transport()} if transport else dict(TIMEOUTS)
