"""Connections out of app settings, and what importing storage costs."""

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shared.storage.clients import queue_service, table_service
from shared.storage.connection import read_connection
from shared.storage.errors import MissingSetting, UnusableSetting

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

KEY = "c2VjcmV0IGtleQ=="


def no_identity() -> "AsyncTokenCredential":
    raise AssertionError("nobody may ask for a token here")


def test_a_connection_string_names_both_services_by_account() -> None:
    connection = read_connection("Storage", {"Storage": f"AccountName=acc;AccountKey={KEY}"})

    assert connection.queue_endpoint == "https://acc.queue.core.windows.net"
    assert connection.table_endpoint == "https://acc.table.core.windows.net"
    assert (connection.account_name, connection.account_key) == ("acc", KEY)


def test_a_connection_string_may_name_another_cloud_or_endpoints_of_its_own() -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=core.example;"

    assert read_connection("S", {"S": text}).queue_endpoint == "https://a.queue.core.example"
    own = read_connection("S", {"S": text + "TableEndpoint=http://127.0.0.1:5/a/"})
    assert own.table_endpoint == "http://127.0.0.1:5/a"


def test_development_storage_is_azurite_on_its_usual_ports() -> None:
    connection = read_connection("S", {"S": "UseDevelopmentStorage=true"})

    assert connection.queue_endpoint == "http://127.0.0.1:10001/devstoreaccount1"
    assert connection.table_endpoint == "http://127.0.0.1:10002/devstoreaccount1"
    assert connection.account_name == "devstoreaccount1"


def test_an_identity_opens_services_that_are_named_by_account_or_by_address() -> None:
    by_account = read_connection("G", {"G__accountName": "acc"}, no_identity)
    by_address = read_connection("G", {"G__queueServiceUri": "https://q.queue.core.example/"}, no_identity)

    assert by_account.table_endpoint == "https://acc.table.core.windows.net"
    assert (by_account.account_name, by_account.account_key) == ("acc", "")
    assert (by_address.account_name, by_address.queue_endpoint) == ("q", "https://q.queue.core.example")
    with pytest.raises(MissingSetting) as raised:
        table_service(by_address)
    assert raised.value.setting == "G__tableServiceUri"


def test_the_functions_prefix_is_found_as_the_host_finds_it() -> None:
    connection = read_connection("Guest", {"AzureWebJobsGuest": "UseDevelopmentStorage=true"})

    assert connection.name == "AzureWebJobsGuest"


def test_a_missing_connection_is_named_with_all_its_forms() -> None:
    with pytest.raises(MissingSetting) as raised:
        read_connection("GuestStorage", {"GuestStorage": ""})

    assert raised.value.setting == "GuestStorage"
    assert "GuestStorage__queueServiceUri" in str(raised.value)


@pytest.mark.parametrize(
    "text", ["nonsense", "AccountName=a", f"AccountKey={KEY}", "BlobEndpoint=x;SharedAccessSignature=y"]
)
def test_an_unusable_connection_string_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(UnusableSetting) as raised:
        read_connection("S", {"S": text})

    assert raised.value.setting == "S"
    assert text not in str(raised.value)


def test_a_service_without_key_and_identity_is_refused() -> None:
    with pytest.raises(UnusableSetting) as raised:
        read_connection("S", {"S__accountName": "acc"})

    assert raised.value.setting == "S"


def test_no_key_is_shown_by_repr() -> None:
    connection = read_connection("S", {"S": f"AccountName=a;AccountKey={KEY}"})

    assert KEY not in repr(connection)


def test_a_queue_service_that_is_not_named_is_missed_by_name() -> None:
    connection = read_connection("S", {"S__tableServiceUri": "https://t.table.core.example"}, no_identity)

    with pytest.raises(MissingSetting) as raised:
        queue_service(connection)

    assert raised.value.setting == "S__queueServiceUri"


def test_importing_storage_loads_no_storage_sdk() -> None:
    modules = ("cache", "guest_queues", "policies", "ports", "queues", "runs", "sagas", "sas", "tables")
    imports = ";".join(f"import shared.storage.{module}" for module in modules)
    heavy = ("azure.storage", "azure.data", "azure.identity", "aiohttp", "cryptography")
    code = f"import sys;{imports};sys.exit(', '.join(m for m in {heavy} if m in sys.modules) or 0)"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
