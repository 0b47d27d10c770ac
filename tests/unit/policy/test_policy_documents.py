"""Run requests and policies: what is read, and what is refused by the name of its field."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.documents import (
    Policy,
    RunDocument,
    read_policy,
    read_policy_name,
    read_run,
)
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import Filesystems, GuestProcessing, OnGuestFailure, Script
from shared.policy.schedules import Schedule
from shared.policy.script_fields import LARGEST_SCRIPT
from shared.policy.selection import Selection
from shared.policy.snapshots import MOST_TAGS, SnapshotSettings
from shared.policy.vm_ids import MOST_VMS
from shared.protocol import MAX_BYTES
from shared.saga.codec import decode, encode

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
VM_2 = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-2"
SCRIPT = {"path": "/opt/pre.sh", "arguments": ["--now"], "timeout_ms": 5_000}
FULL: dict[str, Any] = {
    "vms": [VM, VM_2],
    "guest_processing": {
        "enabled": True,
        "on_guest_failure": "continue",
        "filesystems": "none",
        "pre_script": SCRIPT,
        "post_script": {"path": "C:\\post.cmd"},
        "freeze_budget_ms": 25_000,
        "quiesce_timeout_ms": 12_000,
        "arming_timeout_ms": 60_000,
        "resume_timeout_ms": 30_000,
        "attempts": 3,
    },
    "snapshots": {
        "resource_group": "backups-(west)",
        "tags": {"team": "data", "cost": ""},
        "completion_timeout_ms": 3_600_000,
    },
}
FULL_POLICY = {**FULL, "schedule": {"cron": "0 2 * * *", "time_zone": "Europe/Berlin"}}


def test_a_full_request_is_read() -> None:
    assert read_run(FULL) == RunDocument(
        vms=(VM, VM_2),
        guest=GuestProcessing(
            on_guest_failure=OnGuestFailure.CONTINUE,
            filesystems=Filesystems.NONE,
            pre_script=Script("/opt/pre.sh", ("--now",), 5_000),
            post_script=Script("C:\\post.cmd"),
            freeze_budget_ms=25_000,
            quiesce_timeout_ms=12_000,
            arming_timeout_ms=60_000,
            resume_timeout_ms=30_000,
            attempts=3,
        ),
        snapshots=SnapshotSettings(
            resource_group="backups-(west)",
            tags=(("cost", ""), ("team", "data")),
            completion_timeout_ms=3_600_000,
        ),
    )


def test_a_request_need_not_say_more_than_its_vms() -> None:
    assert read_run({"vms": [VM]}) == RunDocument(
        vms=(VM,), guest=GuestProcessing(), snapshots=SnapshotSettings()
    )


def test_a_request_may_name_a_policy_and_some_of_its_vms() -> None:
    assert read_run({"policy": "nightly"}) == RunDocument(policy="nightly")
    assert read_run({"policy": "nightly", "vms": [VM]}) == RunDocument(policy="nightly", vms=(VM,))


def test_a_full_policy_is_read() -> None:
    policy = read_policy(FULL_POLICY)
    assert policy.schedules == (Schedule(cron="0 2 * * *", time_zone="Europe/Berlin"),)
    assert (policy.selection.vms, policy.guest) == ((VM, VM_2), read_run(FULL).guest)


def test_a_policy_need_not_say_more_than_its_vms() -> None:
    assert read_policy({"vms": [VM]}) == Policy(
        selection=Selection(vms=(VM,)), guest=GuestProcessing(), snapshots=SnapshotSettings()
    )


def test_null_says_no_more_than_nothing_where_an_object_may_be_missing() -> None:
    document = {"vms": [VM], "guest_processing": None, "snapshots": None, "schedule": None}
    assert read_policy(document) == read_policy({"vms": [VM]})


@pytest.mark.parametrize("vm", [VM.upper(), VM.replace("resourceGroups", "resourcegroups"), VM + "_x.1"])
def test_ids_of_vms_are_taken_in_any_case(vm: str) -> None:
    assert read_run({"vms": [vm]}).vms == (vm,)


def test_as_many_vms_and_tags_as_allowed_are_allowed() -> None:
    vms = [f"{VM}-{number}" for number in range(MOST_VMS)]
    tags = {f"tag-{number}": "x" * 256 for number in range(MOST_TAGS)}
    assert len(read_run({"vms": vms, "snapshots": {"tags": tags}}).vms) == MOST_VMS


def test_the_largest_scripts_fit_one_command() -> None:
    arguments = ["x" * 1_000] * 16
    script = {"path": "/p", "arguments": arguments}
    read_run({"vms": [VM], "guest_processing": {"pre_script": script, "post_script": script}})
    assert 2 * LARGEST_SCRIPT + 4_096 < MAX_BYTES


Change = Callable[[dict[str, Any]], Any]


def put(path: str, value: Any) -> Change:
    """Change the member at ``path``."""

    def change(document: dict[str, Any]) -> Any:
        *above, last = path.split(".")
        place = document
        for name in above:
            place = place[name]
        place[last] = value
        return document

    return change


def drop(path: str) -> Change:
    def change(document: dict[str, Any]) -> Any:
        *above, last = path.split(".")
        place = document
        for name in above:
            place = place[name]
        del place[last]
        return document

    return change


def instead(value: Any) -> Change:
    return lambda _document: value


G = "guest_processing"
#: What is changed in a good policy, the field that the one error names, and words of what it says.
BAD: list[tuple[Change, str, str]] = [
    (instead(None), "document", "JSON object"),
    (instead([]), "document", "JSON object"),
    (instead("vms"), "document", "JSON object"),
    (instead(7), "document", "JSON object"),
    (put("vm", [VM]), "vm", "did you mean vms?"),
    (put("VMS", [VM]), "VMS", "did you mean vms?"),
    (put("", 1), "document", "unknown field"),
    (put("snapshot", {}), "snapshot", "did you mean snapshots?"),
    (put("guestprocessing", {}), "guestprocessing", "did you mean guest_processing?"),
    (put("zzz", {}), "zzz", "known here: version, description, vms"),
    (drop("vms"), "vms", "at least one VM"),
    (put("vms", None), "vms", "at least one VM"),
    (put("vms", []), "vms", "at least one VM"),
    (put("vms", VM), "vms", "list"),
    (put("vms", {"0": VM}), "vms", "list"),
    (put("vms", [VM] * (MOST_VMS + 1)), "vms", "at most 2000"),
    (put("vms", [VM, 5]), "vms[1]", "text"),
    (put("vms", [VM, None]), "vms[1]", "text"),
    (put("vms", [VM, "db-1"]), "vms[1]", "ARM id"),
    (put("vms", [""]), "vms[0]", "ARM id"),
    (put("vms", [VM + "\n"]), "vms[0]", "ARM id"),
    (put("vms", [VM + "/"]), "vms[0]", "ARM id"),
    (put("vms", [VM + "/disks/x"]), "vms[0]", "ARM id"),
    (put("vms", [" " + VM]), "vms[0]", "ARM id"),
    (put("vms", [VM.replace("0001", "001")]), "vms[0]", "ARM id"),
    (put("vms", [VM + "x" * 2_000]), "vms[0]", "1024"),
    (put("vms", [VM, VM_2, VM]), "vms[2]", "twice"),
    (put("vms", [VM, VM.upper()]), "vms[1]", "twice"),
    (put(G, []), G, "JSON object"),
    (put(G, "off"), G, "JSON object"),
    (put(f"{G}.enable", value=True), f"{G}.enable", "did you mean enabled?"),
    (put(f"{G}.enabled", "yes"), f"{G}.enabled", "true or false"),
    (put(f"{G}.enabled", 1), f"{G}.enabled", "true or false"),
    (put(f"{G}.on_guest_failure", "ignore"), f"{G}.on_guest_failure", "fail, continue"),
    (put(f"{G}.on_guest_failure", []), f"{G}.on_guest_failure", "fail, continue"),
    (put(f"{G}.on_guest_failure", {}), f"{G}.on_guest_failure", "fail, continue"),
    (put(f"{G}.filesystems", "some"), f"{G}.filesystems", "all, none"),
    (put(f"{G}.filesystems", 0), f"{G}.filesystems", "all, none"),
    (put(f"{G}.freeze_budget_ms", "30000"), f"{G}.freeze_budget_ms", "whole number"),
    (put(f"{G}.freeze_budget_ms", 30_000.0), f"{G}.freeze_budget_ms", "whole number"),
    (put(f"{G}.freeze_budget_ms", value=True), f"{G}.freeze_budget_ms", "whole number"),
    (put(f"{G}.freeze_budget_ms", float("nan")), f"{G}.freeze_budget_ms", "whole number"),
    (put(f"{G}.freeze_budget_ms", 1_999), f"{G}.freeze_budget_ms", "from 2000 to 300000"),
    (put(f"{G}.freeze_budget_ms", 600_001), f"{G}.freeze_budget_ms", "from 2000 to 300000"),
    (put(f"{G}.freeze_budget_ms", 12_000), f"{G}.quiesce_timeout_ms", "less than freeze_budget_ms (12000)"),
    (put(f"{G}.quiesce_timeout_ms", 499), f"{G}.quiesce_timeout_ms", "from 500"),
    (put(f"{G}.quiesce_timeout_ms", 25_000), f"{G}.quiesce_timeout_ms", "less than freeze_budget_ms"),
    (put(G, {"freeze_budget_ms": 15_000}), f"{G}.quiesce_timeout_ms", "by default 20000"),
    (put(f"{G}.arming_timeout_ms", 4_999), f"{G}.arming_timeout_ms", "from 5000"),
    (put(f"{G}.resume_timeout_ms", -1), f"{G}.resume_timeout_ms", "from 5000"),
    (put(f"{G}.attempts", 0), f"{G}.attempts", "from 1 to 5"),
    (put(f"{G}.attempts", 6), f"{G}.attempts", "from 1 to 5"),
    (put(f"{G}.attempts", None), f"{G}.attempts", "whole number"),
    (put(f"{G}.pre_script", "/opt/pre.sh"), f"{G}.pre_script", "JSON object"),
    (put(f"{G}.pre_script", {}), f"{G}.pre_script.path", "text"),
    (put(f"{G}.pre_script.args", []), f"{G}.pre_script.args", "did you mean arguments?"),
    (put(f"{G}.pre_script.path", "pre.sh"), f"{G}.pre_script.path", "absolute path"),
    (put(f"{G}.pre_script.path", "../pre.sh"), f"{G}.pre_script.path", "absolute path"),
    (put(f"{G}.pre_script.path", "   "), f"{G}.pre_script.path", "text"),
    (put(f"{G}.pre_script.path", "/" + "x" * 1_024), f"{G}.pre_script.path", "1024"),
    (put(f"{G}.pre_script.arguments", "--now"), f"{G}.pre_script.arguments", "list"),
    (put(f"{G}.pre_script.arguments", [1]), f"{G}.pre_script.arguments[0]", "text"),
    (put(f"{G}.pre_script.arguments", ["x"] * 65), f"{G}.pre_script.arguments", "at most 64"),
    (put(f"{G}.pre_script.arguments", ["x" * 1_024] * 16), f"{G}.pre_script.arguments", "16384 bytes"),
    (put(f"{G}.pre_script.arguments", ["\U0001f600" * 1_000] * 2), f"{G}.pre_script.arguments", "16384"),
    (put(f"{G}.pre_script.timeout_ms", 99), f"{G}.pre_script.timeout_ms", "from 100"),
    (put(f"{G}.post_script", None), f"{G}.post_script", "must be started"),
    (drop(f"{G}.post_script"), f"{G}.post_script", "must be started"),
    (put(f"{G}.post_script.timeout_ms", 99_000), f"{G}.resume_timeout_ms", "must be more than post"),
    (put(f"{G}.post_script.retries", 9), f"{G}.resume_timeout_ms", "must be more than post_script"),
    (put(G, {"filesystems": "none"}), f"{G}.filesystems", "nothing would be held"),
    (put("snapshots", value=True), "snapshots", "JSON object"),
    (put("snapshots.group", "g"), "snapshots.group", "unknown field"),
    (put("snapshots.resource_group", ""), "snapshots.resource_group", "text"),
    (put("snapshots.resource_group", "a/b"), "snapshots.resource_group", "resource group"),
    (put("snapshots.resource_group", "ends."), "snapshots.resource_group", "resource group"),
    (put("snapshots.resource_group", 3), "snapshots.resource_group", "text"),
    (put("snapshots.tags", []), "snapshots.tags", "JSON object"),
    (put("snapshots.tags", {str(n): "" for n in range(37)}), "snapshots.tags", "at most 36"),
    (put("snapshots.tags", {"team": 5}), "snapshots.tags.team", "text"),
    (put("snapshots.tags", {"team": "x" * 257}), "snapshots.tags.team", "256"),
    (put("snapshots.tags", {"": "x"}), "snapshots.tags.", "512"),
    (put("snapshots.tags", {"a/b": "x"}), "snapshots.tags.a/b", "none of"),
    (put("snapshots.tags", {"Stillframe-Run": "x"}), "snapshots.tags.Stillframe-Run", "not stillframe-"),
    (put("snapshots.tags", {"Team": "x", "team": "y"}), "snapshots.tags.Team", "twice"),
    (put("snapshots.completion_timeout_ms", 59_999), "snapshots.completion_timeout_ms", "from 60000"),
    (put("snapshots.completion_timeout_ms", 10**12), "snapshots.completion_timeout_ms", "to 604800000"),
    (put("schedule", "0 2 * * *"), "schedule", "JSON object"),
    (put("schedule", {}), "schedule.cron", "text"),
    (put("schedule.cron", "0 2 * *"), "schedule.cron", "five fields"),
    (put("schedule.cron", "0 0 2 * * *"), "schedule.cron", "five fields"),
    (put("schedule.cron", "@daily"), "schedule.cron", "five fields"),
    (put("schedule.cron", 5), "schedule.cron", "text"),
    (put("schedule.timezone", "UTC"), "schedule.timezone", "did you mean time_zone?"),
    (put("schedule.time_zone", ""), "schedule.time_zone", "text"),
    (put("schedule.time_zone", 2), "schedule.time_zone", "text"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field", "words"), BAD)
def test_a_bad_policy_is_refused_by_its_field(change: Change, field: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_policy(change(copy.deepcopy(FULL_POLICY)))
    assert caught.value.field == field
    assert words in caught.value.problem


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "vms"),
        ({"policy": "Nightly"}, "policy"),
        ({"policy": ""}, "policy"),
        ({"policy": 5}, "policy"),
        ({"policy": "nightly", "guest_processing": {}}, "guest_processing"),
        ({"policy": "nightly", "snapshots": {}}, "snapshots"),
        ({"policy": "nightly", "schedule": {}}, "schedule"),
        ({"vms": [VM], "schedule": {"cron": "* * * * *"}}, "schedule"),
        ({"polcy": "nightly"}, "polcy"),
    ],
)
def test_a_bad_request_is_refused_by_its_field(document: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_run(document)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["a", "0", "a-b", "x" * 63])
def test_a_policys_name_is_taken(name: str) -> None:
    assert read_policy_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "x" * 64, "a/b", "ä", "a\n", None, 5, ["a"]])
def test_what_is_no_policys_name_is_refused(name: Any) -> None:
    with pytest.raises(DocumentError):
        read_policy_name(name)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(ANY_JSON)
def test_whatever_json_comes_is_read_or_refused_by_a_field(document: Any) -> None:
    for read in (read_run, read_policy):
        try:
            read(document)
        except DocumentError as error:
            json.dumps(error.field)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for name, value in inner:
        found.append((*path, name))
        if isinstance(value, dict | list):
            found += places(value, (*path, name))
    return found


@given(st.sampled_from(places(FULL_POLICY)), ANY_JSON)
def test_whatever_stands_in_a_good_policys_place_is_read_or_refused_there(
    path: tuple[Any, ...], value: Any
) -> None:
    document = copy.deepcopy(FULL_POLICY)
    place: Any = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    policy, refused = None, None
    try:
        policy = read_policy(document)
    except DocumentError as error:
        refused = error
    if policy is None:
        assert refused is not None
        assert refused.field.startswith(str(path[0]))
        return
    assert decode(GuestProcessing, json.loads(json.dumps(encode(policy.guest)))) == policy.guest
    kept = json.loads(json.dumps(encode(policy.snapshots)))
    assert decode(SnapshotSettings, kept) == policy.snapshots
