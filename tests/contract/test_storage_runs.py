"""The contract of run storage; every test runs in memory and on Azurite."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.saga.timeline import Hold, PhaseStart, Timeline
from shared.storage.errors import IdempotencyMismatch, RunExists, RunNotFound
from shared.storage.memory import MemoryTables
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.tables import Operation, WriteRefused
from tests.contract.support import Storage, run_record, unique


def entries(count: int) -> list[RunEntry]:
    return [
        RunEntry(saga_id=f"saga-{number:05}", vm_id=f"/subscriptions/s/vm{number}") for number in range(count)
    ]


async def everything(storage: Storage, run_id: str) -> list[RunEntry]:
    return [entry async for entry in storage.runs.entries(run_id)]


async def active(storage: Storage) -> set[str]:
    return {run_id async for run_id in storage.runs.active()}


async def test_a_created_run_is_read_as_it_was_written(storage: Storage) -> None:
    record = run_record(unique("run"), 2, settings={"guest": {"pre_script": "ä" * 40_000}})

    await storage.runs.create(record, entries(2))

    assert await storage.runs.get(record.run_id) == record
    assert await everything(storage, record.run_id) == entries(2)
    assert record.run_id in await active(storage)


@pytest.mark.parametrize("count", [0, 99, 100, 250])
async def test_a_run_of_any_size_is_paged_without_loss(storage: Storage, count: int) -> None:
    run_id = unique("run")
    await storage.runs.create(run_record(run_id, count), entries(count))

    paged: list[RunEntry] = []
    sizes = []
    while True:
        page = await storage.runs.page(run_id, paged[-1].saga_id if paged else None)
        sizes.append(len(page))
        paged += page
        if len(page) < 100:
            break

    assert paged == entries(count)
    assert sizes == [100] * (count // 100) + [count % 100]
    assert await everything(storage, run_id) == entries(count)


async def test_a_run_that_was_never_created_is_not_found(storage: Storage) -> None:
    for attempt in (
        storage.runs.get("run-nobody"),
        storage.runs.request_cancel("run-nobody"),
        storage.runs.end_entry("run-nobody", entries(1)[0]),
    ):
        with pytest.raises(RunNotFound) as raised:
            await attempt
        assert raised.value.run_id == "run-nobody"
    assert await storage.runs.page("run-nobody") == []


@pytest.mark.parametrize("count", [3, 150])
async def test_creating_the_same_run_again_changes_nothing(storage: Storage, count: int) -> None:
    record = run_record(unique("run"), count)
    await storage.runs.create(record, entries(count))
    ended = replace(entries(1)[0], outcome="succeeded", ended_at=1_790_000_001_000)
    await storage.runs.end_entry(record.run_id, ended)

    await storage.runs.create(record, entries(count))

    assert await everything(storage, record.run_id) == [ended, *entries(count)[1:]]


async def test_a_different_run_of_the_same_id_is_refused(storage: Storage) -> None:
    record = run_record(unique("run"), 1)
    await storage.runs.create(record, entries(1))

    with pytest.raises(RunExists):
        await storage.runs.create(replace(record, requested_by="somebody else"), entries(2))

    assert await storage.runs.get(record.run_id) == record
    assert await everything(storage, record.run_id) == entries(1)


async def test_an_entry_ends_once_and_again_with_the_same_result(storage: Storage) -> None:
    run_id = unique("run")
    await storage.runs.create(run_record(run_id, 2), entries(2))
    ended = replace(
        entries(2)[1],
        outcome="degraded",
        grade="crash",
        freeze_window_ms=0,
        reason="the guest could not be held: " + "x" * 20_000,
        started_at=1_790_000_000_000,
        ended_at=1_790_000_009_999,
    )

    await storage.runs.end_entry(run_id, ended)
    await storage.runs.end_entry(run_id, ended)

    assert await everything(storage, run_id) == [entries(2)[0], replace(ended, reason=ended.reason[:8_000])]


async def test_a_run_stays_cancelled_once_asked(storage: Storage) -> None:
    record = run_record(unique("run"), 1)
    await storage.runs.create(record, entries(1))

    await storage.runs.request_cancel(record.run_id)
    await storage.runs.request_cancel(record.run_id)

    assert await storage.runs.get(record.run_id) == replace(record, cancel_requested=True)


async def test_a_retired_run_is_walked_no_more_but_can_be_read(storage: Storage) -> None:
    record = run_record(unique("run"), 1)
    await storage.runs.create(record, entries(1))

    await storage.runs.retire(record.run_id)
    await storage.runs.retire(record.run_id)

    assert record.run_id not in await active(storage)
    assert await storage.runs.get(record.run_id) == record


async def test_the_first_claim_of_an_idempotency_key_counts(storage: Storage) -> None:
    key = unique("any text / with ? odd # characters ä")

    assert await storage.claims.claim(key, "digest", "run-1") == "run-1"
    assert await storage.claims.claim(key, "digest", "run-2") == "run-1"

    with pytest.raises(IdempotencyMismatch) as raised:
        await storage.claims.claim(key, "another digest", "run-3")
    assert (raised.value.idempotency_key, raised.value.run_id) == (key, "run-1")


async def test_claims_at_the_same_moment_agree_on_one_run(storage: Storage) -> None:
    key = unique("key")

    answers = await asyncio.gather(
        *(storage.claims.claim(key, "digest", f"run-{number}") for number in range(8))
    )

    assert len(set(answers)) == 1


async def test_a_creation_that_was_refused_while_there_is_no_such_run_is_not_taken_for_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = MemoryTables()
    runs = RunTable(tables)
    transact = tables.transact

    async def refusing(table: str, operations: Sequence[Operation]) -> list[str]:
        if any(entity["RowKey"] == "run" for _, entity, _ in operations):
            raise WriteRefused(table, 412)
        return await transact(table, operations)

    monkeypatch.setattr(tables, "transact", refusing)
    with pytest.raises(WriteRefused):
        await runs.create(run_record("run-1", 1), entries(1))


async def test_an_entry_keeps_its_timeline_unless_that_is_too_long_for_a_column(storage: Storage) -> None:
    run_id = unique("run")
    await storage.runs.create(run_record(run_id, 2), entries(2))
    hold = Hold(generation=1, start=1, limit=30_001, end=1_901, released_by="order")
    timeline = Timeline((PhaseStart("preflight", 0, 0), PhaseStart("done", 9, 1)), (hold,), (700, 750))
    ended = replace(entries(1)[0], outcome="failed", what_to_do="Look at the disk.", timeline=timeline)
    await storage.runs.end_entry(run_id, ended)
    longest = Timeline(tuple(PhaseStart("arming", at, at) for at in range(2_000)))
    await storage.runs.end_entry(run_id, replace(entries(2)[1], outcome="failed", timeline=longest))

    first, second = await everything(storage, run_id)

    assert first == ended
    assert (second.outcome, second.timeline) == ("failed", None)
    await storage.runs.end_entry(run_id, replace(ended, timeline=None))  # the sweep ends it again
    assert (await everything(storage, run_id))[0] == ended
