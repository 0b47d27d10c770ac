"""The templates are well, and what is planted into them is found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.templates.checks import findings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    shutil.copy(ROOT / "azure.yaml", tmp_path)
    return tmp_path


def test_nothing_is_wrong_with_the_templates() -> None:
    assert findings(ROOT) == []


Plant = Callable[[Path], None]


def changed(name: str, old: str, new: str) -> Plant:
    def plant(root: Path) -> None:
        path = root / name
        before = path.read_text()
        assert before.count(old) >= 1, "the fault has nothing to be planted in"
        path.write_text(before.replace(old, new, 1))

    return plant


def added(name: str, more: str) -> Plant:
    def plant(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(more)

    return plant


def removed(name: str) -> Plant:
    return lambda root: (root / name).unlink()


MAIN, VAULT, ROLES = "infra/main.bicep", "infra/app/vault.bicep", "infra/roles/definitions.bicep"
PLANTED: dict[str, tuple[Plant, str]] = {
    "a bracket is missing": (
        changed(MAIN, "params: { environmentName", "params:  environmentName"),
        "does not parse",
    ),
    "a name is misspelt": (changed(MAIN, "tags: tags", "tags: tag"), "tag is declared nowhere"),
    "a function is misspelt": (changed(MAIN, "uniqueString(", "uniqeString("), "uniqeString is not among"),
    "a variable is left over": (added(MAIN, "var spare = 'x'\n"), "var spare is not used"),
    "a parameter is left over": (added(VAULT, "param spare string\n"), "param spare is not used"),
    "a name is declared twice": (added(MAIN, "var token = 'x'\n"), "token is declared twice"),
    "a module is not there": (
        changed(MAIN, "'app/vault.bicep'", "'app/safe.bicep'"),
        "there is no safe.bicep",
    ),
    "a module's file is removed": (removed("infra/app/network.bicep"), "there is no network.bicep"),
    "a parameter is not passed": (
        changed(MAIN, "    operatorId: operatorId\n", ""),
        "is not passed operatorId",
    ),
    "a parameter is not known": (
        changed(MAIN, "operatorId: operatorId", "operatorId: operatorId, owner: operatorId"),
        "has no parameter owner",
    ),
    "an output is not there": (changed(MAIN, "vault.outputs.uri", "vault.outputs.url"), "has no output url"),
    "an output of no module": (changed(MAIN, "vault.outputs.uri", "safe.outputs.uri"), "outputs of safe"),
    "a file that nothing leads to": (
        added("infra/app/spare.bicep", "output x int = 1\n"),
        "nothing leads here",
    ),
    "a JSON file that nothing reads": (added("infra/spare.json", "{}\n"), "nothing leads here"),
    "a loaded file is removed": (removed("infra/watch/alerts.json"), "there is no alerts.json"),
    "a secret is put out": (added(VAULT, "output made string = masterKey\n"), "made looks like a secret"),
    "a key is put out": (
        added("infra/app/storage.bicep", "output first string = app.listKeys().keys[0].value\n"),
        "first looks like a secret",
    ),
    "a connection string is put out": (
        added("infra/watch/monitoring.bicep", "output to string = insights.properties.ConnectionString\n"),
        "to looks like a secret",
    ),
    "an output is called a password": (
        added(VAULT, "output password string = name\n"),
        "password looks like",
    ),
    "an action is a whole family": (changed(ROLES, "disks/read'", "disks/*'"), "disks/* is not one action"),
    "an action is everything": (
        changed(ROLES, "'Microsoft.Compute/disks/read'", "'*'"),
        "* is not one action",
    ),
    "an action has no reason": (
        changed(ROLES, " // the kind of a disk, and where it lies", ""),
        "disks/read does not say what it is for",
    ),
    "a type has no version": (changed(VAULT, "vaults@2026-02-01", "vaults"), "no type with a version"),
    "a parameter that azd cannot set": (
        changed("infra/main.parameters.json", '"operatorId"', '"operator"'),
        "operatorId is missing",
    ),
    "a value in the file of parameters": (
        changed("infra/main.parameters.json", "${AZURE_LOCATION}", "westeurope"),
        "does not match",
    ),
    "a queue that Azure does not take": (
        changed("infra/storage.json", '"stillframe-runs"', '"Stillframe_Runs"'),
        "does not match",
    ),
    "a frequency that Azure does not take": (
        changed("infra/watch/alerts.json", '"minutes": 5', '"minutes": 7'),
        "7 is",
    ),
    "JSON that is none": (changed("infra/watch/workbook.json", "{", "{,"), "no JSON"),
    "a part of a workbook without a query": (
        changed("infra/watch/workbook.json", '"query":', '"kusto":'),
        "infra/watch/workbook.json",
    ),
    "azd is told of another host": (
        changed("azure.yaml", "host: function", "host: appservice"),
        "azure.yaml",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str, copy: Path) -> None:
    plant, told = PLANTED[fault]
    plant(copy)
    found = findings(copy)
    assert any(told in each for each in found), found
