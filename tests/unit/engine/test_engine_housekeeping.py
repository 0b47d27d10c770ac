"""Old runs and all that was stored for them go; what is needed stays, wherever the app dies."""

import json
import logging
from dataclasses import replace
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import ServiceRequestError

from shared.compute.collections import OwnCollection
from shared.engine.health import KEPT_MS
from shared.engine.housekeeping import passes
from shared.engine.housekeeping.collections import EmptyCollections
from shared.engine.housekeeping.passes import CLEAN_FOR_MS, PASS_EVERY_MS
from shared.engine.notice_messages import Notice
from shared.engine.queue_names import NOTICES_DEAD
from shared.engine.run_listing import Asked
from shared.policy.documents import read_run
from shared.saga.names import saga_id
from shared.storage.agents import ResidentAgent
from shared.storage.errors import SagaNotFound
from shared.storage.guest_queues import command_queue
from shared.storage.housekeeping import HousekeepingTable
from shared.storage.point_records import Hold, PointState
from shared.storage.points import Scope
from shared.storage.run_list import ListedRun, RunList
from shared.storage.run_records import RunEntry
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import DAY_MS, KEEP_DAYS, T0, VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

LONG = "#!/bin/sh\n" + "true # long enough for a blob\n" * 2_000
KEEP_MS = KEEP_DAYS * DAY_MS


async def keep_house(house: House) -> None:
    """Let the timer come as often as a pass takes, an hour apart."""
    for _ in range(20):
        await house.functions["housekeeping"](None)
        if (await HousekeepingTable(house.tables).passes()).now is None:
            return
        house.clock.now += 3_600_000
    raise AssertionError("the pass comes to no end")


async def ended_run(house: House, *vms: str, key: str = "", **guest: Any) -> str:
    run = await house.ask(*vms, key=key, **guest)
    await house.settle()
    assert (await house.app.reading.run(run))["state"] == "ended"
    return run


async def forget_points(house: House) -> None:
    """Have every recovery point deleted, as retention does."""
    async for point in house.points.of_all():
        await house.points.change(point, replace(point.record, state=PointState.DELETED, changed=T0))


def rows(house: House, *names: str) -> dict[str, list[tuple[str, str]]]:
    return {name: sorted(house.tables._tables[name]) for name in names}


async def test_an_old_run_goes_with_all_that_was_stored_for_it() -> None:
    house = House()
    run = await ended_run(house, VM, vm_id("db-2"), key="once")
    await forget_points(house)
    saga = saga_id(run, VM)
    assert len(await house.sagas.history(saga)) > 3
    house.clock.now = T0 + KEEP_MS - DAY_MS
    await keep_house(house)
    assert (await house.app.reading.run(run))["state"] == "ended"

    house.clock.now = T0 + KEEP_MS + 3 * DAY_MS
    await keep_house(house)
    left = rows(house, "runs", "sagas")
    assert left == {"runs": [], "sagas": []}
    with pytest.raises(SagaNotFound):
        await house.sagas.load(saga)
    last = (await HousekeepingTable(house.tables).passes()).last
    assert last is not None
    counts = {one.what: one.count for one in last.removed}
    assert (counts["runs"], counts["sagas"], counts["idempotency_keys"]) == (1, 2, 1)
    assert last.failed == ()


@pytest.mark.parametrize("state", [PointState.AVAILABLE, PointState.MISSING, PointState.DELETING])
async def test_a_run_stays_as_long_as_a_recovery_point_of_it_is_in_the_catalogue(state: PointState) -> None:
    house = House()
    kept, gone = await ended_run(house, VM), await ended_run(house, vm_id("db-2"))
    await forget_points(house)
    point = await house.points.get(saga_id(kept, VM))
    hold = Hold(reason="law", since=T0, until=T0 + 9 * KEEP_MS, immutable=True)
    await house.points.change(point, replace(point.record, state=state, hold=hold))
    house.clock.now = T0 + 2 * KEEP_MS
    await keep_house(house)

    view = await house.view(kept)
    assert view["history"]
    assert view["evidence"]
    listed, _ = await house.app.run_listing.page(Asked(), limit=10, after="")
    assert [each["run"] for each in listed] == [kept]
    with pytest.raises(SagaNotFound):
        await house.sagas.load(saga_id(gone, vm_id("db-2")))


async def test_what_goes_on_stays_however_old_it_is() -> None:
    house = House()
    house.compute.start_guest = lambda _vm, _bootstrap: None
    run = await house.ask()
    await house.work()
    house.clock.now = T0 + 2 * KEEP_MS
    before = rows(house, "runs", "sagas")
    await keep_house(house)
    assert rows(house, "runs", "sagas") == before
    assert await house.runs.is_active(run)


