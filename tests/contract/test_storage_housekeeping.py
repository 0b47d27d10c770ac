"""What housekeeping asks of storage: rows of many partitions, queues by prefix, scripts by age."""

import time
from collections.abc import AsyncIterator

import pytest
from azure.core.exceptions import ResourceExistsError

from shared.storage.agents import AgentTable, ResidentAgent
from shared.storage.claims import ClaimTable
from shared.storage.connection import Connection
from shared.storage.counters import CounterTable
from shared.storage.emptying import delete_rows
from shared.storage.errors import QueueBeingDeleted, RunNotFound, SagaNotFound
from shared.storage.guest_names import command_queue
from shared.storage.guest_scripts import GuestScripts
from shared.storage.housekeeping import HousekeepingTable, Pass, Removed
from shared.storage.memory import MemoryQueues, MemoryScripts
from shared.storage.queues import Queues
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import ListedRun, RunList
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.tables import create, upsert
from tests.contract.support import Storage, entry, run_record, saga_state, unique

NOW = 1_790_000_000_000


async def test_rows_across_partitions_come_in_the_order_of_their_keys_from_behind_a_place(
    storage: Storage,
) -> None:
    table = unique("across").replace("-", "")
    for partition in ("a-1", "b-1", "b-2", "b-3", "c-1"):
        for row in ("x", "y"):
            await storage.tables.transact(table, [create({"PartitionKey": partition, "RowKey": row, "n": 1})])
    found = [
        (row["PartitionKey"], row["RowKey"])
        async for row, etag in storage.tables.across(table, after="b-1", until="b.", page=3)
        if etag
    ]
    assert found == [("b-2", "x"), ("b-2", "y"), ("b-3", "x"), ("b-3", "y")]


async def test_a_table_that_is_not_there_has_no_rows_across(storage: Storage) -> None:
    missing = unique("none").replace("-", "")
    assert [row async for row in storage.tables.across(missing, after="", until="~")] == []


async def test_many_rows_are_deleted_and_the_last_one_last_and_again_changes_nothing(
    storage: Storage,
) -> None:
    table, partition = unique("many").replace("-", ""), unique("p")
    names = [f"r-{number:04}" for number in range(230)]
    for start in range(0, len(names), 100):
        batch = names[start : start + 100]
        await storage.tables.transact(
            table, [upsert({"PartitionKey": partition, "RowKey": name}) for name in batch]
        )
    assert await delete_rows(storage.tables, table, partition, until="r-0009") == 10
    assert await delete_rows(storage.tables, table, partition, last="r-0100") == 220
    assert await delete_rows(storage.tables, table, partition, last="r-0100") == 0
    assert [row async for row in storage.tables.rows(table, partition, after="", until="~")] == []


async def test_a_saga_is_forgotten_with_its_history_and_outbox(storage: Storage) -> None:
    state = saga_state()
    saga = state.spec.saga_id
    await storage.sagas.create(state, cause="c", outbox=(), history=[entry(n) for n in range(120)][:90])
    await storage.sagas.forget(saga)
    await storage.sagas.forget(saga)
    assert await storage.sagas.history(saga) == []
    with pytest.raises(SagaNotFound):
        await storage.sagas.load(saga)


async def test_a_run_is_forgotten_in_parts_or_as_a_whole_and_leaves_the_lists(storage: Storage) -> None:
    table = unique("runs").replace("-", "")
    runs, listed = RunTable(storage.tables, table=table), RunList(storage.tables, table=table)
    record = run_record(unique("run"), vm_count=3)
    entries = [RunEntry(saga_id=f"{n}" * 20, vm_id=f"/vm{n}", outcome="failed") for n in (1, 2, 3)]
    shown = ListedRun(
        run_id=record.run_id, created_at=NOW, policy_name="nightly", requested_by="x", vm_count=3
    )
    await listed.put(shown)
    await runs.create(record, entries)
    assert await runs.is_active(record.run_id)
    await runs.retire(record.run_id)
    assert not await runs.is_active(record.run_id)

    await runs.forget_entries(record.run_id, entries[0].saga_id, entries[1].saga_id)
    assert [each.saga_id for each in await runs.page(record.run_id)] == [entries[2].saga_id]
    for _ in range(2):
        await runs.forget(record.run_id)
        await listed.forget(shown)
    with pytest.raises(RunNotFound):
        await runs.get(record.run_id)
    for policy in ("", "nightly"):
        assert await listed.page(policy=policy, since=None, until=None, after="", limit=9) == []


