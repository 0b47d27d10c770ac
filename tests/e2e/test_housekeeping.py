"""What a run left in real storage goes when its time has come, and the stack goes on without it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.storage.queue.aio import QueueServiceClient

from local.stack.api import ApiError
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.housekeeping.claims import OldClaims
from shared.engine.housekeeping.counts import OldCounts
from shared.engine.housekeeping.guests import IdleGuests, UnknownQueues
from shared.engine.housekeeping.letters import DeadLetters
from shared.engine.housekeeping.passes import Housekeeping
from shared.engine.housekeeping.reserved import SpentReservations
from shared.engine.housekeeping.runs import OldRuns
from shared.engine.housekeeping.scripts import OldScripts
from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.connection import read_connection
from shared.storage.counters import CounterTable
from shared.storage.guest_queues import command_queue
from shared.storage.guest_scripts import GuestScripts
from shared.storage.housekeeping import HousekeepingTable, Pass
from shared.storage.points import PointTable
from shared.storage.queues import Queues
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import RunList
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables
from tests.e2e.scene import BEST, SOON_S, Machine, invoke, ledger_vm, outcome
from tests.unit.triggers.contract import faults

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = StackOptions(settings={"STILLFRAME_HOUSEKEEPING_TIMER": "0 0 0 1 1 *"})  # by hand alone
DAY_MS = 24 * 3_600_000


@asynccontextmanager
async def later(stack: Stack, days: int) -> AsyncIterator[Housekeeping]:
    """Give a housekeeping over the stack's own storage whose clock is ahead."""
    connection = read_connection("Storage", {"Storage": stack.storage.connection_string})

    def clock() -> int:
        return time.time_ns() // 1_000_000 + days * DAY_MS

    tables, queues, scripts = Tables(connection), Queues(connection), GuestScripts(connection, clock)
    runs, points, agents = RunTable(tables), PointTable(tables), AgentTable(tables)
    rooms = (
        OldRuns(RunList(tables), runs, SagaTable(tables), points),
        OldClaims(ClaimTable(tables), runs),
        OldScripts(scripts, runs),
        UnknownQueues(queues, agents),
        IdleGuests(queues, agents),
        SpentReservations(ReservationTable(tables)),
        OldCounts(CounterTable(tables)),
        DeadLetters(queues),
    )
    yield Housekeeping(rooms, HousekeepingTable(tables), clock, keep_days=400)
    for client in (tables, queues, scripts):
        await client.close()


async def kept_house(stack: Stack, days: int) -> dict[str, int]:
    async with later(stack, days) as housekeeping:
        passed: Pass | None = await housekeeping.go_on()
    assert passed is not None
    assert (passed.failed, passed.ended_at is not None) == ((), True)
    return {one.what: one.count for one in passed.removed}


async def health(stack: Stack) -> dict[str, Any]:
    _, _, report = await stack.api.call("GET", "/api/health")
    assert faults("Health", dict(report)) == []
    return dict(report)


async def status_of(stack: Stack, path: str) -> int:
    try:
        status, _, _ = await stack.api.call("GET", path)
    except ApiError as refused:
        return refused.status
    return status


async def queues_of(stack: Stack) -> set[str]:
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        return {queue.name async for queue in service.list_queues(name_starts_with="cmd-")}


async def rows_about(stack: Stack, *partitions: str) -> int:
    connection = read_connection("Storage", {"Storage": stack.storage.connection_string})
    tables, count = Tables(connection), 0
    for table in ("runs", "sagas"):
        for partition in partitions:
            rows = tables.rows(table, partition, after="", until="~")
            count += len([row async for row, _ in rows])
    await tables.close()
    return count


async def test_a_run_goes_when_its_time_has_come_and_its_recovery_point_has_gone(stack: Stack) -> None:
    vm: Machine = await ledger_vm(stack, "kept-house")
    view = await vm.run_to_end()
    assert outcome(view) == BEST
    run, saga = view["run"], view["saga"]

    async def retired() -> bool:
        await invoke(stack, "sweep")
        return not await rows_about(stack, "active")

    await until(retired, within_s=SOON_S, what="the run is retired")
    assert set(await kept_house(stack, 399)) <= {"reservations"}
    assert (await kept_house(stack, 500)).get("runs") is None  # its recovery point is there
    assert await status_of(stack, f"/api/runs/{run}/vms/{saga}") == 200
    assert await queues_of(stack) == set()  # nobody used it for 500 days

    await stack.api.call("DELETE", f"/api/recovery-points/{saga}?newest=allow")

    async def deleted() -> bool:
        _, _, point = await stack.api.call("GET", f"/api/recovery-points/{saga}")
        return bool(point["state"] == "deleted")

    await until(deleted, within_s=SOON_S, what="the recovery point is deleted")
    removed = await kept_house(stack, 510)
    assert (removed["runs"], removed["sagas"]) == (1, 1)
    assert await rows_about(stack, run, saga) == 0
    assert await status_of(stack, f"/api/runs/{run}") == 404
    _, _, listed = await stack.api.call("GET", "/api/runs")
    assert run not in {each["run"] for each in listed["items"]}
    shown = (await health(stack))["last_housekeeping"]
    assert shown["removed"]["runs"] == 1

    again = await vm.run_to_end()  # its queue is made anew
    assert outcome(again) == BEST
    assert await queues_of(stack) == {command_queue(vm.id)}


async def test_the_timer_does_a_pass_that_health_shows(stack: Stack) -> None:
    connection = read_connection("Storage", {"Storage": stack.storage.connection_string})
    tables = Tables(connection)
    long_ago = time.time_ns() // 1_000_000 - 2 * DAY_MS
    await HousekeepingTable(tables).end(Pass(began_at=long_ago, ended_at=long_ago))
    await tables.close()
    await invoke(stack, "housekeeping")

    async def passed() -> bool:
        shown = (await health(stack))["last_housekeeping"]
        return shown["ended_at"] is not None and shown["began_at"] > "2" and shown["not_cleaned"] == []

    await until(passed, within_s=SOON_S, what="a pass has ended")
