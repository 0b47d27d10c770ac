"""Tags of the VMs themselves in preview, preflight and runs, and the order of priorities and of rules."""

from itertools import combinations
from typing import Any

import pytest

from shared.compute.errors import Denied
from shared.engine.places import Asked, Places, Taken, ask
from shared.policy.documents import read_policy, read_run
from shared.policy.fields import DocumentError
from shared.policy.own_tags import OWN_TAGS
from shared.policy.selection import Scope, VmSummary, summary_of_id
from shared.saga.names import saga_id
from tests.unit.engine.fake_compute import GROUP, vm_id
from tests.unit.engine.house import SCRIPTS, House
from tests.unit.triggers.contract import faults

SUB = "00000000-0000-0000-0000-000000000001"
GUEST_TAGS = [name for name in OWN_TAGS if name not in ("exclude", "priority")]


def vm(name: str, **tags: str) -> VmSummary:
    """Give a VM with the tags ``stillframe:*`` that are named, underlines for hyphens."""
    base = summary_of_id(vm_id(name))
    own = {f"stillframe:{tag.replace('_', '-')}": value for tag, value in tags.items()}
    return VmSummary(
        id=base.id, name=name, resource_group=base.resource_group, subscription=SUB, os="Linux",
        tags=tuple(sorted(own.items())),
    )  # fmt: skip


async def house_with(*vms: VmSummary, **document: Any) -> House:
    house = House()
    house.compute.vms = list(vms)
    policy = {"vms": [one.id for one in vms], "guest_processing": SCRIPTS, "allow_tags": GUEST_TAGS}
    await house.app.policies.put("nightly", policy | document, None)
    return house


async def run(house: House, **asked: Any) -> dict[str, dict[str, Any]]:
    """Run the policy to its end; give the views of its VMs by their names."""
    started = await house.app.policies.start(read_run({"policy": "nightly", **asked}), "http", "")
    await house.settle()
    listed = (await house.app.reading.run(started))["vms"]
    return {one["name"]: await house.app.reading.vm(started, one["saga"]) for one in listed}


def began(house: House) -> list[str]:
    """Give the sagas in the order in which they began."""
    return [partition for partition, row in house.tables._tables["sagas"] if row == "state"]


async def test_the_tags_of_a_vm_are_its_settings_in_a_run() -> None:
    house = await house_with(
        vm("a"),
        vm("b", guest_processing="off"),
        vm("c", freeze_budget_ms="9000", on_guest_failure="continue"),
    )
    views = await run(house)
    assert {name: view["grade"] for name, view in views.items()} == {
        "a": "application", "b": "crash", "c": "application",
    }  # fmt: skip
    settings = views["c"]["guest_processing"]
    assert (settings["freeze_budget_ms"], settings["on_guest_failure"]) == (9_000, "continue")
    assert all(not view["warnings"] for view in views.values())


async def test_a_tag_that_cannot_be_used_is_a_warning_and_mars_no_recovery_point() -> None:
    house = await house_with(vm("a", application_aware="yes"), vm("b", aplication_aware="on"))
    views = await run(house)
    assert {view["outcome"] for view in views.values()} == {"succeeded"}
    [warning] = views["a"]["warnings"]
    assert (warning["kind"], warning["name"], warning["code"], warning["generation"]) == (
        "tag", "stillframe:application-aware", "bad_tag", 0,
    )  # fmt: skip
    assert "says 'yes', expected one of off, on, require" in warning["detail"]
    assert views["b"]["warnings"][0]["code"] == "unknown_tag"
    [listed] = [entry for entry in (await house.app.reading.run("run-0001"))["vms"] if entry["name"] == "a"]
    assert listed["warnings"] == 1


async def test_a_tag_that_the_policy_does_not_let_count_is_a_note() -> None:
    house = await house_with(vm("a", guest_processing="off"), allow_tags=[])
    view = (await run(house))["a"]
    assert (view["grade"], view["warnings"]) == ("application", [])
    assert any("allow_tags of the policy does not have guest-processing" in note for note in view["notes"])


async def test_who_requires_an_application_by_tag_gets_nothing_less() -> None:
    house = await house_with(
        vm("a", application_aware="require"), guest_processing={"on_guest_failure": "continue"}
    )
    view = (await run(house))["a"]
    assert (view["outcome"], view["recovery_point"]) == ("failed", [])
    assert (view["problem"]["cause"], view["problem"]["code"]) == ("application_required", "none_found")
    assert not house.compute.snapshots