async def test_claims_are_listed_page_by_page_and_go_only_as_they_were_read(storage: Storage) -> None:
    claims = ClaimTable(storage.tables, table=unique("claims").replace("-", ""))
    for number in range(3):
        await claims.claim(f"key {number}", "digest", f"run-{number}", at=NOW + number if number else None)
    first = await claims.page(after="", size=2)
    rest = await claims.page(after=first[-1].place, size=2)
    by_run = {claim.run_id: claim for claim in (*first, *rest)}
    assert {run: claim.at for run, claim in by_run.items()} == {
        "run-0": None,
        "run-1": NOW + 1,
        "run-2": NOW + 2,
    }
    await claims.date(by_run["run-0"], NOW)
    assert not await claims.forget(by_run["run-0"])  # it was dated since
    assert await claims.forget(by_run["run-1"])
    assert await claims.claimed("key 1") is None
    assert {claim.at for claim in await claims.page(after="", size=9)} == {NOW, NOW + 2}


async def test_guests_are_known_by_their_last_use_and_go_only_as_they_were_read(storage: Storage) -> None:
    agents = AgentTable(storage.tables, table=unique("agents").replace("-", ""))
    await agents.note_use("/vm/a", NOW)
    await agents.note_use("/VM/A", NOW + 1)  # the same day: not written again
    await agents.put(ResidentAgent("/vm/a", "1.0", 1, NOW + 5))
    await agents.put(ResidentAgent("/vm/b", "1.0", 1, NOW))
    known = {each.partition: each for each in await agents.known(after="", size=10)}
    queues = {name: known[name].last_use for name in map(command_queue, ("/vm/a", "/vm/b"))}
    assert queues == {command_queue("/vm/a"): NOW, command_queue("/vm/b"): NOW}
    assert sorted(each.last_use for each in known.values()) == [NOW, NOW, NOW, NOW + 5]
    [one] = await agents.known(after="", size=1)
    rest = await agents.known(after=one.partition, size=9)
    assert [one.partition, *(each.partition for each in rest)] == sorted(known)
    await agents.note_seen(command_queue("/vm/b"), NOW + 9)
    assert not await agents.forget_known(known[command_queue("/vm/b")])  # it was used since
    assert await agents.is_known(command_queue("/vm/b"))
    assert await agents.forget_known(known[command_queue("/vm/a")])
    assert not await agents.is_known(command_queue("/vm/a"))


async def test_reservations_are_listed_and_who_has_a_forgotten_one_in_mind_begins_anew(
    storage: Storage,
) -> None:
    table = ReservationTable(storage.tables, table=unique("spent").replace("-", ""))
    mine = table.row("vm-1", Removed("nothing", 0))
    await mine.change(lambda row: (Removed(row.what, row.count + 1), None))
    await table.row("vm-2", Removed("nothing", 0)).change(lambda row: (Removed("x", 1), None))
    first = await table.all(after="", size=1)
    rest = await table.all(after=first[0].name, size=5)
    assert [row.name for row in (*first, *rest)] == ["vm-1", "vm-2"]
    assert await table.forget(first[0])
    assert await mine.change(lambda row: (Removed("again", 7), row.count)) == 0
    assert not await table.forget(first[0])


async def test_days_of_counts_up_to_one_are_forgotten(storage: Storage) -> None:
    counters = CounterTable(storage.tables, table=unique("counts").replace("-", ""))
    for day in ("2025-12-31", "2026-01-09", "2026-01-10", "2026-01-11", "2026-02-01"):
        await counters.add("acks", day, {"rejected": 1})
    assert await counters.forget_until("acks", "2026-01-10") == 3
    assert await counters.read("acks", "2026-01-10") == {}
    assert await counters.read("acks", "2026-01-11") == {"rejected": 1}


