"""The list of a group's snapshots is shared by the VMs that have it in common, while it is young."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local.arm.settings import SimSettings
from shared.compute import ClientPool
from shared.compute.credentials import LoopbackCredential
from shared.compute.group_lists import KEPT_MS, GroupLists
from tests.integration.compute.conftest import SNAPSHOTS, Azure, serving

LISTS = f"{SNAPSHOTS}/providers/Microsoft.Compute/snapshots"
PAGES = 2


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def listing(page_size: int) -> AsyncIterator[tuple[Azure, GroupLists, Clock]]:
    """Serve three snapshots, one of each disk, on pages of this size."""
    settings = SimSettings(capture_gap_s=0.0, snapshot_latency_s=0.0, page_size=page_size)
    async with serving(settings=settings) as azure:
        await azure.capture(await azure.targets())
        azure.world.journal.clear()
        pool, clock = ClientPool(LoopbackCredential, endpoint=azure.endpoint), Clock()
        try:
            yield azure, GroupLists(pool, clock), clock
        finally:
            await pool.close()


async def read(azure: Azure, lists: GroupLists) -> tuple[int, list[str]]:
    found = await lists.of(azure.world.subscription_id, SNAPSHOTS)
    disks = [str(disk.id) for disk in azure.world.resources.disks.values()]
    return found.read_at, [one.name.rpartition("-")[2] for one in found.of(disks)]


async def test_a_list_of_several_pages_is_read_once_for_all_who_ask() -> None:
    async with listing(page_size=2) as (azure, lists, clock):
        first = await read(azure, lists)
        clock.now += KEPT_MS - 1
        others = await asyncio.gather(*(read(azure, lists) for _ in range(20)))

        assert len(first[1]) == 3
        assert others == [first] * 20, "who uses it knows when it was read"
        assert len(azure.requests("GET", LISTS)) == PAGES


async def test_an_old_list_is_read_anew_by_one_of_those_who_ask() -> None:
    async with listing(page_size=2) as (azure, lists, clock):
        await read(azure, lists)
        clock.now += KEPT_MS
        others = await asyncio.gather(*(read(azure, lists) for _ in range(20)))

        assert {read_at for read_at, _ in others} == {clock.now}
        assert len(azure.requests("GET", LISTS)) == 2 * PAGES


async def test_a_list_of_one_page_is_never_kept() -> None:
    async with listing(page_size=100) as (azure, lists, clock):
        await read(azure, lists)
        clock.now += 1
        assert (await read(azure, lists))[0] == clock.now

        assert len(azure.requests("GET", LISTS)) == 2


async def test_a_disk_has_only_its_own_snapshots() -> None:
    async with listing(page_size=2) as (azure, lists, _):
        found = await lists.of(azure.world.subscription_id.upper(), SNAPSHOTS.upper())
        disks = [str(disk.id) for disk in azure.world.resources.disks.values()]

        assert [[one.disk_id.lower() for one in found.of([disk.upper()])] for disk in disks] == [
            [disk.lower()] for disk in disks
        ]
