"""The contract of rows that many change at the same time; every test runs in memory and on Azurite."""

import asyncio
from dataclasses import dataclass

import pytest

from shared.storage.errors import ReservationsBusy
from shared.storage.reservations import LONGEST_PAUSE_S, TRIES, ReservationTable, Row
from shared.storage.tables import Operation, WriteRefused
from tests.contract.support import Storage, unique


@dataclass(frozen=True, slots=True)
class Count:
    """A record for a test."""

    number: int = 0


def add(known: Count) -> tuple[Count, int]:
    return Count(known.number + 1), known.number


async def value(storage: Storage, name: str) -> int:
    return (await ReservationTable(storage.tables).row(name, Count()).change(lambda row: (row, row))).number


async def test_a_change_is_there_for_every_other_process(storage: Storage) -> None:
    name = unique("row")
    assert await ReservationTable(storage.tables).row(name, Count()).change(add) == 0
    assert await ReservationTable(storage.tables).row(name, Count()).change(add) == 1

    assert await value(storage, name) == 2


async def test_of_a_hundred_changes_at_once_by_four_processes_none_is_lost_or_made_twice(
    storage: Storage,
) -> None:
    name, tables = unique("row"), [ReservationTable(storage.tables) for _ in range(4)]
    answers = await asyncio.gather(
        *(tables[number % 4].row(name, Count()).change(add) for number in range(100))
    )

    assert sorted(answers) == list(range(100))
    assert await value(storage, name) == 100


async def test_a_copy_that_is_out_of_date_is_read_again(storage: Storage) -> None:
    name, mine, others = unique("row"), ReservationTable(storage.tables), ReservationTable(storage.tables)
    await mine.row(name, Count()).change(add)
    await others.row(name, Count()).change(add)

    assert await mine.row(name, Count()).change(add) == 2


async def test_what_changes_nothing_is_not_written(storage: Storage) -> None:
    name = unique("row")

    assert (
        await ReservationTable(storage.tables).row(name, Count()).change(lambda row: (row, "same")) == "same"
    )
    assert await storage.tables.get("reservations", name, "now") is None


class AlwaysLate:
    """Tables in which another write comes first, every time."""

    def __init__(self) -> None:
        self.writes = 0

    async def get(self, *_: str) -> None:
        """There is no row, as far as can be seen."""

    async def transact(self, table: str, operations: list[Operation]) -> list[str]:
        self.writes += 1
        raise WriteRefused(table, 409)


async def test_who_loses_every_race_gives_up_after_so_many_tries_and_longer_and_longer_pauses() -> None:
    tables, pauses = AlwaysLate(), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    row: Row[Count] = Row(tables, "t", ("p", "now"), Count(), pause=pause)  # type: ignore[arg-type]
    with pytest.raises(ReservationsBusy) as raised:
        await row.change(add)

    assert raised.value.row == "p"
    assert (tables.writes, len(pauses)) == (TRIES, TRIES - 1)
    assert all(0 <= seconds <= LONGEST_PAUSE_S for seconds in pauses)


async def test_all_who_go_together_learn_that_it_failed() -> None:
    async def pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    row: Row[Count] = Row(AlwaysLate(), "t", ("p", "now"), Count(), pause=pause)  # type: ignore[arg-type]
    ended = await asyncio.gather(*(row.change(add) for _ in range(5)), return_exceptions=True)

    assert [type(each) for each in ended] == [ReservationsBusy] * 5


async def test_who_is_cancelled_while_it_writes_for_others_leaves_none_of_them_waiting(
    storage: Storage,
) -> None:
    name, table = unique("row"), ReservationTable(storage.tables)
    first = asyncio.create_task(table.row(name, Count()).change(add))
    others = [asyncio.create_task(table.row(name, Count()).change(add)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    ended = await asyncio.wait_for(asyncio.gather(first, *others, return_exceptions=True), 30)

    assert isinstance(ended[0], asyncio.CancelledError)
    told = [each for each in ended[1:] if not isinstance(each, ReservationsBusy)]
    assert all(isinstance(each, int) for each in told)
    assert await value(storage, name) >= len(told)
