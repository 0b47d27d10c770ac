"""The saga cache: what it keeps, and that a stale copy can do no harm. In memory."""

import asyncio

import pytest

from shared.saga.state import Phase
from shared.storage.cache import CachedSagas
from shared.storage.errors import SagaChanged, SagaNotFound
from shared.storage.memory import MemoryTables
from shared.storage.sagas import SagaTable, StoredSaga
from tests.contract.support import entry, saga_state


async def test_what_was_written_is_loaded_without_a_read_and_marked() -> None:
    tables = MemoryTables()
    cached = CachedSagas(SagaTable(tables))
    created = await cached.create(saga_state("s1"), cause="start", outbox=[], history=[entry(1)])
    assert not created.cached
    await SagaTable(tables).save(created, saga_state("s1", Phase.DONE), cause="x", outbox=[], history=[])

    copy = await cached.load("s1")
    assert (copy.cached, copy.state.phase) == (True, Phase.PENDING)

    fresh = await cached.reload("s1")
    assert (fresh.cached, fresh.state.phase) == (False, Phase.DONE)
    assert (await cached.load("s1")).state.phase == Phase.DONE
    assert await cached.history("s1") == [entry(1)]


async def test_a_save_upon_a_stale_copy_is_refused_and_the_copy_forgotten() -> None:
    tables = MemoryTables()
    cached, other = CachedSagas(SagaTable(tables)), SagaTable(tables)
    await cached.create(saga_state("s1"), cause="start", outbox=[], history=[])
    await other.save(
        await other.load("s1"), saga_state("s1", Phase.ARMING), cause="facts", outbox=[], history=[]
    )

    stale = await cached.load("s1")
    with pytest.raises(SagaChanged):
        await cached.save(stale, saga_state("s1", Phase.DONE), cause="cancel", outbox=[], history=[])

    again = await cached.load("s1")
    assert (again.cached, again.state.phase) == (False, Phase.ARMING)
    await cached.save(again, saga_state("s1", Phase.DONE), cause="cancel", outbox=[], history=[])
    assert (await other.load("s1")).state.phase == Phase.DONE


async def test_a_save_upon_a_copy_that_is_not_stale_succeeds() -> None:
    cached = CachedSagas(SagaTable(MemoryTables()))
    await cached.create(saga_state("s1"), cause="start", outbox=[], history=[])

    copy = await cached.load("s1")
    saved = await cached.save(copy, saga_state("s1", Phase.ARMING), cause="facts", outbox=[], history=[])

    assert not saved.cached
    assert (await cached.load("s1")).state.phase == Phase.ARMING


async def test_only_the_sagas_used_last_are_kept() -> None:
    tables = MemoryTables()
    cached = CachedSagas(SagaTable(tables), size=2)
    for saga_id in ("s1", "s2"):
        await cached.create(saga_state(saga_id), cause="start", outbox=[], history=[])
    await cached.load("s1")
    await cached.create(saga_state("s3"), cause="start", outbox=[], history=[])

    kept = {saga_id: (await cached.load(saga_id)).cached for saga_id in ("s1", "s3", "s2")}

    assert kept == {"s1": True, "s3": True, "s2": False}


async def test_a_saga_that_does_not_exist_is_not_remembered_as_missing() -> None:
    tables = MemoryTables()
    cached = CachedSagas(SagaTable(tables))
    with pytest.raises(SagaNotFound):
        await cached.load("s1")

    await SagaTable(tables).create(saga_state("s1"), cause="start", outbox=[], history=[])

    assert (await cached.load("s1")).state == saga_state("s1")


async def test_a_load_that_crosses_a_save_does_not_put_the_older_copy_back() -> None:
    tables = MemoryTables()
    slow = SlowReads(SagaTable(tables))
    cached = CachedSagas(slow)
    created = await cached.create(saga_state("s1"), cause="start", outbox=[], history=[])

    reading = asyncio.create_task(cached.reload("s1"))
    await slow.has_read.wait()
    await cached.save(created, saga_state("s1", Phase.ARMING), cause="facts", outbox=[], history=[])
    slow.go_on.set()
    assert (await reading).state.phase == Phase.PENDING

    assert (await cached.load("s1")).state.phase == Phase.ARMING


class SlowReads(SagaTable):
    """Reads that hold their answer back until told to go on."""

    def __init__(self, inner: SagaTable) -> None:
        super().__init__(inner._storage)
        self.has_read = asyncio.Event()
        self.go_on = asyncio.Event()

    async def load(self, saga_id: str) -> StoredSaga:
        stored = await super().load(saga_id)
        self.has_read.set()
        await self.go_on.wait()
        return stored
