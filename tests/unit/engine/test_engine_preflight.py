"""Looking at a VM before a run: what would stop it, weaken it, and what it would be worth."""

from typing import Any

import pytest

from shared.compute.diagnosing import Refusal
from shared.compute.errors import Denied, NotFound
from shared.policy.documents import read_run
from shared.storage.agents import ResidentAgent
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, T0, VM, House
from tests.unit.triggers.contract import faults


async def look(house: House, policy: str = "", **document: Any) -> dict[str, Any]:
    asked = {"vms": [VM], **({"policy": policy} if policy else {"guest_processing": SCRIPTS}), **document}
    settings = await house.app.policies.settings_of(read_run(asked))
    view = await house.app.preflights.look(VM, settings)
    assert faults("Preflight", view) == []
    return view


def codes(view: dict[str, Any], level: str) -> set[str]:
    return {check["code"] for check in view["checks"] if check["level"] == level}


async def test_a_vm_that_is_well_has_neither_errors_nor_warnings_and_nothing_is_touched() -> None:
    house = House()
    before = len(house.interruptions.seen)
    view = await look(house)
    assert (view["level"], view["best_grade"]) == ("ok", "application")
    assert codes(view, "ok") == {"vm_running", "agent_by_run_command", "disk_in"}
    assert [disk["lun"] for disk in view["disks"]] == [None, 0, 1]
    assert house.interruptions.seen[before:] == [f"read {VM}"]


@pytest.mark.parametrize(
    ("guest", "grade"),
    [
        ({}, "application"),
        ({"pre_script": None, "post_script": None}, "filesystem"),
        ({"filesystems": "none"}, "crash"),
        ({"enabled": False}, "crash"),
        ({"filesystems": "none", "pre_script": None, "post_script": None, "handlers": "auto"}, "application"),
    ],
)
async def test_the_best_grade_is_what_the_settings_can_prove(guest: dict[str, Any], grade: str) -> None:
    view = await look(House(), guest_processing=SCRIPTS | guest)
    assert view["best_grade"] == grade
    assert view["best_grade_why"]


@pytest.mark.parametrize(
    ("rule", "os_type", "guest", "found"),
    [
        ("all", "Linux", {}, ("ok", "in_group")),
        ("rest", "Linux", {"filesystems": "none"}, ("warning", "out_of_group")),
        ("all", "Windows", {}, ("error", "out_of_group")),
    ],
)
async def test_a_vm_of_a_group_is_told_whether_it_can_share_the_instant(
    rule: str, os_type: str, guest: dict[str, Any], found: tuple[str, str]
) -> None:
    house = House()
    house.compute.os_type = os_type
    shop = {"name": "shop", "vms": [VM, vm_id("web-1")], "on_member_failure": rule}
    more: dict[str, Any] = {"vms": [VM, vm_id("web-1")], "groups": [shop]}
    view = await look(house, guest_processing=SCRIPTS | guest, **more)
    level, code = found
    assert code in codes(view, level), view["checks"]


@pytest.mark.parametrize(
    ("os_type", "guest", "grade"),
    [("Windows", {}, "application"), ("Linux", SCRIPTS | {"filesystems": "none"}, "filesystem")],
)
async def test_a_restore_point_may_be_worth_what_azure_makes_of_it(
    os_type: str, guest: dict[str, Any], grade: str
) -> None:
    house = House()
    house.compute.os_type = os_type
    view = await look(house, guest_processing=guest, snapshots={"recovery_point": "restore_point"})
    assert view["best_grade"] == grade


async def test_what_the_forecast_says_is_what_the_run_comes_to() -> None:
    for guest in ({}, {"pre_script": None, "post_script": None}, {"enabled": False}):
        house = House()
        said = (await look(house, guest_processing=SCRIPTS | guest))["best_grade"]
        run = await house.ask(**guest)
        await house.settle()
        assert (await house.view(run))["grade"] == said


async def test_a_vm_that_does_not_run_weakens() -> None:
    house = House()
    house.compute.power_state = "deallocated"
    view = await look(house)
    assert (view["level"], view["best_grade"]) == ("warning", "crash")
    assert codes(view, "warning") == {"vm_not_running"}


@pytest.mark.parametrize(("mode", "level"), [("fail", "error"), ("continue", "warning")])
async def test_no_agent_stops_or_weakens_as_the_policy_says(mode: str, level: str) -> None:
    house = House()
    guest = SCRIPTS | {"agent": "resident", "on_guest_failure": mode}
    view = await look(house, guest_processing=guest)
    assert "agent_not_heard" in codes(view, level)
    await house.agents.put(ResidentAgent(VM, "0.1.0", 1, T0))
    assert "agent_heard" in codes(await look(house, guest_processing=guest), "ok")
    await house.agents.put(ResidentAgent(VM, "0.1.0", 9, T0))
    assert {"agent_key_old", "agent_not_heard"} <= codes(
        await look(house, guest_processing=guest), "warning"
    ) | codes(await look(house, guest_processing=guest), level)


async def test_disks_that_are_left_out_are_named_and_all_of_them_stop() -> None:
    house = House()
    some = await look(house, disks={"exclude": [{"luns": [1]}]})
    assert "disk_left_out" in codes(some, "warning")
    assert [disk["included"] for disk in some["disks"]] == [True, True, False]
    none = await look(house, disks={"include": [{"luns": [9]}]})
    assert (none["level"], none["best_grade"]) == ("error", None)
    assert "nothing_selected" in codes(none, "error")


async def test_what_cannot_be_read_is_told_piece_by_piece_with_azures_words() -> None:
    house = House()
    house.compute.errors["read_facts"] = [Denied("AuthorizationFailed", "no disks/read")]
    house.compute.refusals = (
        Refusal("disk", "db-1-os", "denied", "no action Microsoft.Compute/disks/read (AuthorizationFailed)"),
        Refusal("resource group", "gone", "not_found", "no such group (ResourceGroupNotFound)"),
    )
    view = await look(house)
    assert (view["level"], view["best_grade"], view["disks"]) == ("error", None, [])
    [right, group] = view["checks"]
    assert (right["code"], "Microsoft.Compute/disks/read" in right["sentence"]) == ("right_missing", True)
    assert (group["code"], "az group create -n gone" in group["what_to_do"]) == ("group_unreadable", True)


async def test_a_vm_that_is_gone_is_an_answer_and_no_error() -> None:
    house = House()
    house.compute.errors["read_facts"] = [NotFound("ResourceNotFound", "no db-1")]
    view = await look(house)
    assert codes(view, "error") == {"vm_unreadable"}


async def test_copies_that_cannot_be_made_weaken() -> None:
    house = House()
    house.compute.missing_groups = {"far-away"}
    targets = [{"region": "westeurope"}, {"region": "northeurope", "resource_group": "far-away"}]
    view = await look(house, snapshots={"copy_to": targets})
    assert (view["level"], view["best_grade"]) == ("warning", "application")
    assert codes(view, "warning") == {"copy_in_same_region", "group_unreadable"}


async def test_the_settings_of_a_stored_policy_count() -> None:
    house = House()
    policy = {"vms": [VM], "guest_processing": {"enabled": False}}
    await house.app.policies.put("plain", policy, None)
    view = await look(house, "plain")
    assert (view["policy"], view["best_grade"]) == ("plain", "crash")
    assert "guest_processing_off" in codes(view, "warning")
