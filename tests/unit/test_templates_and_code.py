"""What the templates say and what the code says are the same: names in storage, functions, settings."""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.core.credentials_async import AsyncTokenCredential

import shared.storage
from shared.delivery.addresses import NETWORKS_SETTING, read_networks
from shared.engine import queue_names
from shared.engine.application import Application
from shared.policy.notifications import SECRET_SETTING, secret_setting
from shared.settings import read_settings
from shared.storage import guest_scripts
from shared.storage.connection import read_connection
from shared.triggers.families import FAMILIES
from shared.triggers.once import Once
from shared.triggers.queues import GUEST_STORAGE, STORAGE
from tests.templates.bicep import BicepFile, commented, literal, members, text
from tests.unit.asked import Asked

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()

CONTENTS: Mapping[str, list[str]] = json.loads((INFRA / "storage.json").read_text())


def tables() -> Iterator[str]:
    """Every repository says in its constructor which table it is for."""
    for module in pkgutil.iter_modules(shared.storage.__path__, "shared.storage."):
        for _, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            made = vars(each).get("__init__")
            parameter = inspect.signature(made).parameters.get("table") if inspect.isfunction(made) else None
            if parameter is not None and isinstance(parameter.default, str):
                yield parameter.default


def no_application() -> Application:
    raise AssertionError("functions are looked at, none is called")


@pytest.fixture(scope="module")
def triggers() -> dict[str, dict[str, Any]]:
    app = func.FunctionApp()
    for family in FAMILIES:
        app.register_functions(family.blueprint(Once(no_application)))
    found: dict[str, dict[str, Any]] = {}
    for function in app.get_functions():
        bindings = function.get_bindings_dict()["bindings"]
        [found[str(function.get_function_name())]] = [b for b in bindings if b["type"].endswith("Trigger")]
    return found


def test_the_templates_make_every_table_that_the_code_has_and_no_other() -> None:
    assert sorted(set(tables())) == CONTENTS["tables"]
    assert len(CONTENTS["tables"]) >= 8, "they are found"


def test_the_templates_make_every_queue_that_the_code_has_and_no_other(
    triggers: Mapping[str, Mapping[str, Any]],
) -> None:
    named = {value for name, value in vars(queue_names).items() if name.isupper() and isinstance(value, str)}
    taken = {connection: set[str]() for connection in (STORAGE, GUEST_STORAGE)}
    for trigger in triggers.values():
        if trigger["type"] == "queueTrigger":
            taken[trigger["connection"]].add(trigger["queueName"])
    own = taken[STORAGE] | (named - taken[GUEST_STORAGE])
    assert set(CONTENTS["queues"]) == own
    assert set(CONTENTS["guestQueues"]) == taken[GUEST_STORAGE]
    assert named <= own | taken[GUEST_STORAGE]
    assert CONTENTS["guestContainers"] == [guest_scripts.CONTAINER]


def app_file() -> BicepFile:
    return BicepFile(INFRA / "app" / "function.bicep")


def test_the_functions_that_are_always_ready_are_there(triggers: Mapping[str, Mapping[str, Any]]) -> None:
    ready, more = (
        {name for name, _ in commented(app_file().value(which))} for which in ("ready", "readyForGroups")
    )
    assert ready == {"function:agent_ack", "function:saga_step", "http"}
    assert more == {"function:group_message"}
    for name in (ready | more) - {"http"}:
        assert triggers[name.removeprefix("function:")]["type"] == "queueTrigger"


def test_azure_runs_the_python_that_the_project_is_made_for() -> None:
    version = re.search(r"runtime: \{ name: 'python', version: '([\d.]+)' \}", app_file().code)
    assert version is not None
    assert f'requires-python = ">={version[1]},' in (ROOT / "pyproject.toml").read_text()


def deployed_settings() -> dict[str, str]:
    """The settings of the template, as they are written, with what is put in replaced by something usable."""
    file = app_file()
    known = {
        "clientId": "11111111-2222-3333-4444-555555555555",
        "appAccountName": "stsfapp",
        "guestAccountName": "stsfguests",
        "storageSuffix": "core.windows.net",
        "string(keyVersion)": "1",
        "environment().resourceManager": "https://management.azure.com/",
        "agentUrl": "https://example.org/agent.pyz",
        "agentSha256": "ab" * 32,
        "webhookNetworks": "10.1.0.0/16,10.2.0.0/16",
        "insights.properties.ConnectionString": "InstrumentationKey=0",
        "masterKeyUri": "https://kv.example.org/secrets/stillframe-master-key",
    }
    values = {}
    for name, node in members(file.value("settings")):
        value = literal(node) if node.type == "string" else known[text(node)]
        values[name] = re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], value)
    return values


def no_credential() -> AsyncTokenCredential:
    raise AssertionError("nothing is asked for yet")


