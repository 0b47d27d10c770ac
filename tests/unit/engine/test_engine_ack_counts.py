"""Counting acks that were turned away or ignored: by reason, kept, and cheap whatever a flood brings."""

import asyncio
import logging

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.engine.ack_counts import FLUSH_EVERY_MS, LINES_AT_MOST, NAME, KeptAckCounts, day_of
from shared.engine.acknowledging import count_ignored
from shared.saga.events import AgentReady, Released
from shared.saga.machine import OTHER_GENERATION, OVER
from shared.storage.counters import CounterTable
from shared.storage.memory import MemoryTables
from tests.unit.engine.house import T0, TestClock

DAY = day_of(T0)


class Kept:
    """Counts over tables in memory; pauses end when the test lets them."""

    def __init__(self) -> None:
        self.tables, self.clock = MemoryTables(), TestClock()
        self.table = CounterTable(self.tables)
        self.pauses: list[float] = []
        self.go_on = asyncio.Event()
        self.counts = KeptAckCounts(self.table, self.clock, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.go_on.wait()
        self.clock.now += int(seconds * 1000)

    async def written(self) -> dict[str, int]:
        for _ in range(50):
            await asyncio.sleep(0)
        return await self.table.read(NAME, DAY)


async def test_the_first_is_written_at_once_and_a_flood_after_it_in_one_write() -> None:
    kept = Kept()
    kept.counts.turned_away("stranger")
    assert await kept.written() == {"rejected_stranger": 1}
    for _ in range(10_000):
        kept.counts.turned_away("bad_signature")
    assert await kept.written() == {"rejected_stranger": 1}
    kept.go_on.set()

    assert await kept.written() == {"rejected_stranger": 1, "rejected_bad_signature": 10_000}
    assert kept.pauses == [FLUSH_EVERY_MS / 1000]
    assert kept.tables._writes == 2


async def test_no_more_lines_are_logged_than_may_be_and_the_sum_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    kept = Kept()
    kept.counts.turned_away("stranger")
    await kept.written()
    spent = sum(kept.counts.turned_away("bad_signature") for _ in range(1_000))
    kept.go_on.set()
    await kept.written()

    assert spent == LINES_AT_MOST
    assert "stillframe acks: rejected=1000 rejected_bad_signature=1000" in caplog.text


async def test_counts_of_two_processes_and_of_two_tries_add_up() -> None:
    kept = Kept()
    other = KeptAckCounts(kept.table, kept.clock)
    kept.counts.turned_away("stranger")
    other.turned_away("stranger")

    assert await kept.written() == {"rejected_stranger": 2}


async def test_what_could_not_be_written_is_written_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    fails = iter([True])
    transact = MemoryTables.transact

    async def flaky(*arguments: object) -> object:
        if next(fails, False):
            raise ServiceRequestError("away")
        return await transact(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryTables, "transact", flaky)
    kept.counts.turned_away("stranger")
    assert await kept.written() == {}
    kept.go_on.set()

    assert await kept.written() == {"rejected_stranger": 1}


async def test_genuine_acks_that_move_nothing_are_counted_by_why_and_last_words_are_not() -> None:
    kept = Kept()
    count = count_ignored(kept.counts)
    ready = AgentReady(1, 1, "boot", dead_man_armed=True)
    for why in (OVER, OTHER_GENERATION, "nothing waits for it while quiescing", "repeated"):
        count(ready, why)
    count(Released(1, 2, was_held=False), "the session is over")
    kept.go_on.set()

    kinds = ("ignored_saga_done", "ignored_other_generation", "ignored_not_awaited", "ignored_repeated")
    assert await kept.written() == dict.fromkeys(kinds, 1)
