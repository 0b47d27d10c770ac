"""The contract of groups, which their members change at the same time; in memory and on Azurite."""

import asyncio

import pytest

from shared.saga.group import Barrier, Fell, GroupRules, Joined, Open, advance_group, new_group
from shared.saga.one_instant import Share
from shared.storage.errors import GroupNotFound
from shared.storage.groups import GroupRecord, GroupTable, MemberShare
from tests.contract.support import Storage, unique

NOW = 1_800_000_000_000
SHARE = Share(held_from=NOW, held_until=NOW + 9, first=NOW + 1, last=NOW + 4, window_ms=12)
SAGAS = tuple(f"saga-{number}" for number in range(8))


def group(name: str = "shop", sagas: tuple[str, ...] = SAGAS) -> GroupRecord:
    state = new_group(GroupRules(), sagas)
    return GroupRecord(name=name, state=state, vms=tuple(f"/vms/{saga}" for saga in sagas))


async def join(table: GroupTable, run: str, saga: str, barrier: Barrier = Barrier.ARMED) -> list[Open]:
    def how(record: GroupRecord) -> tuple[GroupRecord, list[Open]]:
        step = advance_group(record.state, Joined(saga, 1, barrier), NOW)
        after = GroupRecord(name=record.name, state=step.state, vms=record.vms)
        return after, [effect for effect in step.effects if isinstance(effect, Open)]

    return await table.change(run, "shop", how)


async def test_a_group_is_read_as_it_was_written(storage: Storage) -> None:
    run, table = unique("run"), GroupTable(storage.tables)
    whole = GroupRecord(
        name="shop",
        state=advance_group(group().state, Fell("saga-1", 1, "it failed"), NOW).state,
        vms=group().vms,
        shares=(MemberShare(saga="saga-0", attempt=1, share=SHARE),),
    )
    await table.create(run, [group("other"), whole])

    assert await table.get(run, "shop") == whole
    assert await table.of_run(run) == [group("other"), whole]
    assert await table.of_run(unique("run")) == []


async def test_a_group_that_is_there_stays_as_it_is(storage: Storage) -> None:
    run, table = unique("run"), GroupTable(storage.tables)
    await table.create(run, [group()])
    await join(table, run, "saga-0")
    before = await table.get(run, "shop")
    await GroupTable(storage.tables).create(run, [group("new"), group()])

    assert await table.get(run, "shop") == before
    assert await table.get(run, "new") == group("new")


async def test_of_members_that_come_at_once_to_four_processes_one_opens_the_barrier(
    storage: Storage,
) -> None:
    run, processes = unique("run"), [GroupTable(storage.tables) for _ in range(4)]
    await processes[0].create(run, [group()])
    told = await asyncio.gather(
        *(join(processes[number % 4], run, saga) for number, saga in enumerate(SAGAS))
    )

    [opened] = [effect for effects in told for effect in effects]
    assert opened == Open(1, Barrier.ARMED, SAGAS)
    assert (await processes[0].get(run, "shop")).state.opened is Barrier.ARMED


async def test_what_another_process_has_changed_is_seen_without_a_write(storage: Storage) -> None:
    run, mine, others = unique("run"), GroupTable(storage.tables), GroupTable(storage.tables)
    await mine.create(run, [group(sagas=("saga-0", "saga-1"))])
    await join(mine, run, "saga-0")
    await join(others, run, "saga-1")

    assert await join(mine, run, "saga-0") == [Open(1, Barrier.ARMED, ("saga-0",))]


async def test_a_group_that_is_not_there_is_not_made_by_a_change(storage: Storage) -> None:
    run, table = unique("run"), GroupTable(storage.tables)
    with pytest.raises(GroupNotFound) as caught:
        await join(table, run, "saga-0")
    assert (caught.value.run_id, caught.value.name) == (run, "shop")
    with pytest.raises(GroupNotFound):
        await table.get(run, "shop")