async def test_what_a_broken_creation_left_goes_too() -> None:
    house = House()
    listed = ListedRun(run_id="half", created_at=T0, policy_name="nightly", requested_by="http", vm_count=1)
    await RunList(house.tables).put(listed)
    await house.selections.add_entries("half", [RunEntry(saga_id="a" * 20, vm_id=VM, started_at=T0)])
    await house.claims.claim("key", "digest", "half", at=T0)
    house.clock.now = T0 + KEEP_MS + DAY_MS
    await keep_house(house)
    assert rows(house, "runs") == {"runs": []}


async def test_a_run_of_many_vms_goes_a_page_at_a_time() -> None:
    house = House()
    listed = ListedRun(run_id="big", created_at=T0, policy_name="", requested_by="http", vm_count=250)
    await RunList(house.tables).put(listed)
    names = [vm_id(f"vm-{number}") for number in range(250)]
    await house.selections.add_entries(
        "big", [RunEntry(saga_id=saga_id("big", vm), vm_id=vm, outcome="failed") for vm in names]
    )
    house.clock.now = T0 + KEEP_MS + DAY_MS
    await keep_house(house)
    assert rows(house, "runs") == {"runs": []}


async def test_an_idempotency_key_without_a_date_has_its_time_from_the_first_look_on() -> None:
    house = House()
    await house.claims.claim("of before", "digest", "never-written")
    house.clock.now = T0 + 2 * KEEP_MS
    await keep_house(house)
    assert await house.claims.claimed("of before") == "never-written"
    house.clock.now += KEEP_MS + DAY_MS
    await keep_house(house)
    assert await house.claims.claimed("of before") is None


async def test_the_queue_of_a_vm_that_no_run_had_for_long_goes_and_others_stay() -> None:
    house = House()
    await ended_run(house, VM)
    used, idle, resident, unknown = VM, vm_id("idle"), vm_id("resident"), vm_id("of-before")
    for vm in (idle, resident, unknown):
        await house.queues.ensure(command_queue(vm))
    await house.agents.note_use(idle, T0)
    house.clock.now = T0 + KEEP_MS + DAY_MS
    await house.agents.note_use(used, house.clock())
    await house.agents.put(ResidentAgent(idle, "1", 1, T0))
    await house.agents.put(ResidentAgent(resident, "1", 1, house.clock() - DAY_MS))
    await keep_house(house)
    left, _ = await all_queues(house)
    assert left == {command_queue(vm) for vm in (used, resident, unknown)}
    assert await house.agents.get(idle) is None

    house.clock.now += KEEP_MS + DAY_MS
    await house.agents.note_use(used, house.clock())
    await keep_house(house)
    assert (await all_queues(house))[0] == {command_queue(used)}
    assert await house.agents.is_known(command_queue(used))


async def all_queues(house: House) -> tuple[set[str], None]:
    names: list[str] = []
    marker = ""
    while True:
        page, marker = await house.queues.listed("cmd-", marker)
        names += page
        if not marker:
            return set(names), None


async def test_a_saga_that_starts_an_agent_notes_that_the_queue_is_in_use_before_it_is_made() -> None:
    house = House()
    await ended_run(house, VM)
    seen = house.interruptions.seen
    assert seen.index("write agents") < seen.index("start agent")
    [guest] = await house.agents.known(after="", size=10)
    assert (guest.partition, guest.last_use >= T0) == (command_queue(VM), True)


async def test_scripts_that_no_run_has_stored_for_long_go() -> None:
    house = House()
    await house.scripts.put("old", LONG)
    house.clock.now = T0 + KEEP_MS
    await house.scripts.put("young", LONG)
    house.clock.now += DAY_MS
    await keep_house(house)
    assert set(house.scripts.content) == {"young"}


async def test_no_script_goes_while_a_run_goes_on_that_is_older_still() -> None:
    house = House()
    await house.scripts.put("old", LONG)
    house.compute.start_guest = lambda _vm, _bootstrap: None
    await house.ask()
    house.clock.now = T0 + 2 * KEEP_MS
    await keep_house(house)
    assert set(house.scripts.content) == {"old"}


