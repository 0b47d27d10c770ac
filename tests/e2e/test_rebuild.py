"""The catalogue lost and rebuilt from tags, on a whole stack, by the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueServiceClient

from local.stack.stack import GROUP, Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.scene import SOON_S, ledger, left_in_poison_queues, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).resolve().parents[2]
NEVER = "0 0 0 1 1 *"
OPTIONS = StackOptions(
    settings={"STILLFRAME_RETENTION_TIMER": NEVER, "STILLFRAME_RECONCILIATION_TIMER": NEVER}
)
#: What tags tell of a recovery point.
TOLD = (
    *("point", "vm", "name", "policy", "run", "state", "outcome", "grade", "created_at", "freeze_window_ms"),
    *("warnings", "generation", "copies", "missing", "evidence_sha256"),
)


async def rebuild_index(stack: Stack, *arguments: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "rebuild-index", f"{stack.world.subscription_id}/{GROUP}"),
        *(*arguments, "-o", "json"),
        cwd=ROOT,
        env=os.environ | {"HOME": "/nonexistent", "STILLFRAME_URL": stack.api.base},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, json.loads(out)


async def lose(stack: Stack, *tables: str) -> None:
    """Delete all rows of tables, behind the app's back, and let another instance of the app begin."""
    async with TableServiceClient.from_connection_string(stack.storage.connection_string) as service:
        for name in tables:
            table = service.get_table_client(name)
            async for row in table.list_entities(select=["PartitionKey", "RowKey"]):
                await table.delete_entity(row["PartitionKey"], row["RowKey"])
    await stack.host.stop()
    await stack.host.start()


async def until_points_are_done(stack: Stack) -> None:
    """Wait until no message about points is left, neither waiting nor being worked on."""
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        queue = service.get_queue_client("stillframe-points")

        async def empty() -> bool:
            return (await queue.get_queue_properties()).approximate_message_count == 0

        await until(empty, within_s=SOON_S, what="the points queue empty")


async def points(stack: Stack) -> dict[str, dict[str, Any]]:
    listed = (await stack.api.call("GET", "/api/recovery-points?limit=1000"))[2]["items"]
    return {each["point"]: (await stack.api.call("GET", each["href"]))[2] for each in listed}


async def test_a_lost_catalogue_is_rebuilt_from_tags_and_nothing_of_it_is_deleted(stack: Stack) -> None:
    async with ledger(stack, "lost") as vm:
        plain = await plain_vm(stack, "plain")
        rules = {"retention": {"keep_last": 1}, "guest_processing": {"enabled": False}}
        await stack.api.call("PUT", "/api/policies/kept", {"vms": [plain.id], **rules})
        await vm.run_to_end()
        for _ in range(2):
            await plain.ended(await stack.api.start_run({"policy": "kept"}))
        whole = {"recovery_point": "restore_point"}
        by_point = await plain.run_to_end({"enabled": False}, snapshots=whole)
        before = await points(stack)
        assert len(before) == 4
        there = vm.snapshots() | plain.snapshots()

        await lose(stack, "points", "sagas")
        assert await points(stack) == {}
        code, shown = await rebuild_index(stack)
        assert (code, {each["action"] for each in shown["items"]}) == (0, {"create"})
        assert await points(stack) == {}
        code, done = await rebuild_index(stack, "--yes")
        assert (code, done["items"]) == (0, shown["items"])

        after = await points(stack)
        assert list(after) == list(before)
        for point, was in before.items():
            now = after[point]
            assert {name: now[name] for name in TOLD} == {name: was[name] for name in TOLD}
            assert set(now["resources"]) == set(was["resources"])
            assert (now["rebuilt"], now["lacking"], now["evidence"]) == (True, [], None)
            assert now["hold"]["until"] is None
        assert after[by_point["saga"]]["resources"] == before[by_point["saga"]]["resources"]

        await stack.api.call("POST", "/api/retention/kept/apply")
        await until_points_are_done(stack)
        assert await left_in_poison_queues(stack) == {}
        assert vm.snapshots() | plain.snapshots() == there
        code, again = await rebuild_index(stack, "--yes")
        assert (code, {each["action"] for each in again["items"]}) == (0, {"known"})
        assert await points(stack) == after

        await stack.api.call("POST", "/api/reconciliation")
        await until_points_are_done(stack)
        assert await left_in_poison_queues(stack) == {}
        assert (await stack.api.call("GET", "/api/reconciliation"))[2]["items"] == []
