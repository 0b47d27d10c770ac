"""The implementations that must keep the storage contract: in memory, and on Azurite."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from local.azurite import AzuriteProcess
from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.clients import queue_service
from shared.storage.connection import Connection, read_connection
from shared.storage.findings import FindingTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.memory import memory_storage
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.queues import Queues
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.sas import QueueSigner
from shared.storage.tables import Tables
from tests.contract.support import Requests, Storage

_POLL_S = 0.05


class Clock:
    """A clock in ms that only moves when told to."""

    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    if request.param == "memory":
        yield _in_memory()
        return
    connection = request.getfixturevalue("connection")
    tables, queues = Tables(connection), Queues(connection)
    guest_queues = GuestQueues(Queues(connection), QueueSigner(connection, wall_clock), wall_clock)
    reader = queue_service(connection)

    async def receive(queue: str, within_ms: int) -> str | None:
        from azure.storage.queue import TextBase64DecodePolicy  # noqa: PLC0415 - heavy, and only needed here

        client = reader.get_queue_client(queue, message_decode_policy=TextBase64DecodePolicy())
        deadline = time.monotonic() + within_ms / 1000
        while True:
            message = await client.receive_message(visibility_timeout=600)
            if message is not None:
                return str(message.content)
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(_POLL_S)

    yield Storage(
        tables=tables,
        sagas=SagaTable(tables),
        runs=RunTable(tables),
        claims=ClaimTable(tables),
        policies=PolicyTable(tables),
        points=PointTable(tables),
        findings=FindingTable(tables),
        agents=AgentTable(tables),
        queues=queues,
        guest_queues=guest_queues,
        receive=receive,
        now=wall_clock,
    )
    for client in (tables, queues, guest_queues, reader):
        await client.close()


def _in_memory() -> Storage:
    clock = Clock()
    memory = memory_storage(clock)

    async def receive(queue: str, within_ms: int) -> str | None:
        received = memory.queues.receive(queue, limit=1)
        if not received:
            clock.ms += within_ms
            received = memory.queues.receive(queue, limit=1)
        return received[0].text if received else None

    return Storage(
        tables=memory.tables,
        sagas=memory.sagas,
        runs=memory.runs,
        claims=memory.claims,
        policies=memory.policies,
        points=memory.points,
        findings=memory.findings,
        agents=memory.agents,
        queues=memory.queues,
        guest_queues=memory.guest_queues,
        receive=receive,
        now=clock,
    )


@pytest.fixture
def connection(azurite: AzuriteProcess) -> Connection:
    return read_connection("Storage", {"Storage": azurite.connection_string})


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
async def watched(connection: Connection, requests: Requests) -> AsyncIterator[Tables]:
    """Tables on Azurite whose requests are counted, and whose answers can be lost."""
    tables = Tables(connection, transport=requests.transport)
    await tables.ensure("sagas", "runs", "policies", "agents")
    yield tables
    await tables.close()
