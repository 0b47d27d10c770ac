"""Groups of a document: who belongs to one, and what can never be held together."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.documents import Policy, read_policy, read_run
from shared.policy.fields import DocumentError
from shared.policy.groups import MOST_MEMBERS, group_of, together
from shared.policy.selection import VmSummary, summary_of_id
from shared.saga.codec import decode, encode
from shared.saga.group import GroupRules, OnMemberFailure
from tests.unit.engine.fake_compute import vm_id
from tests.unit.policy.test_bad_policies import Change, put

SUB = "00000000-0000-0000-0000-000000000001"
VMS = [vm_id(name) for name in ("db-1", "db-2", "web-1", "web-2")]
GOOD: dict[str, Any] = {
    "vms": VMS,
    "groups": [
        {"name": "shop", "vms": [VMS[0], VMS[2]]},
        {"name": "rest", "selection": {"include": [{"names": ["*-2"]}]}},
    ],
    "guest_processing": {"overrides": [{"tags": {"tier": "db"}, "guest_processing": {"attempts": 1}}]},
    "schedules": [{"name": "nightly", "cron": "30 2 * * *"}],
    "concurrency": {"held": 2},
}
RULE = [{"name": "web", "selection": {"include": [{"names": ["web-*"]}]}}]
FIRST = "groups.0"
ANCHOR = {"provider": "lvm"}
OFF = {"enabled": False}

BAD: list[tuple[Change, str, str]] = [
    (put("groups", {}), "groups", "a list of at most 32"),
    (put("groups", [{}] * 33), "groups", "a list of at most 32"),
    (put("group", []), "group", "did you mean groups?"),
    (put(FIRST, "shop"), "groups[0]", "expected a JSON object"),
    (put(f"{FIRST}.nme", "x"), "groups[0].nme", "did you mean name?"),
    (put(f"{FIRST}.name", "The Shop"), "groups[0].name", "small letters"),
    (put(f"{FIRST}.name", None), "groups[0].name", "a text of 1 to 63"),
    (put("groups.1.name", "shop"), "groups[1].name", "another group"),
    (put(f"{FIRST}.vms", []), "groups[0].vms", "at least two VMs"),
    (put(f"{FIRST}.vms", [VMS[0]]), "groups[0].vms", "at least two VMs"),
    (put(f"{FIRST}.vms", [VMS[0], VMS[0].upper()]), "groups[0].vms[1]", "named twice"),
    (put(f"{FIRST}.vms", [VMS[0], "web-1"]), "groups[0].vms[1]", "the ARM id of a VM"),
    (put(f"{FIRST}.vms", [VMS[0], vm_id("other")]), "groups[0].vms[1]", "the document's own vms"),
    (put("groups.1.vms", [VMS[2].upper()]), "groups[1].vms[0]", "in groups[0] already"),
    (
        put(f"{FIRST}.vms", [vm_id(str(n)) for n in range(MOST_MEMBERS + 1)]),
        "groups[0].vms",
        f"at most {MOST_MEMBERS}",
    ),
    (put("groups.1.selection", []), "groups[1].selection", "expected a JSON object"),
    (put("groups.1.selection", {}), "groups[1].selection.include", "at least one rule"),
    (put("groups.1.selection.include.0", {}), "groups[1].selection.include[0]", "vms or a condition"),
    (
        put("groups.1.selection.include.0", {"vms": [VMS[0]]}),
        "groups[1].selection.include[0].vms",
        "its own vms",
    ),
    (put(f"{FIRST}.on_member_failure", "some"), "groups[0].on_member_failure", "one of all, rest"),
    (put(f"{FIRST}.armed_timeout_ms", 999), "groups[0].armed_timeout_ms", "from 1000"),
    (put(f"{FIRST}.armed_timeout_ms", 120_000), "groups[0].armed_timeout_ms", "more than arming_timeout_ms"),
    (put(f"{FIRST}.held_timeout_ms", "15 s"), "groups[0].held_timeout_ms", "a whole number"),
    (
        put(f"{FIRST}.held_timeout_ms", 30_000),
        "groups[0].held_timeout_ms",
        "less than freeze_budget_ms (30000)",
    ),
    (put(f"{FIRST}.proved_timeout_ms", 60_000), "groups[0].proved_timeout_ms", "more than resume_timeout_ms"),
    (put("concurrency.held", 1), "concurrency.held", "expected at least 2: the VMs of the group shop"),
    (put("concurrency", {"vms": 1}), "concurrency.vms", "expected at least 2"),
    (put("guest_processing", OFF), "groups[0]", "guest processing is off"),
    (put("guest_processing.anchor", ANCHOR), "groups[0]", "an anchor lets applications go on"),
    (
        put("guest_processing.overrides.0.guest_processing", OFF),
        "groups[0]",
        "by guest_processing.overrides[0]",
    ),
    (
        put("schedules.0.guest_processing", {"freeze_budget_ms": 10_000, "quiesce_timeout_ms": 5_000}),
        "groups[0].held_timeout_ms",
        "less than freeze_budget_ms (10000)",
    ),
    (
        put("schedules.0.guest_processing", OFF),
        "groups[0]",
        "by schedules[0].guest_processing",
    ),
]


@pytest.mark.parametrize(("change", "field", "words"), BAD)
def test_a_group_that_cannot_be_gets_one_error_that_names_its_field(
    change: Change, field: str, words: str
) -> None:
    document = copy.deepcopy(GOOD)
    change(document)
    with pytest.raises(DocumentError) as caught:
        read_policy(document)
    assert caught.value.field == field
    assert words in caught.value.problem


def summary(vm: str, **more: Any) -> VmSummary:
    known = summary_of_id(vm)
    return VmSummary(
        id=vm, name=known.name, resource_group=known.resource_group, subscription=known.subscription, **more
    )


def names(policy: Policy, *vms: VmSummary) -> list[str]:
    return [group_of(policy.groups, vm) for vm in vms]


def test_a_vm_belongs_to_the_first_group_that_selects_it() -> None:
    policy = read_policy(GOOD)
    assert names(policy, *map(summary, VMS)) == ["shop", "rest", "shop", "rest"]
    assert names(policy, summary(vm_id("DB-1")), summary(vm_id("other"))) == ["shop", ""]


def test_a_group_has_the_rules_that_it_says_and_the_usual_ones_otherwise() -> None:
    document = copy.deepcopy(GOOD)
    document["groups"][0] |= {"on_member_failure": "rest", "held_timeout_ms": 9_000}
    first, second = read_policy(document).groups
    assert first.rules == GroupRules(on_member_failure=OnMemberFailure.REST, held_timeout_ms=9_000)
    assert second.rules == GroupRules()
    assert decode(type(first), encode(first)) == first


def test_a_group_by_tags_has_azure_asked_about_vms_that_are_named_one_by_one() -> None:
    tagged = {"include": [{"tags": {"tag": "app", "equals": "shop"}}], "exclude": [{"os": "windows"}]}
    policy = read_policy({"vms": VMS, "groups": [{"name": "shop", "selection": tagged}]})
    assert not policy.selection.is_a_list
    assert len(policy.selection.scopes()) == 1
    linux = summary(VMS[0], os="Linux", tags=(("App", "shop"),))
    windows = summary(VMS[1], os="Windows", tags=(("app", "shop"),))
    assert names(policy, linux, windows, summary(VMS[2])) == ["shop", "", ""]
    assert read_policy(GOOD).selection.is_a_list


@pytest.mark.parametrize("condition", [{"os": "linux"}, {"tags": {"tag": "a", "exists": True}}])
@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_run_without_a_policy_knows_its_vms_by_their_ids_alone(
    kind: str, condition: dict[str, Any]
) -> None:
    selection = {"include": [{"names": ["*"]}], kind: [condition | {"names": ["*"]}]}
    with pytest.raises(DocumentError) as caught:
        read_run({"vms": VMS, "groups": [{"name": "all", "selection": selection}]})
    assert caught.value.field == f"groups[0].selection.{kind}[0].{next(iter(condition))}"


def test_a_run_of_a_policy_says_nothing_of_groups() -> None:
    with pytest.raises(DocumentError) as caught:
        read_run({"policy": "nightly", "groups": RULE})
    assert caught.value.field == "groups"


def test_what_is_wrong_for_one_system_alone_is_left_to_the_run() -> None:
    windows = {"anchor": {"provider": "vss"}, "freeze_budget_ms": 10_000, "quiesce_timeout_ms": 5_000}
    document = GOOD | {"guest_processing": {"windows": windows}}
    assert len(read_policy(document).groups) == 2


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=12))
def test_vms_of_a_group_stand_beside_each_other_and_all_others_keep_their_order(
    groups: list[str],
) -> None:
    items = list(enumerate(groups))
    ordered = together(items, lambda item: item[1])
    assert sorted(ordered) == items
    for name in {name for name in groups if name}:
        places = [place for place, (_, of) in enumerate(ordered) if of == name]
        assert places == list(range(places[0], places[-1] + 1))
        assert [ordered[place] for place in places] == [item for item in items if item[1] == name]
    alone = [item for item in ordered if not item[1]]
    assert alone == [item for item in items if not item[1]]
