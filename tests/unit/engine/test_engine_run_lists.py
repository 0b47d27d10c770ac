"""The list of runs, newest first, and trying the failed VMs of a run again."""

from typing import Any

import pytest

from shared.compute.errors import NotFound
from shared.engine.queue_names import STEPS
from shared.engine.retrying import NothingFailed, RunNotEnded
from shared.engine.run_listing import Asked, RunState
from shared.policy.documents import read_run
from shared.storage.errors import RunNotFound
from shared.storage.run_list import is_place
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, T0, VM, House
from tests.unit.triggers.contract import faults

pytestmark = pytest.mark.asyncio

MINUTE = 60_000


async def listed(house: House, *, limit: int = 100, **asked: Any) -> list[dict[str, Any]]:
    shown, place = await house.app.run_listing.page(Asked(**asked), limit=limit, after="")
    assert place == ""
    return shown


async def some_runs(house: House, count: int) -> list[str]:
    runs = []
    for number in range(count):
        runs.append(await house.ask(vm_id(f"vm-{number}")))
        await house.settle(house.clock() + 10 * MINUTE)
        house.clock.now += 10 * MINUTE
    return runs


async def test_runs_are_listed_newest_first_with_their_figures() -> None:
    house = House()
    runs = await some_runs(house, 3)
    shown = await listed(house)

    assert [run["run"] for run in shown] == runs[::-1]
    assert all(faults("ListedRun", run) == [] for run in shown)
    assert {(run["state"], run["vms_ended"], run["vms_failed"]) for run in shown} == {("ended", 1, 0)}


async def test_of_a_run_that_was_retired_no_vm_is_read() -> None:
    house = House()
    [run] = await some_runs(house, 1)

    async def fail(_run: str) -> None:
        raise AssertionError

    house.runs.entries = fail  # type: ignore[method-assign,assignment]
    assert [one["run"] for one in await listed(house)] == [run]


async def test_a_run_that_goes_on_is_listed_with_what_it_has_come_to() -> None:
    house = House()
    run = await house.ask(VM, vm_id("db-2"))

    [shown] = await listed(house)
    assert (shown["run"], shown["state"], shown["vms_ended"]) == (run, "running", 0)
    assert await listed(house, state=RunState.ENDED) == []
    assert len(await listed(house, state=RunState.RUNNING)) == 1


async def test_a_page_goes_on_where_the_last_one_ended() -> None:
    house = House()
    runs = await some_runs(house, 5)
    seen: list[str] = []
    place = ""
    while True:
        shown, place = await house.app.run_listing.page(Asked(), limit=2, after=place)
        seen += [run["run"] for run in shown]
        if not place:
            break
        assert is_place(place)

    assert seen == runs[::-1]


async def test_runs_are_found_by_the_time_of_their_beginning() -> None:
    house = House()
    runs = await some_runs(house, 3)
    second = (await house.runs.get(runs[1])).created_at

    assert [run["run"] for run in await listed(house, since=second)] == [runs[2], runs[1]]
    assert [run["run"] for run in await listed(house, until=second)] == [runs[0]]
    assert [run["run"] for run in await listed(house, since=second, until=second + 1)] == [runs[1]]
    assert await listed(house, since=second, until=second) == []


async def test_runs_of_a_policy_are_found_without_those_of_others() -> None:
    house = House()
    for name in ("nightly", "nightly-2"):
        await house.app.policies.put(name, {"vms": [VM], "guest_processing": SCRIPTS}, None)
    run = await house.app.policies.start(read_run({"policy": "nightly"}), "http", "")
    await house.app.policies.start(read_run({"policy": "nightly-2"}), "http", "")
    await house.ask(VM)

    assert [one["run"] for one in await listed(house, policy="nightly")] == [run]
    assert len(await listed(house)) == 3


async def half_failed(house: House) -> str:
    house.compute.errors["read_facts"] = [NotFound("ResourceNotFound", "no such VM")]
    run = await house.ask(VM, vm_id("db-2"))
    await house.settle()
    return run


async def test_a_retry_is_a_new_run_over_the_failed_vms_with_the_same_settings() -> None:
    house = House()
    run = await half_failed(house)
    [failed] = [vm for vm in (await house.app.reading.run(run))["vms"] if vm["outcome"] == "failed"]
    again = await house.app.retrying.retry(run, "")
    await house.settle()

    shown = await house.app.reading.run(again)
    assert [(vm["vm"], vm["outcome"]) for vm in shown["vms"]] == [(failed["vm"], "succeeded")]
    assert shown["requested_by"] == "retry"
    assert faults("Run", shown) == []
    first, second = await house.runs.get(run), await house.runs.get(again)
    assert first.settings["guest"] == second.settings["guest"]


async def test_a_retry_with_the_same_key_is_the_same_run_and_a_key_is_of_one_run_alone() -> None:
    house = House()
    run = await half_failed(house)
    again = await house.app.retrying.retry(run, "k")

    assert await house.app.retrying.retry(run, "k") == again
    assert await house.app.retrying.retry(run, "") != again
    assert await house.ask(VM, key="k") != again


async def test_a_run_that_goes_on_or_lost_nothing_is_not_tried_again() -> None:
    house = House()
    run = await house.ask(VM)
    with pytest.raises(RunNotEnded) as raised:
        await house.app.retrying.retry(run, "")
    assert raised.value.going_on == 1
    await house.settle()

    with pytest.raises(NothingFailed):
        await house.app.retrying.retry(run, "")
    with pytest.raises(RunNotFound):
        await house.app.retrying.retry("nobody", "")
    assert not house.messages(STEPS)
    assert house.clock() >= T0