async def test_spent_reservations_go_and_the_next_run_reserves_anew() -> None:
    house = House()
    await house.app.policies.put("nightly", {"vms": [VM], "concurrency": {"held": 1}}, None)
    document = {"policy": "nightly"}
    await house.app.policies.start(read_run(document), "http", "")
    await house.settle()
    assert rows(house, "reservations")["reservations"]
    house.clock.now += 3 * DAY_MS
    before = {name for name, _ in rows(house, "reservations")["reservations"] if name.startswith("vm-")}
    await keep_house(house)
    assert {name for name, _ in rows(house, "reservations")["reservations"]} >= before
    house.clock.now += 10 * DAY_MS
    await keep_house(house)
    assert rows(house, "reservations") == {"reservations": []}
    run = await house.app.policies.start(read_run(document), "http", "")
    await house.settle()
    assert (await house.app.reading.run(run))["vms_ended"] == 1


async def test_old_counts_and_old_notices_that_were_given_up_go() -> None:
    house = House()
    await house.counters.add("acks", "2027-01-15", {"rejected_stranger": 1})
    await house.counters.add("acks", "2028-03-01", {"rejected_stranger": 1})
    for number, at in enumerate((T0, T0 + DAY_MS, T0 + KEEP_MS)):
        event = {"id": f"a{number}", "type": "x"}
        notice = Notice(event=event, queue="hooks", first_at=at)
        await house.queues.send(NOTICES_DEAD, notice.dead_letter("no answer", at))
    await house.queues.send(NOTICES_DEAD, "put here by somebody")
    house.clock.now = T0 + KEEP_MS + 2 * DAY_MS
    await keep_house(house)
    assert await house.counters.read("acks", "2027-01-15") == {}
    assert await house.counters.read("acks", "2028-03-01") == {"rejected_stranger": 1}
    left = [message.text for message in house.messages(NOTICES_DEAD)]
    assert [json.loads(text)["event"]["id"] for text in left[:-1]] == ["a2"]
    assert left[-1] == "put here by somebody"


async def full_house(interruptions: Interruptions | None = None) -> House:
    """A house with one of everything that is old, and a run that goes on."""
    house = House(interruptions)
    await ended_run(house, VM, vm_id("db-2"), key="once")
    kept = await ended_run(house, vm_id("kept"))
    await forget_points(house)
    point = await house.points.get(saga_id(kept, vm_id("kept")))
    await house.points.change(point, replace(point.record, state=PointState.AVAILABLE))
    await house.scripts.put("old", LONG)
    await house.counters.add("acks", "2027-01-15", {"rejected_stranger": 1})
    notice = Notice(event={"id": "a", "type": "x"}, queue="hooks", first_at=T0)
    await house.queues.send(NOTICES_DEAD, notice.dead_letter("no answer", T0))
    house.clock.now = T0 + KEEP_MS + 3 * DAY_MS
    return house


@pytest.mark.parametrize("when", When)
async def test_wherever_the_app_dies_the_same_is_left_in_the_end(when: When) -> None:
    whole = await full_house()
    mark = len(whole.interruptions.seen)
    await keep_house(whole)
    names = ("runs", "sagas", "agents", "counters", "reservations")
    wanted = rows(whole, *names), (await all_queues(whole))[0], set(whole.scripts.content)
    assert len(wanted[0]["sagas"]) > 3  # the one with a recovery point
    assert len(whole.interruptions.seen) - mark > 15
    for number in range(mark + 1, len(whole.interruptions.seen) + 1):
        house = await full_house(Interruptions(number, when))
        for _ in range(2):
            try:
                await keep_house(house)
            except* AppDied as died:
                house._restart(died)
            house.clock.now += PASS_EVERY_MS
        found = rows(house, *names), (await all_queues(house))[0], set(house.scripts.content)
        assert found == wanted, (number, house.interruptions.seen[number - 1])


async def test_an_invocation_ends_in_time_and_the_next_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "CLEAN_FOR_MS", 0)
    house = await full_house()
    ticks = 0
    while True:
        going_on = await house.app.housekeeping.go_on()
        assert going_on is not None
        ticks += 1
        if going_on.ended_at is not None:
            break
        house.app = house.another_instance()
    assert ticks > 5
    assert CLEAN_FOR_MS < 600_000 / 2  # of host.json's functionTimeout


async def test_a_pass_begins_no_sooner_than_it_may() -> None:
    house = House()
    assert await house.app.housekeeping.go_on() is not None
    house.clock.now += PASS_EVERY_MS - 1
    assert await house.app.housekeeping.go_on() is None
    house.clock.now += 1
    assert await house.app.housekeeping.go_on() is not None


