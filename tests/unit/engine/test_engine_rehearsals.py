"""Rehearsals through the real triggers and use cases."""

import json

import azure.functions as func
import pytest

from shared.policy.documents import read_run
from shared.storage.errors import IdempotencyMismatch, RunNotFound
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, VM, House
from tests.unit.triggers.contract import faults

DOCUMENT = {"vms": [VM], "guest_processing": SCRIPTS}


async def rehearse(house: House, *, key: str = "") -> str:
    return await house.app.policies.start(read_run(DOCUMENT), "http", key, rehearsal=True)


async def test_it_holds_the_guest_and_snapshots_nothing() -> None:
    house = House()
    run = await rehearse(house)
    await house.settle()
    view = await house.app.rehearsals.view(run)
    [vm] = view["vms"]
    assert (view["state"], view["rehearsal"]) == ("ended", True)
    assert (vm["outcome"], vm["grade"], vm["what_to_do"]) == ("rehearsed", None, None)
    assert vm["rehearsal"]["best_grade"] == "application"
    assert {thing["kind"] for thing in vm["rehearsal"]["things"]} >= {"script", "filesystem"}
    assert house.guest().times_held == 1
    assert house.compute.captures_of == []
    assert house.compute.snapshots == {}
    assert [run async for run in house.runs.active()] == []


async def test_what_is_shown_fits_the_document_at_every_time() -> None:
    house = House()
    run = await house.app.policies.start(
        read_run(DOCUMENT | {"vms": [VM, vm_id("db-2")]}), "http", "", rehearsal=True
    )
    views = [await house.app.rehearsals.view(run)]
    while await house.work():
        views.append(await house.app.rehearsals.view(run))
    await house.settle()
    views.append(await house.app.rehearsals.view(run))
    assert len(views) > 3
    for view in views:
        assert faults("Rehearsal", view) == []
    assert faults("Vm", await house.app.reading.vm(run, "db-1")) == []
    assert faults("Run", await house.app.reading.run(run)) == []


async def test_a_failed_one_says_what_to_do() -> None:
    house = House()
    house.guest().script_fails = True
    run = await rehearse(house)
    await house.settle()
    [vm] = (await house.app.rehearsals.view(run))["vms"]
    assert vm["outcome"] == "failed"
    assert "rehearsal" in vm["problem"]["sentence"]
    assert vm["what_to_do"]
    assert house.compute.captures_of == []


async def test_a_run_is_not_shown_as_a_rehearsal() -> None:
    house = House()
    run = await house.ask()
    with pytest.raises(RunNotFound):
        await house.app.rehearsals.view(run)
    await house.settle()
    assert (await house.app.reading.run(run))["rehearsal"] is False
    assert (await house.view(run))["rehearsal"] is None


async def test_a_key_that_was_used_for_a_rehearsal_starts_no_run() -> None:
    house = House()
    run = await rehearse(house, key="once")
    assert await rehearse(house, key="once") == run
    with pytest.raises(IdempotencyMismatch):
        await house.app.policies.start(read_run(DOCUMENT), "http", "once")


async def test_the_calls_start_and_show_it() -> None:
    house = House()
    asked = func.HttpRequest(
        method="POST", url="/api/rehearsals", body=json.dumps(DOCUMENT).encode(), headers={}
    )
    accepted = await house.functions["start_rehearsal"](asked)
    assert accepted.status_code == 202
    told = json.loads(accepted.get_body())
    assert accepted.headers["Location"] == told["href"] == f"/api/rehearsals/{told['run']}"
    await house.settle()
    shown = func.HttpRequest(
        method="GET", url=told["href"], body=b"", route_params={"run": told["run"]}, headers={}
    )
    view = json.loads((await house.functions["get_rehearsal"](shown)).get_body())
    assert [vm["outcome"] for vm in view["vms"]] == ["rehearsed"]
