"""The contract of the counts by day; every test runs in memory and on Azurite."""

import asyncio

from shared.storage.counters import CounterTable
from tests.contract.support import Storage, unique


async def test_counts_of_a_day_are_added_up_by_kind(storage: Storage) -> None:
    counters, name = CounterTable(storage.tables), unique("acks")
    await counters.add(name, "2026-01-31", {"stranger": 2})
    await counters.add(name, "2026-01-31", {"stranger": 1, "bad_signature": 2**33})
    await counters.add(name, "2026-02-01", {"stranger": 5})

    assert await counters.read(name, "2026-01-31") == {"stranger": 3, "bad_signature": 2**33}
    assert await counters.read(name, "2026-02-02") == {}


async def test_of_counts_added_at_once_none_is_lost(storage: Storage) -> None:
    counters, name = CounterTable(storage.tables), unique("acks")
    await counters.add(name, "2026-01-31", {"stranger": 1})
    await asyncio.gather(*(counters.add(name, "2026-01-31", {"stranger": 1}) for _ in range(3)))

    assert await counters.read(name, "2026-01-31") == {"stranger": 4}
