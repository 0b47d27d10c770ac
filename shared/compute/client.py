"""The clients of Azure Resource Manager's compute provider: a patient one, and one for the freeze window.

The SDK is imported when the first client is made, not with this module: it costs 200 to 360 ms and more than
a second without compiled files, and the indexing of the app's functions must not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core.pipeline.policies import SansIOHTTPPolicy

from shared.compute.credentials import is_loopback
from shared.compute.remaining import NoteRemaining, Remaining

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core import AsyncPipelineClient
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline import PipelineRequest
    from azure.mgmt.compute.aio import ComputeManagementClient

AZURE_ENDPOINT = "https://management.azure.com"
SCOPE = "https://management.azure.com/.default"

#: The SDK's own time-outs are 300 s; a request that takes longer than these is better sent again.
PATIENT_CONNECT_S = 5
PATIENT_READ_S = 30

#: The SDK's own 10 retries with pauses of up to 120 s outlive an invocation.
PATIENT_RETRIES = 4
PATIENT_PAUSE_MAX_S = 10

#: In the freeze window a guest waits for every second.
WINDOW_CONNECT_S = 2
WINDOW_READ_S = 5

#: Between two looks of the SDK's poller, where it is used at all; its own default is 30 s.
POLLING_INTERVAL_S = 1


class PlainHttpOnLoopback(SansIOHTTPPolicy[Any, Any]):
    """Lets bearer tokens go over plain HTTP to this very machine, and to nowhere else."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Lift the SDK's demand for TLS where the host is a loopback one."""
        if is_loopback(request.http_request.url):
            request.context.options["enforce_https"] = False


class ComputeClients:
    """The two clients for one subscription. To be made inside a running event loop, and closed.

    Attributes:
        patient: repeats what failed and honours Retry-After.
        freeze_window: repeats nothing, sleeps for nobody, and has no limit on connections, so that no freeze
            window waits for another one's.

    """

    def __init__(
        self,
        subscription_id: str,
        credential: AsyncTokenCredential,
        *,
        endpoint: str = AZURE_ENDPOINT,
        remaining: Remaining | None = None,
    ) -> None:
        noting = [NoteRemaining(remaining)] if remaining is not None else []
        self.patient = _patient(subscription_id, credential, endpoint, noting)
        self.freeze_window = _freeze_window(subscription_id, credential, endpoint, noting)

    async def close(self) -> None:
        """Close the connections of both."""
        await self.patient.close()
        await self.freeze_window.close()


class ClientPool:
    """The clients of a process, by subscription; each made when it is first asked for.

    ``credential`` is called once, inside the first invocation that needs Azure. ``remaining`` is told what
    the answers say of the requests that are left.
    """

    def __init__(
        self,
        credential: Callable[[], AsyncTokenCredential],
        *,
        endpoint: str = AZURE_ENDPOINT,
        remaining: Remaining | None = None,
    ) -> None:
        self._make_credential = credential
        self._endpoint = endpoint
        self._remaining = remaining
        self._credential: AsyncTokenCredential | None = None
        self._clients: dict[str, ComputeClients] = {}
        self._front_door: AsyncPipelineClient[Any, Any] | None = None

    @property
    def endpoint(self) -> str:
        """Where Azure Resource Manager is: scheme and host."""
        return self._endpoint

    def of(self, subscription_id: str) -> ComputeClients:
        """Give the clients for a subscription."""
        key = subscription_id.lower()
        if key not in self._clients:
            self._clients[key] = ComputeClients(
                subscription_id,
                self._shared_credential(),
                endpoint=self._endpoint,
                remaining=self._remaining,
            )
        return self._clients[key]

    def front_door(self) -> AsyncPipelineClient[Any, Any]:
        """Give a client for what is above all subscriptions. It repeats nothing."""
        if self._front_door is None:
            self._front_door = _plain(self._shared_credential(), self._endpoint)
        return self._front_door

    async def warm(self, subscription_id: str) -> None:
        """Make the clients and fetch a token, so that no freeze window in this process pays for it.

        The credential keeps the token. Raises AzureError when there is none to be had.
        """
        self.of(subscription_id)
        await self._shared_credential().get_token(SCOPE)

    async def close(self) -> None:
        """Close everything; a later call of `of` makes new clients."""
        clients, self._clients = self._clients, {}
        credential, self._credential = self._credential, None
        front_door, self._front_door = self._front_door, None
        for each in clients.values():
            await each.close()
        if front_door is not None:
            await front_door.close()
        if credential is not None:
            await credential.close()

    def _shared_credential(self) -> AsyncTokenCredential:
        if self._credential is None:
            self._credential = self._make_credential()
        return self._credential


def _patient(
    subscription_id: str, credential: AsyncTokenCredential, endpoint: str, noting: list[NoteRemaining]
) -> ComputeManagementClient:
    from azure.mgmt.compute.aio import ComputeManagementClient  # noqa: PLC0415 - the module says why

    return ComputeManagementClient(
        credential,
        subscription_id,
        base_url=endpoint,
        per_call_policies=[PlainHttpOnLoopback()],
        per_retry_policies=noting,
        connection_timeout=PATIENT_CONNECT_S,
        read_timeout=PATIENT_READ_S,
        retry_total=PATIENT_RETRIES,
        retry_backoff_max=PATIENT_PAUSE_MAX_S,
        polling_interval=POLLING_INTERVAL_S,
    )


def _plain(credential: AsyncTokenCredential, endpoint: str) -> AsyncPipelineClient[Any, Any]:
    from azure.core import AsyncPipelineClient  # noqa: PLC0415 - the module says why
    from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy  # noqa: PLC0415 - same

    return AsyncPipelineClient(
        endpoint,
        policies=[PlainHttpOnLoopback(), AsyncBearerTokenCredentialPolicy(credential, SCOPE)],
        connection_timeout=WINDOW_CONNECT_S,
        read_timeout=WINDOW_READ_S,
    )


def _freeze_window(
    subscription_id: str, credential: AsyncTokenCredential, endpoint: str, noting: list[NoteRemaining]
) -> ComputeManagementClient:
    import aiohttp  # noqa: PLC0415 - the module says why
    from azure.core.pipeline.policies import AsyncRedirectPolicy, AsyncRetryPolicy  # noqa: PLC0415 - same
    from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - same
    from azure.mgmt.compute.aio import ComputeManagementClient  # noqa: PLC0415 - same

    # What the transport would set up itself, but for the connector's limit of 100 connections.
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
        auto_decompress=False,
    )
    transport = AioHttpTransport(
        session=session, connection_timeout=WINDOW_CONNECT_S, read_timeout=WINDOW_READ_S
    )
    return ComputeManagementClient(
        credential,
        subscription_id,
        base_url=endpoint,
        per_call_policies=[PlainHttpOnLoopback()],
        per_retry_policies=noting,
        transport=transport,
        retry_policy=AsyncRetryPolicy.no_retries(),
        redirect_policy=AsyncRedirectPolicy.no_redirects(),
        polling_interval=POLLING_INTERVAL_S,
    )