async def test_a_preview_says_of_each_vm_what_becomes_of_its_tags() -> None:
    house = await house_with(
        vm("a", guest_processing="maybe", priority="7"),
        vm("b", priority="1"),
        allow_tags=["priority"],
        concurrency={"order": "priority", "vms": 1},
    )
    policy = (await house.app.policies.get("nightly")).document
    view = await house.app.policies.preview(policy, 10)
    assert faults("PolicyPreview", view | {"policy": None}) == []
    first, second = view["selected"]
    assert (first["priority"], second["priority"], second["tags"]) == (7, 1, [])
    [told] = first["tags"]
    assert (told["tag"], told["code"], told["wrong"]) == ("stillframe:guest-processing", "not_allowed", False)
    allowed = policy | {"allow_tags": ["guest-processing"], "concurrency": {}}
    told = (await house.app.policies.preview(allowed, 10))["selected"][0]["tags"]
    assert ("bad_tag", True) in {(one["code"], one["wrong"]) for one in told}


async def test_no_tag_keeps_a_vm_out_of_the_instant_of_its_group() -> None:
    """A budget below what the group may wait while it holds, or no guest processing, would cost them all."""
    vms = (
        vm("a", freeze_budget_ms="15000"),
        vm("b", guest_processing="off"),
        vm("c", freeze_budget_ms="16000"),
    )
    ids = [one.id for one in vms]
    house = await house_with(*vms, groups=[{"name": "shop", "vms": ids, "held_timeout_ms": 15_000}])
    views = await run(house)
    assert {name: view["guest_processing"]["freeze_budget_ms"] for name, view in views.items()} == {
        "a": 30_000, "b": 30_000, "c": 16_000,
    }  # fmt: skip
    told = {name: view["warnings"][0] for name, view in views.items() if view["warnings"]}
    assert {name: one["code"] for name, one in told.items()} == dict.fromkeys("ab", "tag_does_not_fit")
    assert "held_timeout_ms: must be less than freeze_budget_ms (15000)" in told["a"]["detail"]
    assert "VMs that are not held share no instant" in told["b"]["detail"]
    assert all(view["group"]["recovery_point"]["one_instant"] for view in views.values())

    policy = (await house.app.policies.get("nightly")).document
    shown = (await house.app.policies.preview(policy, 10))["selected"]
    assert [[tag["code"] for tag in one["tags"]] for one in shown] == [["tag_does_not_fit"]] * 2 + [[]]


async def look(house: House, name: str = "a") -> dict[str, Any]:
    settings = await house.app.policies.settings_of(read_run({"policy": "nightly"}))
    view = await house.app.preflights.look(vm_id(name), settings)
    assert faults("Preflight", view) == []
    return view


def levels(view: dict[str, Any]) -> dict[str, str]:
    return {check["code"]: check["level"] for check in view["checks"]}


async def test_preflight_tells_of_tags_beforehand() -> None:
    house = await house_with(
        vm("a", guest_processing="off", application_aware="on", on_guest_failure="sometimes")
    )
    view = await look(house)
    assert view["best_grade"] == "crash"
    assert levels(view) | {
        "bad_tag": "warning",
        "overruled": "ok",
        "guest_processing_off": "warning",
    } == levels(view)


@pytest.mark.parametrize(
    ("guest", "level", "code", "best"),
    [
        ({}, "warning", "application_unknown", "application"),
        ({"handlers": "auto"}, "warning", "application_unknown", "application"),
        ({"handlers": [{"name": "postgresql"}]}, "ok", "application_asked", "application"),
        (SCRIPTS, "ok", "application_asked", "application"),
        ({"filesystems": "none"}, "warning", "application_unknown", "application"),
    ],
)
async def test_preflight_says_whether_what_is_required_can_be(
    guest: dict[str, Any], level: str, code: str, best: str
) -> None:
    house = await house_with(vm("a"), guest_processing={"application_aware": "require", **guest})
    view = await look(house)
    assert levels(view)[code] == level
    assert view["best_grade"] == best


async def test_preflight_says_that_a_vm_that_does_not_run_cannot_be_what_is_required() -> None:
    house = await house_with(vm("a"), guest_processing={"application_aware": "require"})
    house.compute.power_state = "deallocated"
    view = await look(house)
    assert (view["level"], view["best_grade"]) == ("error", None)
    assert levels(view)["application_required"] == "error"


async def test_preflight_says_that_azure_makes_no_linux_guest_what_is_required() -> None:
    anchored = {"application_aware": "require", "handlers": None, "anchor": {"provider": "vss"}}
    house = await house_with(vm("a"), guest_processing=anchored)
    assert levels(await look(house))["application_asked"] == "ok"

    windows = {"application_aware": "require", "filesystems": "none", "handlers": None, **SCRIPTS}
    house = await house_with(vm("a"), guest_processing={"windows": windows, **SCRIPTS})
    house.compute.os_type = "Windows"
    view = await look(house)
    assert (view["level"], view["best_grade"]) == ("error", None)
    assert levels(view)["application_required"] == "error"


