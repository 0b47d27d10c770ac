"""The HTTP functions about what does not agree, called as the Functions host calls them."""

import pytest

from shared.compute.errors import Denied, Throttled
from tests.unit.engine.house import T0, House
from tests.unit.engine.test_engine_reconciliation import house_with, stray
from tests.unit.engine.test_engine_retention import snapshot_of
from tests.unit.triggers.contract import faults
from tests.unit.triggers.test_triggers_recovery_points import call


async def with_findings() -> House:
    house = await house_with(1)
    for name in ("one", "two", "three"):
        stray(house, name, "nobody")
    del house.compute.snapshots[snapshot_of("p0")]
    status, begun = await call(house, "reconcile")
    assert (status, begun) == (202, {"resource_groups": 1})
    await house.settle(T0 + 60_000)
    return house


async def test_findings_are_shown_by_kind_and_page_by_page() -> None:
    house = await with_findings()
    status, shown = await call(house, "get_reconciliation")
    assert status == 200
    assert faults("Reconciliation", shown) == []
    assert shown["begun_at"] == "2027-01-15T08:00:00.000Z"
    assert sorted(item["kind"] for item in shown["items"]) == ["missing", "orphan", "orphan", "orphan"]
    found: list[str] = []
    params = {"kind": "orphan", "limit": "2"}
    while True:
        _, page = await call(house, "get_reconciliation", params=params)
        found += [item["finding"] for item in page["items"]]
        if page["continuation"] is None:
            break
        params["continuation"] = page["continuation"]
    assert found == [item["finding"] for item in shown["items"] if item["kind"] == "orphan"]


async def test_before_the_first_comparison_there_is_nothing_to_show() -> None:
    assert await call(House(), "get_reconciliation") == (
        200,
        {"begun_at": None, "items": [], "continuation": None},
    )


async def test_an_orphan_is_deleted_and_what_is_none_is_refused() -> None:
    house = await with_findings()
    _, shown = await call(house, "get_reconciliation")
    for item in shown["items"]:
        status, told = await call(house, "delete_orphan", finding=item["finding"])
        assert status == (200 if item["kind"] == "orphan" else 409), told
        if status == 200:
            assert faults("Finding", told) == []
    assert [name for name in house.compute.snapshots if "-p0-" not in name] == []
    assert (await call(house, "delete_orphan", finding="nobody"))[0] == 404


async def test_azure_that_cannot_be_asked_is_told_by_its_code_alone() -> None:
    house = await with_findings()
    _, shown = await call(house, "get_reconciliation", params={"kind": "orphan"})
    finding = shown["items"][0]["finding"]
    house.compute.errors["look_at"] = [
        Throttled("TooManyRequests", "identity 1234", retry_after_ms=17_001),
        Denied("AuthorizationFailed", "identity 1234"),
    ]
    status, told = await call(house, "delete_orphan", finding=finding)
    assert (status, "18 s" in told["detail"], "1234" in told["detail"]) == (503, True, False)
    status, told = await call(house, "delete_orphan", finding=finding)
    assert (status, "AuthorizationFailed" in told["detail"], "1234" in told["detail"]) == (502, True, False)
    assert faults("Problem", told) == []


@pytest.mark.parametrize(
    ("params", "field"),
    [({"kind": "lost"}, "kind"), ({"continuation": "bm8vcGxhY2U"}, "continuation"), ({"knd": "x"}, "knd")],
)
async def test_a_query_that_cannot_be_meant_is_refused(params: dict[str, str], field: str) -> None:
    status, told = await call(House(), "get_reconciliation", params=params)
    assert (status, told["field"]) == (400, field)
