"""The contract of turns and of the list of runs; every test runs in memory and on Azurite."""

import asyncio

import pytest

from shared.storage.errors import TurnsBusy
from shared.storage.run_list import Figures, ListedRun, RunList
from shared.storage.run_records import RunEntry
from shared.storage.tables import Operation, WriteRefused
from shared.storage.turns import Turn, TurnTable
from tests.contract.support import Storage, unique


def entries(count: int) -> list[RunEntry]:
    return [
        RunEntry(saga_id=f"saga-{place:03}", vm_id=f"/vm-{place}", place=place)
        for place in range(1, count + 1)
    ]


def turn(place: int) -> Turn:
    return Turn(f"saga-{place:03}", f"/vm-{place}", place)


async def test_each_end_lets_the_next_begin_and_the_same_one_each_time(storage: Storage) -> None:
    turns, run = TurnTable(storage.tables), unique("run")
    await turns.create(run, entries(4), 2)
    assert await turns.next_place(run) == 3

    assert await turns.pass_on(run, "saga-002") == turn(3)
    assert await turns.pass_on(run, "saga-001") == turn(4)
    assert await turns.pass_on(run, "saga-002") == turn(3)
    assert await turns.pass_on(run, "saga-003") is None
    assert await turns.passed_on(run, "saga-001", "saga-003") == {"saga-001", "saga-002"}


async def test_of_many_that_end_at_once_no_two_let_the_same_one_begin(storage: Storage) -> None:
    tables, run = [TurnTable(storage.tables) for _ in range(4)], unique("run")
    await tables[0].create(run, entries(120), 8)
    begun = await asyncio.gather(
        *(tables[number % 4].pass_on(run, f"saga-{number + 1:03}") for number in range(8))
    )

    assert sorted(each.place for each in begun if each) == list(range(9, 17))


async def test_an_order_that_is_written_again_takes_no_turn_back(storage: Storage) -> None:
    turns, run = TurnTable(storage.tables), unique("run")
    await turns.create(run, entries(3), 1)
    await turns.pass_on(run, "saga-001")
    await turns.create(run, entries(3), 1)

    assert await turns.next_place(run) == 3


async def test_a_run_without_turns_passes_none_on(storage: Storage) -> None:
    turns, run = TurnTable(storage.tables), unique("run")

    assert await turns.pass_on(run, "saga-001") is None
    assert await turns.next_place(run) == 0


class AlwaysLate:
    """Tables in which another write comes first, every time."""

    async def get(self, _table: str, _partition: str, row: str) -> object:
        return ({"next": 2, "total": 9}, "etag") if row == "progress" else None

    async def transact(self, table: str, operations: list[Operation]) -> list[str]:
        raise WriteRefused(table, 412)


async def test_who_never_gets_to_pass_its_turn_on_says_so() -> None:
    async def pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    turns = TurnTable(AlwaysLate(), pause=pause)  # type: ignore[arg-type]
    with pytest.raises(TurnsBusy) as raised:
        await turns.pass_on("run", "saga")
    assert raised.value.run_id == "run"


def run_of(policy: str, run_id: str, at: int, figures: Figures | None = None) -> ListedRun:
    return ListedRun(
        run_id=run_id,
        created_at=at,
        policy_name=policy,
        requested_by="http",
        vm_count=2**33,
        figures=figures,
    )


async def test_runs_of_a_policy_are_listed_newest_first_between_two_times(storage: Storage) -> None:
    runs, policy = RunList(storage.tables), unique("nightly")
    made = [run_of(policy, f"r{at}", at) for at in (1_000, 2_000, 3_000, 1_800_000_000_000)]
    for run in made:
        await runs.put(run)

    async def found(after: str = "", limit: int = 10, **span: int) -> list[str]:
        times = {"since": None, "until": None} | span
        page = await runs.page(policy=policy, after=after, limit=limit, **times)
        return [run.run_id for run in page]

    assert await found() == ["r1800000000000", "r3000", "r2000", "r1000"]
    assert await found(since=2_000, until=3_000) == ["r2000"]
    assert await found(after=made[2].place, limit=1) == ["r2000"]
    assert await found(since=3_000, until=2_000) == []


async def test_figures_are_added_to_a_run_and_stay(storage: Storage) -> None:
    runs, policy = RunList(storage.tables), unique("nightly")
    figures = Figures(ended=2, failed=1, warnings=3)
    await runs.put(run_of(policy, "r1", 1_000))
    await runs.put(run_of(policy, "r1", 1_000, figures))
    await runs.put(run_of(policy, "r1", 1_000))

    [run] = await runs.page(policy=policy, since=None, until=None, after="", limit=10)
    assert run == run_of(policy, "r1", 1_000, figures)
