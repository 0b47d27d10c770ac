"""The HTTP functions about recovery points and retention, called as the Functions host calls them."""

import json
from typing import Any

import azure.functions as func
import pytest

from shared.engine import points as points_module
from shared.saga.consistency import Grade
from shared.saga.state import Outcome
from shared.storage.point_records import PointState
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import DAY_MS, T0, VM, House
from tests.unit.engine.test_engine_retention import NIGHTLY, house_with, in_azure, seed, states
from tests.unit.triggers.contract import faults

#: The time of the tests' clock, T0.
TODAY = "2027-01-15T08:00:00Z"


async def call(
    house: House, function: str, body: Any = b"", *, params: dict[str, str] | None = None, **route: str
) -> tuple[int, Any]:
    request = func.HttpRequest(
        method="POST",
        url="https://app.invalid/api",
        params=params or {},
        route_params=route,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )
    response = await house.functions[function](request)
    return response.status_code, json.loads(response.get_body())


async def listed(house: House, **params: str) -> list[str]:
    """Give all points that are listed, page after page."""
    found: list[str] = []
    while True:
        status, page = await call(house, "list_points", params=params)
        assert status == 200, page
        assert faults("RecoveryPoints", page) == []
        found += [item["point"] for item in page["items"]]
        if page["continuation"] is None:
            return found
        params["continuation"] = page["continuation"]


async def some_points() -> House:
    house = await house_with(5)
    await seed(house, "weekly", 0.5, policy="weekly", grade=Grade.APPLICATION)
    await seed(house, "other", 1.5, vm=vm_id("web-1"), outcome=Outcome.DEGRADED)
    return house


async def test_points_are_found_by_vm_policy_time_and_grade_newest_first() -> None:
    house = await some_points()
    assert await listed(house) == ["p0", "weekly", "p1", "other", "p2", "p3", "p4"]
    assert await listed(house, vm="db-1") == ["p0", "weekly", "p1", "p2", "p3", "p4"]
    assert await listed(house, vm=VM.upper(), policy="nightly") == ["p0", "p1", "p2", "p3", "p4"]
    assert await listed(house, policy="weekly") == ["weekly"]
    assert await listed(house, grade="application") == ["weekly"]
    assert await listed(house, vm="nobody") == []
    tuesday = {"since": "2027-01-12T00:00:00+01:00", "until": "2027-01-13T00:00:00%2B01:00"}
    tuesday["until"] = tuesday["until"].replace("%2B", "+")
    assert await listed(house, vm="DB-1", **tuesday) == ["p3"]


@pytest.mark.parametrize("limit", ["1", "2", "3", "7", "1000"])
async def test_pages_of_any_size_lose_nothing(limit: str) -> None:
    house = await some_points()
    for query in ({}, {"vm": "db-1"}, {"policy": "nightly"}, {"grade": "crash"}):
        assert await listed(house, limit=limit, **query) == await listed(house, **query)


async def test_a_filter_that_leaves_little_looks_at_a_bounded_number_of_points_for_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = await some_points()
    monkeypatch.setattr(points_module, "MOST_LOOKED_AT", 2)
    status, page = await call(house, "list_points", params={"state": "missing"})
    assert (status, page["items"]) == (200, [])
    assert page["continuation"]
    assert await listed(house, grade="application") == ["weekly"]


async def test_deleted_points_are_listed_for_who_asks_for_them() -> None:
    house = await some_points()
    await call(house, "delete_point", point="p3")
    await house.settle(T0 + 60_000)
    assert await listed(house, vm="db-1", policy="nightly") == ["p0", "p1", "p2", "p4"]
    assert await listed(house, vm="db-1", state="deleted") == ["p3"]


async def test_a_point_is_shown_with_its_evidence_and_what_it_is_made_of() -> None:
    house = House()
    await house.ask()
    await house.settle()
    [point] = await listed(house)
    status, shown = await call(house, "get_point", point=point)
    assert status == 200
    assert faults("WholeRecoveryPoint", shown) == []
    saga = await house.app.reading.vm(shown["run"], point)
    assert shown["evidence"] == saga["evidence"]
    assert shown["evidence_sha256"] == saga["evidence_sha256"]
    assert shown["resources"] == [copy["snapshot"] for copy in saga["recovery_point"]]
    assert shown["saga_href"] == f"/api/runs/{shown['run']}/vms/{point}"
    assert (shown["policy"], shown["hold"], shown["missing"]) == (None, None, [])