async def test_passes_are_kept_and_a_new_one_begins_when_one_has_ended(storage: Storage) -> None:
    table = HousekeepingTable(storage.tables, table=unique("passes").replace("-", ""))
    assert await table.passes() == type(await table.passes())()
    going_on = Pass(began_at=NOW, room="runs", after="x", removed=(Removed("runs", 2),))
    await table.go_on(going_on)
    assert (await table.passes()).now == going_on
    ended = Pass(began_at=NOW, ended_at=NOW + 1, failed=("runs: E",))
    await table.end(ended)
    assert ((await table.passes()).now, (await table.passes()).last) == (None, ended)


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
async def queues(request: pytest.FixtureRequest) -> AsyncIterator[Queues | MemoryQueues]:
    if request.param == "memory":
        yield MemoryQueues(lambda: NOW)
        return
    connection: Connection = request.getfixturevalue("connection")
    real = Queues(connection)
    yield real
    await real.close()


async def test_queues_are_listed_by_prefix_and_deleted(queues: Queues | MemoryQueues) -> None:
    prefix = unique("cmd") + "-"
    names = [f"{prefix}{number}" for number in range(5)]
    await queues.ensure(*names, unique("other"))
    found: list[str] = []
    marker = ""
    while True:
        page, marker = await queues.listed(prefix, marker)
        found += page
        if not marker:
            break
    assert found == names
    await queues.delete(names[1])
    await queues.delete(names[1])
    assert (await queues.listed(names[1]))[0] == []


async def test_the_oldest_messages_are_taken_hidden_and_deleted_by_their_receipts(
    queues: Queues | MemoryQueues,
) -> None:
    queue = unique("dead")
    assert await queues.oldest(queue, 2, 30) == []
    for text in ("one", "zwei, mit ä", "three"):
        await queues.send(queue, text)
    first, second = await queues.oldest(queue, 2, 30)
    assert {first.text, second.text} <= {"one", "zwei, mit ä", "three"}
    await queues.cancel(queue, first.receipt)
    assert await queues.count(queue) == 2


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
async def scripts(request: pytest.FixtureRequest) -> AsyncIterator[GuestScripts | MemoryScripts]:
    if request.param == "memory":
        yield MemoryScripts(lambda: time.time_ns() // 1_000_000)
        return
    connection: Connection = request.getfixturevalue("connection")
    real = GuestScripts(connection, lambda: time.time_ns() // 1_000_000)
    yield real
    await real.close()


async def test_a_script_says_when_it_was_stored_and_one_that_is_stored_again_is_not_deleted(
    scripts: GuestScripts | MemoryScripts,
) -> None:
    began = time.time_ns() // 1_000_000 - 1_000  # blobs tell whole seconds
    pins = [unique("pin") for _ in range(3)]
    for pin in pins:
        await scripts.put(pin, "true")
    found = []
    marker = ""
    while True:
        page, marker = await scripts.listed(marker)
        found += page
        if not marker:
            break
    stored = {script.pin: script for script in found}
    assert set(pins) <= set(stored)
    assert all(stored[pin].stored_at >= began for pin in pins)
    await scripts.put(pins[0], "true")
    assert not await scripts.delete(stored[pins[0]])
    assert await scripts.delete(stored[pins[1]])
    assert not await scripts.delete(stored[pins[1]])


async def test_a_name_that_cannot_be_used_yet_is_told_by_an_error_of_its_own(connection: Connection) -> None:

    queues = Queues(connection)

    class Refusing:
        async def create_queue(self, name: str) -> None:
            error = ResourceExistsError("the queue is being deleted")
            error.error_code = "QueueBeingDeleted"  # type: ignore[attr-defined]
            raise error

    queues._service.get = Refusing  # type: ignore[method-assign, assignment]
    with pytest.raises(QueueBeingDeleted, match="try again in 30 s") as refused:
        await queues.ensure("cmd-1")
    assert refused.value.queue == "cmd-1"
