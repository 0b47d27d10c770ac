"""A storage connection, from app settings as the Functions host reads them.

Either ``<NAME>`` is a connection string, or ``<NAME>__queueServiceUri``, ``<NAME>__tableServiceUri`` and
``<NAME>__blobServiceUri`` (each optional when ``<NAME>__accountName`` is there) name the service and a token
credential opens it. As in the
host, a connection may also stand under ``AzureWebJobs<NAME>``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.storage.errors import MissingSetting, UnusableSetting

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

CredentialFactory = Callable[[], "AsyncTokenCredential"]

#: Azurite's public development account, which ``UseDevelopmentStorage=true`` stands for.
_DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a storage account is and what opens it: an account key, or ``credential`` (made once per client).

    ``repr`` shows neither key nor connection string.
    """

    name: str
    queue_endpoint: str
    table_endpoint: str
    blob_endpoint: str = ""
    account_name: str
    account_key: str = field(default="", repr=False)
    credential: CredentialFactory | None = field(default=None, repr=False)


def read_connection(
    name: str, settings: Mapping[str, str], credential: CredentialFactory | None = None
) -> Connection:
    """Read the connection ``name`` out of the app settings (``os.environ`` in the app).

    Raises:
        MissingSetting: neither form is there.
        UnusableSetting: the connection string has no account key, or nothing opens a service URI.
    """
    for prefix in (name, f"AzureWebJobs{name}"):
        text = settings.get(prefix, "")
        if text:
            return _from_string(prefix, text)
        if any(settings.get(f"{prefix}__{part}") for part in _IDENTITY_PARTS):
            return _from_identity(prefix, settings, credential)
    raise MissingSetting(name, tuple(f"{name}__{part}" for part in _IDENTITY_PARTS))


_IDENTITY_PARTS = ("accountName", "queueServiceUri", "tableServiceUri")


def _from_string(setting: str, text: str) -> Connection:
    if text.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
        text = _DEVELOPMENT_STORAGE
    parts: dict[str, str] = {}
    for part in filter(None, text.strip().split(";")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UnusableSetting(setting, "is not a connection string")
        parts[key.lower()] = value
    account, key = parts.get("accountname", ""), parts.get("accountkey", "")
    if not account or not key:
        raise UnusableSetting(setting, "lacks AccountName or AccountKey")
    base = "{}://{}.{{}}.{}".format(
        parts.get("defaultendpointsprotocol", "https"),
        account,
        parts.get("endpointsuffix", "core.windows.net"),
    )
    return Connection(
        name=setting,
        queue_endpoint=parts.get("queueendpoint", base.format("queue")).rstrip("/"),
        table_endpoint=parts.get("tableendpoint", base.format("table")).rstrip("/"),
        blob_endpoint=parts.get("blobendpoint", base.format("blob")).rstrip("/"),
        account_name=account,
        account_key=key,
    )


def _from_identity(
    prefix: str, settings: Mapping[str, str], credential: CredentialFactory | None
) -> Connection:
    if credential is None:
        raise UnusableSetting(
            prefix, "names a service without a key, and there is no identity to open it with"
        )
    account = settings.get(f"{prefix}__accountName", "")
    queue = settings.get(f"{prefix}__queueServiceUri", "")
    table = settings.get(f"{prefix}__tableServiceUri", "")
    blob = settings.get(f"{prefix}__blobServiceUri", "")
    return Connection(
        name=prefix,
        queue_endpoint=(queue or (account and f"https://{account}.queue.core.windows.net")).rstrip("/"),
        table_endpoint=(table or (account and f"https://{account}.table.core.windows.net")).rstrip("/"),
        blob_endpoint=(blob or (account and f"https://{account}.blob.core.windows.net")).rstrip("/"),
        account_name=account or _host_label(queue or table),
        credential=credential,
    )


def _host_label(uri: str) -> str:
    """``https://myaccount.queue.core.windows.net`` belongs to ``myaccount``."""
    return uri.partition("://")[2].partition(".")[0]
