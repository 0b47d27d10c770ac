"""Who the app is, to Azure Resource Manager."""

import ipaddress
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.credentials_async import AsyncTokenCredential

_LIFETIME_S = 3600


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this very machine: ``localhost`` or an address such as 127.0.0.1 or ::1."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # No URL, or a host with another name.
        return False


def credential_for(endpoint: str, *, client_id: str | None = None) -> AsyncTokenCredential:
    """Give the credential for an endpoint of Azure Resource Manager.

    A stand-in on a loopback host gets a token that proves nothing. Azure gets `DefaultAzureCredential`: the
    managed identity (``client_id`` names a user-assigned one), or a developer's sign-in; the environment
    variable AZURE_TOKEN_CREDENTIALS narrows the choice.
    """
    if is_loopback(endpoint):
        return LoopbackCredential()
    # Costs 200 ms, and indexing the app's functions must not pay for it.
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - see above

    return DefaultAzureCredential(managed_identity_client_id=client_id)


class LoopbackCredential:
    """Gives tokens that no real service accepts; for stand-ins on this machine."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Give a token in the older form."""
        return AccessToken("stillframe-on-loopback", int(time.time()) + _LIFETIME_S)

    async def get_token_info(
        self, *_scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Give a token in the newer form."""
        del options
        return AccessTokenInfo("stillframe-on-loopback", int(time.time()) + _LIFETIME_S)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        return None
