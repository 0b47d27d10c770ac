import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.compute.names import InvalidResourceId, Kind, ResourceId, parse_id, run_command_name
from shared.saga.facts import DiskFacts
from shared.saga.names import saga_id, snapshot_id

SEGMENTS = st.text(string.ascii_letters + string.digits + "-_.()", min_size=1, max_size=80)
IDS = st.builds(ResourceId, SEGMENTS, SEGMENTS, st.sampled_from(Kind), SEGMENTS)


def disk_facts(disk_id: str, lun: int | None) -> DiskFacts:
    return DiskFacts(disk_id=disk_id, name="d", lun=lun, location="westeurope", sku="Premium_LRS", size_gib=4)


@given(IDS)
def test_an_id_survives_being_written_and_read(resource: ResourceId) -> None:
    assert parse_id(str(resource), resource.kind) == resource


@given(IDS)
def test_the_fixed_parts_of_an_id_are_read_in_any_case(resource: ResourceId) -> None:
    fixed = f"/SUBSCRIPTIONS/{resource.subscription_id}/resourcegroups/{resource.resource_group}"
    text = f"{fixed}/PROVIDERS/microsoft.compute/{resource.kind.upper()}/{resource.name}"

    assert parse_id(text, resource.kind) == resource


@given(st.text())
def test_other_texts_are_refused_by_a_typed_error(text: str) -> None:
    with pytest.raises(InvalidResourceId) as refused:
        parse_id(text, Kind.DISK)

    assert (refused.value.text, refused.value.wanted) == (text, Kind.DISK)


@pytest.mark.parametrize(
    "text",
    [
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/disks/d",
        "/subscriptions/s/resourceGroups//providers/Microsoft.Compute/disks/d",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d/more/m",
        "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d",
    ],
)
def test_ids_of_other_resources_are_refused(text: str) -> None:
    with pytest.raises(InvalidResourceId):
        parse_id(text, Kind.DISK)


@given(
    resource=IDS,
    run=st.text(),
    generation=st.integers(1, 1000),
    lun=st.none() | st.integers(0, 63),
    group=st.none() | SEGMENTS,
)
def test_a_saga_names_its_snapshots_as_azure_allows(
    resource: ResourceId, run: str, generation: int, lun: int | None, group: str | None
) -> None:
    disk_id = ResourceId(resource.subscription_id, resource.resource_group, Kind.DISK, resource.name)
    saga = saga_id(run, str(resource))

    snapshot = parse_id(snapshot_id(disk_facts(str(disk_id), lun), group, saga, generation), Kind.SNAPSHOT)

    assert snapshot.subscription_id == disk_id.subscription_id
    assert snapshot.resource_group == (group or disk_id.resource_group)
    assert len(snapshot.name) <= 80
    assert set(snapshot.name) <= set(string.ascii_lowercase + string.digits + "-")


def test_each_generation_has_a_run_command_of_its_own() -> None:
    assert run_command_name("0123456789abcdef0123", 1) != run_command_name("0123456789abcdef0123", 2)