async def test_a_priority_that_the_policy_does_not_let_count_is_none() -> None:
    house = await house_with(vm("a", priority="1"), allow_tags=[], concurrency={"held": 1})
    view = (await run(house))["a"]
    stored = await house.sagas.load(view["saga"])
    assert stored.state.spec.admission is not None
    assert stored.state.spec.admission.rank == 0


# --- the order of a run -----------------------------------------------------------------------------------

ONE = {"vms": 1}


async def order_of(house: House) -> list[str]:
    views = await run(house)
    name_of = {view["saga"]: name for name, view in views.items()}
    return [name_of[saga] for saga in began(house)]


async def test_vms_begin_by_their_priority_and_a_bad_one_is_told() -> None:
    house = await house_with(
        vm("a"), vm("b", priority="90"), vm("c", priority="2"), vm("d", priority="1"),
        vm("e", priority="soon"),
        allow_tags=["priority"], concurrency={**ONE, "order": "priority"},
    )  # fmt: skip
    views = await run(house)
    order = [next(name for name, view in views.items() if view["saga"] == saga) for saga in began(house)]
    assert order == ["d", "c", "a", "e", "b"]
    assert [warning["code"] for warning in views["e"]["warnings"]] == ["bad_tag"]
    assert not views["d"]["warnings"]


async def test_who_cannot_be_listed_begins_in_the_middle() -> None:
    house = await house_with(
        vm("a", priority="99"), vm("b", priority="1"),
        allow_tags=["priority"], concurrency={**ONE, "order": "priority"},
    )  # fmt: skip
    group = GROUP.rpartition("/")[2]
    house.compute.unlistable[Scope(SUB, group)] = Denied("AuthorizationFailed", "no right")
    assert await order_of(house) == ["a", "b"]


async def test_vms_begin_in_the_order_of_the_rules_that_select_them() -> None:
    rules = [{"subscriptions": [SUB], "names": [f"{part}-*"]} for part in ("db", "app")]
    house = await house_with(
        vm("app-1"), vm("db-2"), vm("db-1"), vm("named"), vm("app-2"),
        vms=[vm_id("named")], selection={"include": rules}, concurrency={**ONE, "order": "rules"},
    )  # fmt: skip
    assert await order_of(house) == ["named", "db-1", "db-2", "app-1", "app-2"]


async def test_who_has_priority_is_held_before_others_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"vm-{number}" for number in range(6)]
    house = await house_with(
        *(vm(name, priority=str(90 - number)) for number, name in enumerate(names)),
        allow_tags=["priority"], concurrency={"held": 1, "order": "priority"},
    )  # fmt: skip
    asks: list[tuple[str, bool]] = []

    def noted(row: Places, wanted: Taken, most: int, now: int, **more: Any) -> tuple[Places, Asked]:
        row, answer = ask(row, wanted, most, now, **more)
        asks.append((wanted.saga, answer.admitted))
        return row, answer

    monkeypatch.setattr("shared.engine.admission.places.ask", noted)
    started = await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
    await house.settle()
    sagas = [saga_id(started, vm_id(name)) for name in names]
    asked = {saga: [one for one, _ in asks].index(saga) for saga in sagas}
    admitted = {saga: asks.index((saga, True)) for saga in sagas}
    waited = 0
    for later, first in combinations(sagas, 2):  # the one with the higher number goes first
        if asked[first] < admitted[later]:
            waited += 1
            assert admitted[first] < admitted[later]
    assert waited > 6


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"concurrency": {"order": "priority"}}, "concurrency.order", "with priority in allow_tags"),
        ({"allow_tags": ["exclude", "priority"]}, "allow_tags[1]", "only together with concurrency.order"),
        (
            {"allow_tags": ["priority"], "concurrency": {"order": "name"}},
            "allow_tags[0]",
            "only together with concurrency.order: priority",
        ),
        ({"allow_tags": ["exclude", "exclude"]}, "allow_tags[1]", "named twice"),
        ({"allow_tags": ["pre-script"]}, "allow_tags[0]", "expected one of exclude, guest-processing"),
        ({"concurrency": {"order": "size"}}, "concurrency.order", "listed, name, rules, priority"),
    ],
)
def test_what_could_have_no_effect_is_refused(document: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_policy({"vms": [vm_id("a")], **document})
    assert caught.value.field == field
    assert words in caught.value.problem


@pytest.mark.parametrize("order", ["rules", "priority"])
def test_a_run_of_named_vms_has_neither_rules_nor_tags(order: str) -> None:
    with pytest.raises(DocumentError, match="expected listed or name"):
        read_run({"vms": [vm_id("a")], "concurrency": {"order": order}})
