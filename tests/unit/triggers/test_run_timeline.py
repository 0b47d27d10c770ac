"""A run's VMs on one time axis, over HTTP."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import azure.functions as func
import pytest

from shared.engine.timelines import READ_AT_MOST
from shared.policy.documents import read_run
from shared.saga.names import saga_id
from shared.saga.timeline import Timeline
from shared.storage.run_records import RunEntry
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, T0, VM, House
from tests.unit.triggers.contract import faults


async def ask(
    house: House, run: str, params: Mapping[str, str] | None = None, **headers: str
) -> tuple[int, Any, Mapping[str, str]]:
    request = func.HttpRequest(
        method="GET", url="/", body=b"", route_params={"run": run}, params=params or {},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip
    answer = await house.functions["get_timeline"](request)
    body = answer.get_body()
    return answer.status_code, json.loads(body) if body else None, answer.headers


async def shown(house: House, run: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
    status, view, _ = await ask(house, run, params)
    assert status == 200, view
    assert faults("RunTimeline", view) == []
    return dict(view)


async def test_a_run_fits_the_document_at_every_time_and_ends_with_its_window_kept() -> None:
    house = House()
    run = await house.ask(VM, vm_id("db-2"))
    phases = set()
    while await house.work():
        phases |= {item["phase"] for item in (await shown(house, run))["items"]}
    await house.settle()
    assert {"quiescing", "capturing"} & phases
    view = await shown(house, run)
    assert view["vm_count"] == len(view["items"]) == 2
    assert view["continuation"] is None
    for item in view["items"]:
        assert (item["phase"], item["outcome"], item["overdue"]) == ("done", "succeeded", False)
        assert [each["phase"] for each in item["phases"]][:3] == ["preflight", "arming", "admitting"]
        [hold] = item["holds"]
        assert hold["end_ms"] - hold["start_ms"] == item["freeze_window_ms"]
        assert hold["start_ms"] <= item["snapshots_ms"][0] <= hold["limit_ms"]
    kept = [entry.timeline async for entry in house.runs.entries(run)]
    assert all(timeline and timeline.holds for timeline in kept)


async def test_the_groups_of_a_run_are_told_from_its_beginning_to_its_end() -> None:
    house = House()
    vms = [VM, vm_id("db-2")]
    document = {"vms": vms, "guest_processing": SCRIPTS, "groups": [{"name": "pair", "vms": vms}]}
    run = await house.app.policies.start(read_run(document), "http", "")
    told = []
    while await house.work():
        [group] = (await shown(house, run))["groups"]
        told.append((group["state"], group["one_instant"]))
    assert told[0] == ("waiting", None)
    assert ("captured", None) in told
    assert told[-1] == ("proved", True)


async def test_a_run_that_is_over_is_shown_without_looking_at_its_sagas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    run = await house.ask(VM)
    await house.settle()
    before = await shown(house, run)

    async def nothing(saga: str) -> None:
        raise AssertionError(saga)

    monkeypatch.setattr(house.sagas, "look", nothing)
    monkeypatch.setattr(house.sagas, "history", nothing)
    after = await shown(house, run)
    assert after["items"] == before["items"]


async def test_an_entry_that_ended_without_its_timeline_gets_it_from_the_history() -> None:
    house = House()
    run = await house.ask(VM)
    await house.settle()
    kept = (await shown(house, run))["items"]
    [entry] = [each async for each in house.runs.entries(run)]
    older = replace(await house.runs.get(run), run_id="older")
    await house.runs.create(older, [replace(entry, timeline=None)])
    assert (await shown(house, "older"))["items"] == kept


async def test_pages_follow_each_other_and_what_ended_before_is_left_out() -> None:
    house = House()
    run = await house.ask(*(vm_id(f"db-{number}") for number in range(5)))
    await house.settle()
    names, continuation, pages = [], None, 0
    while pages == 0 or continuation:
        more: dict[str, str] = {"continuation": continuation} if continuation else {}
        view = await shown(house, run, {"limit": "2", **more})
        names += [item["name"] for item in view["items"]]
        continuation, pages = view["continuation"], pages + 1
    assert (sorted(names), pages) == ([f"db-{number}" for number in range(5)], 3)
    assert (await shown(house, run, {"since": "2400-01-01T00:00:00Z"}))["items"] == []
    assert len((await shown(house, run, {"since": "2020-01-01T00:00:00Z"}))["items"]) == 5


async def test_what_has_not_changed_is_not_sent_again() -> None:
    house = House()
    run = await house.ask(VM)
    _, _, headers = await ask(house, run)
    house.clock.now += 1_000
    status, view, _ = await ask(house, run, if_none_match=headers["ETag"])
    assert (status, view) == (304, None)
    await house.settle()
    status, _, _ = await ask(house, run, if_none_match=headers["ETag"])
    assert status == 200


async def test_a_vm_that_should_have_gone_on_is_overdue() -> None:
    house = House()
    run = await house.ask(VM)
    while not (await shown(house, run))["items"][0]["phases"]:
        assert await house.work()
    house.clock.now = T0 + 24 * 3_600_000
    [item] = (await shown(house, run))["items"]
    assert item["overdue"]
    assert item["deadline_ms"] is not None


async def test_of_very_many_that_go_on_not_all_are_read() -> None:
    house = House()
    run = await house.ask(VM)
    record = replace(await house.runs.get(run), run_id="many", vm_count=READ_AT_MOST + 5)
    vms = [vm_id(f"m-{number}") for number in range(READ_AT_MOST + 5)]
    entries = [RunEntry(saga_id=saga_id("many", vm), vm_id=vm, started_at=T0) for vm in vms]
    await house.runs.create(record, entries)
    items = (await shown(house, "many", {"limit": "1000"}))["items"]
    assert [item["phase"] for item in items].count("running") == 5
    ended = replace(entries[0], outcome="failed", timeline=Timeline(), ended_at=T0)
    await house.runs.end_entry("many", ended)
    items = (await shown(house, "many", {"limit": "1000"}))["items"]
    assert [item["phase"] for item in items].count("running") == 4


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"continuation": "bm8gc2FnYQ"}, "continuation"),
        ({"sinse": "2026-01-01T00:00:00Z"}, "sinse"),
    ],
)
async def test_a_bad_parameter_is_named(params: dict[str, str], field: str) -> None:
    house = House()
    status, problem, _ = await ask(house, await house.ask(VM), params)
    assert (status, problem["field"]) == (400, field)


async def test_there_is_no_timeline_of_a_run_that_does_not_exist() -> None:
    assert (await ask(House(), "nobody"))[0] == 404
