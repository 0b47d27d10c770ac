"""What a policy says of its snapshots: names, tags, storage, access."""

from typing import Any

import pytest

from shared.policy.documents import read_run
from shared.policy.fields import DocumentError
from shared.policy.snapshot_names import VARIABLES, expand_template
from shared.policy.snapshots import NetworkAccess, SnapshotSettings, SnapshotSku
from tests.unit.triggers.contract import faults

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
ACCESS = f"{GROUP}/providers/Microsoft.Compute/diskAccesses/private"


def read(**snapshots: Any) -> SnapshotSettings:
    settings = read_run({"vms": [VM], "snapshots": snapshots}).snapshots
    assert settings is not None
    return settings


def test_all_of_it_is_read() -> None:
    assert read(
        name="%vmName%-%date%",
        copy_disk_tags=True,
        sku="Standard_ZRS",
        network_access="private",
        disk_access_id=ACCESS,
        instant_access_minutes=120,
    ) == SnapshotSettings(
        name="%vmName%-%date%",
        copy_disk_tags=True,
        sku=SnapshotSku.STANDARD_ZRS,
        network_access=NetworkAccess.PRIVATE,
        disk_access_id=ACCESS,
        instant_access_minutes=120,
    )


def test_a_full_snapshot_may_be_on_premium_storage() -> None:
    settings = read(incremental=False, sku="Premium_LRS")
    assert (settings.incremental, settings.sku) == (False, SnapshotSku.PREMIUM_LRS)


@pytest.mark.parametrize(
    ("snapshots", "field"),
    [
        ({"name": "-%vmName%"}, "name"),
        ({"name": "%vmname%"}, "name"),
        ({"name": "100%%"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"sku": "standard_lrs"}, "sku"),
        ({"sku": "Premium_ZRS"}, "sku"),
        ({"network_access": "DenyAll"}, "network_access"),
        ({"network_access": None}, "network_access"),
        ({"network_access": "private", "disk_access_id": VM}, "disk_access_id"),
        ({"instant_access_minutes": 59}, "instant_access_minutes"),
        ({"instant_access_minutes": 301}, "instant_access_minutes"),
        ({"copy_disk_tags": "yes"}, "copy_disk_tags"),
        ({"copy_to": {"region": "northeurope"}}, "copy_to"),
        ({"copy_to": ["northeurope"]}, "copy_to[0]"),
        ({"copy_to": [{}]}, "copy_to[0].region"),
        ({"copy_to": [{"region": "North Europe"}]}, "copy_to[0].region"),
        ({"copy_to": [{"region": "northeurope", "group": "x"}]}, "copy_to[0].group"),
        ({"copy_to": [{"region": "northeurope", "resource_group": "x."}]}, "copy_to[0].resource_group"),
        ({"copy_to": [{"region": f"region{number}"} for number in range(5)]}, "copy_to"),
        ({"copy_timeout_ms": 59_999}, "copy_timeout_ms"),
        ({"incremental": 1}, "incremental"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field_and_by_the_schema(
    snapshots: dict[str, Any], field: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        read(**snapshots)
    assert refused.value.field == f"snapshots.{field}"
    assert faults("Snapshots", snapshots)


@pytest.mark.parametrize(
    ("snapshots", "field"),
    [
        ({"network_access": "private"}, "disk_access_id"),
        ({"disk_access_id": ACCESS}, "disk_access_id"),
        ({"network_access": "allow_all", "disk_access_id": ACCESS}, "disk_access_id"),
        ({"sku": "Premium_LRS"}, "sku"),
        ({"incremental": False, "instant_access_minutes": 60}, "instant_access_minutes"),
        ({"incremental": False, "copy_to": [{"region": "northeurope"}]}, "copy_to"),
        ({"copy_to": [{"region": "northeurope", "disk_access_id": ACCESS}]}, "copy_to[0].disk_access_id"),
        *(
            ({"recovery_point": "restore_point", name: value}, name)
            for name, value in {
                "name": "%vmName%",
                "copy_disk_tags": True,
                "incremental": False,
                "sku": "Standard_LRS",
                "network_access": "allow_all",
                "instant_access_minutes": 60,
                "copy_to": [{"region": "northeurope"}],
            }.items()
        ),
    ],
)
def test_what_does_not_go_together_is_refused(snapshots: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError, match="does not go together") as refused:
        read(**snapshots)
    assert refused.value.field == f"snapshots.{field}"


def test_a_region_is_named_once() -> None:
    with pytest.raises(DocumentError, match="named twice") as refused:
        read(copy_to=[{"region": "northeurope"}, {"region": "northeurope"}])
    assert refused.value.field == "snapshots.copy_to[1].region"


def test_an_unknown_variable_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(DocumentError) as refused:
        read(name="%disk%")
    assert all(f"%{name}%" in refused.value.problem for name in VARIABLES)


@pytest.mark.parametrize(
    ("template", "beginning"),
    [
        ("sf", "sf"),
        ("%vmName%", "db-1-prod"),
        ("%policyName%", "sf"),
        ("%policyName%-%vmName%", "db-1-prod"),
        ("%vmName%_%lun%_%date%T%time%", "db-1-prod_os_20231114T221320"),
    ],
)
def test_what_a_name_may_not_have_becomes_a_hyphen_and_never_stands_first(
    template: str, beginning: str
) -> None:
    values = {
        **dict.fromkeys(VARIABLES, ""),
        "vmName": "db-1.prod",
        "lun": "os",
        "date": "20231114",
        "time": "221320",
    }
    assert expand_template(template, values, 80) == beginning