async def test_a_room_that_cannot_be_cleaned_keeps_no_other_from_it_and_health_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await full_house()

    async def fails(*_: object, **__: object) -> object:
        raise ServiceRequestError("https://account.invalid/secret cannot be reached")

    house.sagas.forget = fails  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.INFO):
        await keep_house(house)
    assert set(house.scripts.content) == set()
    [line] = [record.getMessage() for record in caplog.records if "removed" in record.getMessage()]
    assert "scripts=1" in line
    assert "not cleaned: runs: ServiceRequestError" in line
    document = await health(house)
    assert document["attention"][-1] == "housekeeping could not clean runs: ServiceRequestError"
    shown = document["last_housekeeping"]
    assert (shown["ok"], shown["removed"]["scripts"], shown["going_on_since"]) == (True, 1, None)
    assert "secret" not in json.dumps(document)


async def test_health_says_when_no_pass_has_come_to_an_end_for_days() -> None:
    house = House()
    await keep_house(house)
    assert (await health(house))["attention"] == []
    house.clock.now += 4 * DAY_MS
    assert (await health(house))["attention"] == ["housekeeping has come to no end for 4 days"]


async def health(house: House) -> dict[str, Any]:
    house.clock.now += KEPT_MS
    request = func.HttpRequest(method="GET", url="/api/health", body=b"")
    document: dict[str, Any] = json.loads((await house.functions["health"](request)).get_body())
    return document


RESTORE_POINT: dict[str, Any] = {
    "vms": [VM],
    "guest_processing": {"enabled": False},
    "snapshots": {"recovery_point": "restore_point"},
}


async def with_collection(house: House) -> OwnCollection:
    """Let a run make a restore point; give the collection that it lies in."""
    run = await house.app.policies.start(read_run(RESTORE_POINT), "http", "")
    await house.settle()
    view = await house.view(run)
    [kept] = view["recovery_point"]
    place = kept["restore_point"].partition("/restorePoints/")[0]
    collection = OwnCollection(place, VM, view["saga"])
    house.compute.collections[place] = collection
    return collection


async def delete_points(house: House) -> None:
    async for point in house.points.of_all():
        await house.app.points.delete(point.record.point_id, newest=True)
    await house.settle(house.clock() + 60_000)


async def test_an_empty_collection_of_restore_points_goes_and_one_with_a_point_stays() -> None:
    house = House()
    collection = await with_collection(house)
    await keep_house(house)
    assert list(house.compute.collections) == [collection.resource_id]
    await delete_points(house)
    house.clock.now += PASS_EVERY_MS
    await keep_house(house)
    assert house.compute.collections == {}


async def test_a_collection_stays_while_a_run_goes_on_that_has_its_vm() -> None:
    house = House()
    collection = await with_collection(house)
    await delete_points(house)
    house.compute.start_guest = lambda _vm, _bootstrap: None
    await house.ask()
    await keep_house(house)
    assert list(house.compute.collections) == [collection.resource_id]


async def test_a_run_that_begins_while_a_collection_is_looked_at_keeps_it() -> None:
    house = House()
    collection = await with_collection(house)
    await delete_points(house)
    compute = house.compute

    class RunBegins:
        """Azure, while which is asked for the second time a run begins."""

        asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(compute, name)

        async def is_empty(self, collection_id: str) -> bool:
            self.asked += 1
            if self.asked == 2:
                await house.app.policies.start(read_run(RESTORE_POINT), "http", "")
            return await compute.is_empty(collection_id)

    watched = RunBegins()
    room = EmptyCollections(house.points, house.runs, watched)
    await room.clean("", house.clock(), 0)
    assert watched.asked == 2
    assert list(house.compute.collections) == [collection.resource_id]


async def test_an_empty_collection_that_another_installation_made_is_left_alone() -> None:
    house = House()
    collection = await with_collection(house)
    await delete_points(house)
    house.compute.collections[collection.resource_id] = replace(collection, saga_id="f" * 20)
    await keep_house(house)
    assert list(house.compute.collections) == [collection.resource_id]


async def test_all_collections_of_all_groups_are_looked_at() -> None:
    house = House()
    collection = await with_collection(house)
    await delete_points(house)
    for group in ("app", "backups"):
        for number in range(3):
            place = collection.resource_id.replace("/resourceGroups/app/", f"/resourceGroups/{group}/")
            house.compute.collections[f"{place}{number}"] = replace(
                collection, resource_id=f"{place}{number}"
            )
    subscription = collection.resource_id.split("/")[2]
    await house.points.note_scopes([Scope(subscription, "backups"), Scope(subscription, "zz-none")])
    await keep_house(house)
    assert house.compute.collections == {}
