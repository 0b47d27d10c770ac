"""Which disks of a VM a policy means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.disks import ALL_DISKS, DiskKind, DiskRule, DiskSelection, SelectableDisk
from shared.policy.documents import read_policy, read_run
from shared.policy.fields import DocumentError
from tests.unit.triggers.contract import faults

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"

OS = SelectableDisk(name="db-1-os", lun=None, tags={})
DATA = SelectableDisk(name="db-1-Data-0", lun=0, tags={"role": "data"})
SWAP = SelectableDisk(name="db-1-swap", lun=1, tags={"role": "swap", "backup": "no"})
ALL = (OS, DATA, SWAP)


def selected(document: dict[str, Any]) -> list[str]:
    selection = read_run({"vms": [VM], "disks": document}).disks
    return [disk.name for disk in ALL if not selection.why_out(disk)]


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({}, ["db-1-os", "db-1-Data-0", "db-1-swap"]),
        ({"include": [{"luns": [0]}]}, ["db-1-Data-0"]),
        ({"include": [{"luns": [1]}, {"kinds": ["os"]}]}, ["db-1-os", "db-1-swap"]),
        ({"include": [{"kinds": ["data"], "names": ["*-data-?"]}]}, ["db-1-Data-0"]),
        ({"include": [{"names": ["DB-1-OS"]}]}, ["db-1-os"]),
        ({"exclude": [{"tags": {"Backup": "no"}}]}, ["db-1-os", "db-1-Data-0"]),
        ({"exclude": [{"tags": {"Backup": "NO"}}]}, ["db-1-os", "db-1-Data-0", "db-1-swap"]),
        ({"include": [{"kinds": ["data"]}], "exclude": [{"luns": [1]}]}, ["db-1-Data-0"]),
        ({"include": [{"luns": [9]}]}, []),
    ],
)
def test_a_disk_is_in_if_a_rule_of_include_names_it_and_none_of_exclude_does(
    document: dict[str, Any], names: list[str]
) -> None:
    assert selected(document) == names


def test_why_a_disk_is_out_names_the_member_that_says_so() -> None:
    only_data = DiskRule(kinds=(DiskKind.DATA,))
    selection = DiskSelection(include=(only_data,), exclude=(DiskRule(luns=(1,)),))
    assert [selection.why_out(disk) for disk in ALL] == [
        "disks.include does not name it",
        "",
        "disks.exclude names it",
    ]


rules = st.builds(
    DiskRule,
    luns=st.sampled_from([(), (0,), (0, 1)]),
    names=st.sampled_from([(), ("*os",), ("db-*",)]),
    kinds=st.sampled_from([(), (DiskKind.OS,), (DiskKind.DATA,)]),
    tags=st.sampled_from([(), (("role", "swap"),)]),
)


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3), rules)
def test_excluding_more_never_brings_a_disk_in_and_including_more_leaves_none_out(
    include: list[DiskRule], exclude: list[DiskRule], more: DiskRule
) -> None:
    def inside(include: list[DiskRule], exclude: list[DiskRule]) -> set[str]:
        selection = DiskSelection(include=tuple(include), exclude=tuple(exclude))
        return {disk.name for disk in ALL if not selection.why_out(disk)}

    before = inside(include, exclude)
    assert inside(include, [*exclude, more]) <= before
    if include:
        assert inside([*include, more], exclude) >= before


@pytest.mark.parametrize(
    ("disks", "field"),
    [
        ([], "disks"),
        ({"includes": []}, "disks.includes"),
        ({"include": {"luns": [0]}}, "disks.include"),
        ({"include": [{}]}, "disks.include[0]"),
        ({"include": [{"luns": []}]}, "disks.include[0]"),
        ({"include": [{"lun": 0}]}, "disks.include[0].lun"),
        ({"exclude": [{"luns": [0]}, {"luns": [64]}]}, "disks.exclude[1].luns[0]"),
        ({"exclude": [{"luns": [True]}]}, "disks.exclude[0].luns[0]"),
        ({"exclude": [{"names": [""]}]}, "disks.exclude[0].names[0]"),
        ({"exclude": [{"kinds": ["system"]}]}, "disks.exclude[0].kinds[0]"),
        ({"exclude": [{"tags": {"a": 1}}]}, "disks.exclude[0].tags.a"),
        ({"exclude": [{"luns": [0]}] * 21}, "disks.exclude"),
    ],
)
def test_a_wrong_rule_is_refused_by_the_name_of_its_field_and_by_the_schema(disks: Any, field: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_policy({"vms": [VM], "disks": disks})
    assert refused.value.field == field
    assert faults("Disks", disks)


def test_a_run_of_a_policy_cannot_say_it_again() -> None:
    with pytest.raises(DocumentError, match="not together with policy"):
        read_run({"policy": "nightly", "disks": {}})


def test_without_the_section_all_disks_are_meant() -> None:
    assert read_policy({"vms": [VM]}).disks == ALL_DISKS
    assert read_policy({"vms": [VM], "disks": None}).disks == ALL_DISKS