def test_the_app_can_be_built_from_the_settings_that_the_template_gives_it() -> None:
    values = deployed_settings()
    assert values["STILLFRAME_MASTER_KEY"].startswith("@Microsoft.KeyVault(SecretUri=https://kv")
    values["STILLFRAME_MASTER_KEY"] = "ab" * 32  # as the host puts it in

    settings = read_settings(values)
    own, guests = (read_connection(name, values, no_credential) for name in (STORAGE, GUEST_STORAGE))

    assert settings.client_id == values["AZURE_CLIENT_ID"] == values["GuestStorage__clientId"]
    assert settings.arm_endpoint == "https://management.azure.com"
    assert (settings.key_version, settings.agent_sha256) == (1, "ab" * 32)
    assert own.table_endpoint == "https://stsfapp.table.core.windows.net"
    assert (guests.queue_endpoint, guests.blob_endpoint) == (
        "https://stsfguests.queue.core.windows.net",
        "https://stsfguests.blob.core.windows.net",
    )
    assert not own.account_key
    assert not guests.account_key
    assert [str(network) for network in read_networks(values)] == ["10.1.0.0/16", "10.2.0.0/16"]


def asked_for() -> set[str]:
    """The names of all settings that the code reads, timers' schedules too."""
    usable = Asked(deployed_settings() | {"STILLFRAME_MASTER_KEY": "ab" * 32})
    read_settings(usable)
    read_networks(usable)
    for connection in (STORAGE, GUEST_STORAGE):
        read_connection(connection, usable, no_credential)
    timers = {
        name
        for source in (ROOT / "shared").rglob("*.py")
        for name in re.findall(r"%([A-Z][A-Z0-9_]{2,})%", source.read_text())
    }
    return usable.names | timers


#: Read by the app and set by nobody: the platform says where it runs; other forms of the same connections.
NOT_SET = {"WEBSITE_HOSTNAME", STORAGE, GUEST_STORAGE, f"AzureWebJobs{GUEST_STORAGE}"}
#: Set for the Functions host and for nobody else.
OF_THE_HOST = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "FUNCTIONS_ENABLE_DRAIN_ON_APP_STOPPING",
}


def test_every_setting_that_the_app_reads_is_set_and_every_one_that_is_set_is_read() -> None:
    asked = {name for name in asked_for() if "__" not in name}
    given = {name for name in deployed_settings() if "__" not in name}
    assert asked - given - NOT_SET == set()
    assert given - asked == OF_THE_HOST
    assert NETWORKS_SETTING in given
    # A setting that is read where nothing above looks would be seen by the way in which it is read.
    reads = re.compile(r"environ(?:ment)?(?:\.get\(|\[)\s*\"(\w+)\"")
    sources = [ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py")]
    read = {name for source in sources for name in reads.findall(source.read_text())}
    assert read - asked == set()


def test_every_setting_is_explained() -> None:
    names = set(deployed_settings()) | {SECRET_SETTING, "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}
    missing = {name for name in names if name.partition("__")[0] not in DEPLOY}
    assert missing == set()


def test_every_parameter_is_explained() -> None:
    main = BicepFile(INFRA / "main.bicep")
    variables = re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text())
    assert {name for name in variables if f"`{name}`" not in DEPLOY} == set()
    assert {name for name in main.of("param") if f"`{name}`" not in DEPLOY} == set()


def test_a_webhooks_secret_has_the_name_that_the_app_asks_for() -> None:
    code = app_file().code
    assert f"'{SECRET_SETTING}${{toUpper(secret)}}'" in code
    assert secret_setting("ops_team") == f"{SECRET_SETTING}OPS_TEAM"
    # Names of a vault's secrets have no underscore, names of the policy's no hyphen: no two become one.
    assert "replace(secret, '_', '-')" in code


def test_the_worker_sends_telemetry_of_its_own_only_where_its_package_is_there() -> None:
    main = BicepFile(INFRA / "main.bicep")
    default = text(main.of("param")["workerTelemetry"].node.named_children[-1])
    there = "azure-monitor-opentelemetry==" in (ROOT / "requirements.txt").read_text()
    assert default == str(there).lower()
    # With this one the host would leave the logs to a worker that does not send them.
    assert "PYTHON_ENABLE_OPENTELEMETRY" not in app_file().code
    assert json.loads((ROOT / "host.json").read_text())["telemetryMode"] == "OpenTelemetry"


def test_no_key_opens_anything() -> None:
    storage = BicepFile(INFRA / "app" / "storage.bicep").code
    assert storage.count("allowSharedKeyAccess: false") == 1
    assert storage.count("properties: properties\n") == 2, "both accounts have these properties"
    assert "disableLocalAuth: true" in (INFRA / "watch" / "monitoring.bicep").read_text()
    assert "DisableLocalAuth: true" in (INFRA / "watch" / "monitoring.bicep").read_text()
    everything = "".join(BicepFile(path).code for path in INFRA.rglob("*.bicep"))
    assert not re.search(r"AccountKey|listKeys|SharedAccessSignature", everything)
