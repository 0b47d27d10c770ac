"""An app that was rolled back finds what the newer one wrote: it waits, nothing is given up or guessed at."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import azure.functions as func
import pytest

from shared.engine.postponing import PUT_OFF_MS
from shared.engine.queue_names import ACKS, NOTICES, POINTS, RUNS, STEPS, StepMessage, read_step_message
from shared.saga.names import saga_id
from shared.storage import upcasts
from shared.storage.errors import UnknownSchema, UnreadableSaga
from shared.storage.tables import merge
from shared.storage.upcasts import Form
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import VM, House

NEWER: Mapping[str, dict[str, Any]] = {
    RUNS: {"v": 2, "do": "everything"},
    STEPS: {"v": 2, "sagas": []},
    POINTS: {"v": 2, "points": []},
    NOTICES: {"v": 2, "events": []},
}


@pytest.mark.parametrize("queue", NEWER)
@pytest.mark.parametrize("poison", ["", "-poison"])
async def test_a_message_of_a_newer_version_goes_back_into_its_queue_for_a_while(
    queue: str, poison: str, caplog: pytest.LogCaptureFixture
) -> None:
    house, text = House(), json.dumps(NEWER[queue])
    await house.queues.send(queue + poison, text)
    began = house.clock()
    with caplog.at_level(logging.WARNING):
        await house.settle(began + 1_000)
    [message] = house.messages(queue)
    assert (message.text, message.visible_at) == (text, began + PUT_OFF_MS)
    assert house.messages(f"{queue}-poison") == []
    assert f"stillframe put off: a message of {queue}, for 300 s" in caplog.text
    assert "a newer version of Stillframe wrote it" in caplog.text
    assert house.failures == []


@pytest.mark.parametrize("version", [0, -1, "2", 1.5, None, True])
async def test_a_message_of_a_version_that_there_cannot_be_is_garbage(version: Any) -> None:
    house = House()
    text = json.dumps({"v": version, "run": "r", "saga": "s", "vm": "v"})
    await house.queues.send(STEPS, text)
    await house.settle()
    assert house.messages(STEPS) == house.messages(f"{STEPS}-poison") == []


async def held_run(house: House) -> tuple[str, str]:
    """Start a run and let it come to where its guest is to answer."""
    house.compute.start_guest = lambda _vm, _bootstrap: None
    run = await house.ask()
    await house.work()
    return run, saga_id(run, VM)


def set_schema(house: House, saga: str, version: int) -> Any:
    row = {"PartitionKey": saga, "RowKey": "state", "schema": version}
    return house.tables.transact("sagas", [merge(row)])


async def test_a_saga_that_a_newer_version_saved_is_left_as_it_is_and_goes_on_when_that_one_is_back() -> None:
    house = House()
    run, saga = await held_run(house)
    before = dict(house.tables._tables["sagas"])[(saga, "state")][0]
    await set_schema(house, saga, 2)
    house.app = house.another_instance()  # nothing is remembered of the time before
    await house.settle(house.clock() + 3_600_000)

    after = house.tables._tables["sagas"][(saga, "state")][0]
    assert after == before | {"schema": 2}
    [watch] = house.messages(STEPS)
    assert json.loads(watch.text)["saga"] == saga
    assert house.messages(f"{STEPS}-poison") == []
    with pytest.raises(UnknownSchema, match="a newer version of Stillframe wrote it"):
        await house.sagas.load(saga)
    assert (await house.app.reading.run(run))["vms"][0]["phase"] == "running"
    report = (await house.app.health.report()).document
    assert (report["status"], report["problems"]) == ("healthy", [])
    assert report["attention"] == [
        "1 sagas that a newer version of the app saved: they wait for it (docs/upgrade.md)"
    ]
    timeline, _ = await house.app.timelines.page(run, limit=10, after="", since=None)
    assert timeline["items"][0]["phase"] == "running"
    answer = await house.functions["get_vm"](
        func.HttpRequest(method="GET", url="/", body=b"", route_params={"run": run, "vm": saga})
    )
    assert answer.status_code == 503
    assert "a newer version" in json.loads(answer.get_body())["detail"]

    await set_schema(house, saga, 1)  # the newer version is back, and knows it
    house.app = house.another_instance()
    await house.settle()
    view = await house.view(run)
    assert (view["phase"], view["outcome"]) == ("done", "failed")
    assert not house.guest().held


async def test_other_vms_of_the_run_go_on_beside_a_saga_that_this_version_does_not_know() -> None:
    house = House()
    other = vm_id("db-2")
    run = await house.ask(VM, other)
    await house.tables.transact(
        "sagas", [("create", {"PartitionKey": saga_id(run, VM), "RowKey": "state", "schema": 9}, {})]
    )
    await house.settle(house.clock() + 1_800_000)
    view = await house.view(run, "db-2")
    assert (view["phase"], view["outcome"]) == ("done", "succeeded")
    assert [json.loads(message.text)["saga"] for message in house.messages(STEPS)] != []


async def test_a_saga_with_an_effect_that_this_version_has_not_is_not_guessed_at() -> None:
    house = House()
    _, saga = await held_run(house)
    [outbox] = [row for (owner, row) in house.tables._tables["sagas"] if row.startswith("outbox-")][:1]
    unknown = {"PartitionKey": saga, "RowKey": outbox, "json00": '{"type":"JoinTomorrow"}'}
    await house.tables.transact("sagas", [merge(unknown)])
    with pytest.raises(UnreadableSaga, match=f"saga {saga} cannot be read .*a newer version"):
        await house.sagas.load(saga)
    house.app = house.another_instance()
    await house.settle(house.clock() + 600_000)
    assert house.messages(f"{STEPS}-poison") == []
    assert len(house.messages(STEPS)) == 1


async def test_an_ack_about_a_saga_of_a_newer_version_waits_too() -> None:
    house = House()
    run = await house.ask()
    while not house.messages(ACKS):
        assert await house.work()
    [ack] = house.messages(ACKS)
    saga = saga_id(run, VM)
    version = house.tables._tables["sagas"][(saga, "state")][0]["schema"]
    await set_schema(house, saga, version + 1)
    house.app = house.another_instance()
    await house.work()
    [again] = house.messages(ACKS)
    assert (again.text, again.visible_at) == (ack.text, house.clock() + PUT_OFF_MS)


async def test_messages_of_the_version_before_are_brought_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcasts, "VERSIONS", {Form.STEP_MESSAGE: 2})
    steps = {1: lambda members: {**members, "vm": members["machine"]}}
    monkeypatch.setattr(upcasts, "UPCASTS", {Form.STEP_MESSAGE: steps})
    read = read_step_message(json.dumps({"run": "r", "saga": "s", "machine": "m"}))
    assert (read.run_id, read.saga_id, read.vm_id) == ("r", "s", "m")
    assert json.loads(StepMessage("r", "s", "m").text())["v"] == 2