@pytest.mark.parametrize("point", ["nobody", "no/such\\key?#"])
async def test_a_point_that_does_not_exist_is_not_found_whatever_is_wanted_of_it(point: str) -> None:
    house = House()
    for function, body in (
        ("get_point", b""),
        ("hold_point", {"reason": "audit"}),
        ("release_point", b""),
        ("delete_point", b""),
    ):
        status, told = await call(house, function, body, point=point)
        assert status == (404 if point == "nobody" else 400), told


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "all"}, "limit"),
        ({"continuation": "bm8gcGxhY2U"}, "continuation"),
        ({"continuation": "?"}, "continuation"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2027-01-12T00:00:00"}, "until"),
        ({"since": TODAY, "until": TODAY}, "until"),
        ({"grade": "best"}, "grade"),
        ({"state": "good"}, "state"),
        ({"policy": "No Policy"}, "policy"),
        ({"vm": " "}, "vm"),
        ({"polcy": "nightly"}, "polcy"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused_by_the_parameters_name(
    params: dict[str, str], field: str
) -> None:
    status, told = await call(House(), "list_points", params=params)
    assert (status, told["field"]) == (400, field)


async def test_a_hold_keeps_until_it_is_released() -> None:
    house = await house_with(4)
    status, held = await call(house, "hold_point", {"reason": "audit"}, point="p3")
    assert status == 200
    assert held["hold"] == {
        "reason": "audit",
        "since": "2027-01-15T08:00:00.000Z",
        "until": None,
        "immutable": False,
    }
    assert faults("RecoveryPoint", held) == []
    assert (await call(house, "delete_point", point="p3"))[0] == 409
    status, released = await call(house, "release_point", point="p3")
    assert (status, released["hold"]) == (200, None)
    assert (await call(house, "release_point", point="p3"))[0] == 200
    assert (await call(house, "delete_point", point="p3"))[0] == 202


async def test_an_immutable_hold_only_grows_until_its_time_has_come() -> None:
    house = await house_with(4)
    hold = {"reason": "law", "until": "2027-02-01T00:00:00Z", "immutable": True}
    assert (await call(house, "hold_point", hold, point="p3"))[0] == 200
    for weaker in (
        {"reason": "shorter", "until": "2027-01-31T00:00:00Z", "immutable": True},
        {"reason": "soft", "until": "2027-03-01T00:00:00Z"},
        {"reason": "without an end"},
    ):
        status, told = await call(house, "hold_point", weaker, point="p3")
        assert (status, told["title"]) == (409, "The hold is immutable")
    assert (await call(house, "release_point", point="p3"))[0] == 409
    assert (await call(house, "delete_point", params={"newest": "allow"}, point="p3"))[0] == 409
    longer = hold | {"until": "2027-02-02T00:00:00Z"}
    status, held = await call(house, "hold_point", longer, point="p3")
    assert (status, held["hold"]["until"]) == (200, "2027-02-02T00:00:00.000Z")
    house.clock.now = T0 + 18 * DAY_MS  # the 2nd of February
    assert (await call(house, "release_point", point="p3"))[0] == 200


@pytest.mark.parametrize(
    ("hold", "field"),
    [
        ({}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a", "until": TODAY}, "until"),
        ({"reason": "a", "until": "2030-01-01"}, "until"),
        ({"reason": "a", "until": 5}, "until"),
        ({"reason": "a", "immutable": True}, "until"),
        ({"reason": "a", "immutable": "yes"}, "immutable"),
        ({"reason": "a", "untill": TODAY}, "untill"),
        ([], "document"),
    ],
)
async def test_a_hold_that_cannot_be_meant_is_refused_by_the_fields_name(hold: Any, field: str) -> None:
    house = await house_with(1)
    status, told = await call(house, "hold_point", hold, point="p0")
    assert (status, told["field"]) == (400, field)
    assert (await house.points.get("p0")).record.hold is None


async def test_the_newest_good_point_is_deleted_only_by_who_says_so() -> None:
    house = await house_with(2)
    await seed(house, "best", 9, grade=Grade.APPLICATION)
    for newest in ("p0", "best"):
        status, told = await call(house, "delete_point", point=newest)
        assert (status, told["title"]) == (409, "The recovery point is the newest good one")
    status, told = await call(house, "delete_point", params={"newest": "yes"}, point="p0")
    assert (status, told["field"]) == (400, "newest")
    status, shown = await call(house, "delete_point", params={"newest": "allow"}, point="p0")
    assert (status, shown["state"], shown["why"]) == (202, "deleting", "asked for")
    assert faults("RecoveryPoint", shown) == []
    await house.settle(T0 + 60_000)
    assert in_azure(house) == {"p1", "best"}
    assert (await call(house, "delete_point", point="p0"))[1]["state"] == "deleted"


async def test_what_is_being_deleted_cannot_be_held_and_is_deleted_once() -> None:
    house = await house_with(3)
    for _ in range(2):
        status, shown = await call(house, "delete_point", point="p2")
        assert (status, shown["state"]) == (202, "deleting")
    status, told = await call(house, "hold_point", {"reason": "too late"}, point="p2")
    assert (status, told["title"]) == (409, "The recovery point is deleted")
    await house.settle(T0 + 60_000)
    assert (await states(house))["p2"] == PointState.DELETED


async def test_the_preview_of_retention_is_what_applying_it_does() -> None:
    house = await house_with(4)
    status, preview = await call(house, "preview_retention", policy="nightly")
    assert status == 200
    assert faults("RetentionPreview", preview) == []
    [vm] = preview["items"]
    assert (vm["vm"], vm["keeps"], vm["deletes"], preview["continuation"]) == (VM, 2, 2, None)
    assert {point["point"]: point["decision"] for point in vm["points"]} == {
        "p0": "keep",
        "p1": "keep",
        "p2": "delete",
        "p3": "delete",
    }
    assert vm["points"][3]["why"] == ["3 newer good ones"]
    assert len(in_azure(house)) == 4
    assert (await call(house, "apply_retention", policy="nightly")) == (202, {"policy": "nightly"})
    await house.settle(T0 + 60_000)
    assert in_azure(house) == {"p0", "p1"}


async def test_other_rules_are_tried_without_being_stored_also_on_what_a_removed_policy_left() -> None:
    house = await house_with(4)
    await house.app.policies.delete("nightly", None)
    assert (await call(house, "preview_retention", policy="nightly"))[0] == 404
    assert (await call(house, "apply_retention", policy="nightly"))[0] == 404
    rules = {"retention": {"keep_last": 1}}
    status, preview = await call(house, "try_retention", rules, policy="nightly")
    assert (status, preview["items"][0]["deletes"]) == (200, 3)
    assert len(in_azure(house)) == 4


async def test_a_policy_that_keeps_everything_says_so() -> None:
    house = await house_with(4, retention=None)
    for function in ("preview_retention", "apply_retention"):
        status, told = await call(house, function, policy="nightly")
        assert (status, told["title"]) == (409, "The policy keeps everything")


async def test_the_preview_is_paged_by_vms() -> None:
    house = House()
    vms = [vm_id(f"vm-{number}") for number in range(5)]
    await house.app.policies.put("nightly", NIGHTLY | {"vms": vms}, None)
    for number, vm in enumerate(vms):
        await seed(house, f"v{number}", 0, vm=vm)
    found: list[str] = []
    params = {"limit": "2"}
    while True:
        _, page = await call(house, "preview_retention", params=params, policy="nightly")
        found += [item["vm"] for item in page["items"]]
        if page["continuation"] is None:
            break
        params["continuation"] = page["continuation"]
    assert sorted(found) == sorted(vms)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "retention"),
        ({"retention": {}}, "retention"),
        ({"retention": {"keep_last": "7"}}, "retention.keep_last"),
        ({"retention": {"keep_last": 7, "time_zone": "Mars/Olympus"}}, "retention.time_zone"),
        ({"rules": {}}, "rules"),
    ],
)
async def test_rules_that_are_wrong_are_refused_by_the_fields_name(body: Any, field: str) -> None:
    house = await house_with(2)
    status, told = await call(house, "try_retention", body, policy="nightly")
    assert (status, told["field"]) == (400, field)


async def test_a_policy_whose_retention_names_no_time_zone_of_this_world_is_not_stored() -> None:
    house = House()
    body = NIGHTLY | {"retention": {"daily": 7, "time_zone": "Mars/Olympus"}}
    status, told = await call(house, "put_policy", body, policy="nightly")
    assert (status, told["field"]) == (400, "retention.time_zone")
    assert (await call(house, "get_policy", policy="nightly"))[0] == 404
