"""What a round takes place on: a stack with two VMs, and everything on it that can be broken."""

import asyncio
import contextlib
import json
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
from azure.core.exceptions import ResourceExistsError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local import azurite
from local.guests.control import ask
from local.prove.proving import UNLIMITED
from local.stack.api import ApiError
from local.stack.app_host import AppHost, HostDidNotStartError
from local.stack.stack import AGENT, Stack, StackOptions, running
from local.stack.waiting import ticks, until
from shared.engine.queue_names import RUNS
from tests.chaos import clocked_agent
from tests.chaos.killing_host import CLOCK, FOLDER, KILL, KILLED
from tests.chaos.witness import Witness
from tests.e2e.scene import Machine, ledger_vm, plain_vm, put

#: Of the app's own, so that a round can sign as the app does.
MASTER = bytes(range(32))

#: A guest that is given up soon, and sagas that are looked at often: rounds are to be short.
SETTINGS = {
    "freeze_budget_ms": 10_000,
    "quiesce_timeout_ms": 8_000,
    "resume_timeout_ms": 5_000,
    "arming_timeout_ms": 12_000,
}

#: What the app answers while it, or what it stands on, is down.
PASSING = (OSError, aiohttp.ClientError, TimeoutError)

#: Of a group of both VMs: its guests are held for less than their budget, and it is given up soon as well.
GROUP = "pair"
GROUP_SETTINGS = {"armed_timeout_ms": 20_000, "held_timeout_ms": 8_000, "proved_timeout_ms": 20_000}

_START_WITHIN_S = 60.0

#: A table of the rounds' own, whose row shows how far the storage has written.
_MARKS = "chaosmarks"
_WRITTEN_WITHIN_S = 15.0


class Kind(StrEnum):
    """What the stack of a round has to be like."""

    USUAL = "usual"
    """Storage in memory; a message whose host died comes again after 3 s."""

    PATIENT = "patient"
    """As in Azure, a message whose host died comes again after ten minutes."""

    DURABLE = "durable"
    """Storage in a folder, so that it can be killed."""


@dataclass
class Arena:
    """A running stack with a VM that writes and one in which nothing runs."""

    stack: Stack
    machines: tuple[Machine, ...]
    folder: Path
    opened: AsyncExitStack
    witness: Witness
    rounds: int = 0
    pause_s: float = 0.0
    others: list[AppHost] = field(default_factory=list)

    @property
    def other_log(self) -> Path:
        return self.stack.host.log.with_suffix(".other.log")

    def plan_kill(self, point: str, nth: int, after_ms: int) -> None:
        """Have a host die at a point of a step."""
        fresh = self.folder / "new"
        plan = {"id": uuid.uuid4().hex, "point": point, "nth": nth, "after_ms": after_ms}
        fresh.write_text(json.dumps(plan))
        fresh.rename(self.folder / KILL)

    def cancel_kill(self) -> None:
        for name in (KILL, KILLED):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def was_killed(self) -> bool:
        return (self.folder / KILLED).exists()

    def set_app_clock(self, ahead_s: float) -> None:
        _set_clock(self.folder / CLOCK, ahead_s)

    def set_guest_clock(self, machine: Machine, ahead_s: float) -> None:
        _set_clock(machine.guest.runtime / CLOCK, ahead_s)

    async def restart_hosts(self) -> None:
        """Do what the platform does: start the app's host again whenever it has ended, after ``pause_s``."""
        while True:
            await self.stack.host.ended()
            await asyncio.sleep(self.pause_s)
            with contextlib.suppress(HostDidNotStartError):  # the storage is down, too
                await self.stack.host.start()

    async def another_host(self) -> AppHost:
        """Start one more host on the same queues."""
        host = self.stack.host.another(self.other_log)
        await host.start()
        self.others.append(host)
        return host

    async def stop_others(self) -> None:
        for host in self.others:
            await host.stop()
        self.others.clear()

    async def restart_storage(self) -> None:
        """Start a storage that was killed again, on the same ports and with what it has in its folder."""
        old = self.stack.storage
        started = azurite.running(
            self.folder / "storage", blob=old.blob_port, queue=old.queue_port, table=old.table_port
        )
        self.stack.storage = await asyncio.to_thread(self.opened.enter_context, started)

    async def until_written(self) -> None:
        """Wait until the storage has in its folder all that it has acknowledged so far: it writes every 5 s.

        Raises:
            TooSlowError: it did not within ``_WRITTEN_WITHIN_S``.
        """
        mark, connection = uuid.uuid4().hex, self.stack.storage.connection_string
        async with TableServiceClient.from_connection_string(connection) as tables:
            table = await tables.create_table_if_not_exists(_MARKS)
            await table.upsert_entity({"PartitionKey": "mark", "RowKey": "mark", "mark": mark})
        async with QueueServiceClient.from_connection_string(connection) as queues:
            queue = await _queue(queues, RUNS)
            await queue.set_queue_metadata({"mark": mark})
        files = [self.folder / "storage" / f"__azurite_db_{kind}__.json" for kind in ("table", "queue")]

        async def written() -> bool:
            return await asyncio.to_thread(lambda: all(_has(file, mark) for file in files))

        await until(written, within_s=_WRITTEN_WITHIN_S, what="the storage writes to its folder")

    async def put(self, queue: str, text: str) -> None:
        """Put a message into one of the app's queues, which may not be there yet."""
        connection = self.stack.storage.connection_string
        async with QueueServiceClient.from_connection_string(connection) as service:
            await _queue(service, queue)
        await put(self.stack, queue, text)

    async def queues(self) -> set[str]:
        """Give the names of all queues that there are."""
        connection = self.stack.storage.connection_string
        async with QueueServiceClient.from_connection_string(connection) as service:
            return {queue.name async for queue in service.list_queues()}

    async def start_run(self, settings: Mapping[str, Any], group: str = "") -> str:
        """Start a run over both VMs. The request is repeated with its key until the app has taken it.

        ``group`` makes them one, of this rule.
        """
        vms = [machine.id for machine in self.machines]
        body: dict[str, Any] = {"vms": vms, "guest_processing": settings}
        if group:
            body["groups"] = [{"name": GROUP, "vms": vms, "on_member_failure": group, **GROUP_SETTINGS}]
        key = uuid.uuid4().hex
        async for _ in ticks(_START_WITHIN_S, "the start of a run"):
            try:
                return await self.stack.api.start_run(body, key)
            except ApiError as error:
                if error.status < 500:
                    raise
            except PASSING:
                continue
        raise AssertionError

    async def run(self, run_id: str) -> dict[str, Any] | None:
        """Show a run; None while the app does not answer."""
        return await _or_none(self.stack.api.run(run_id))

    async def view(self, run_id: str, machine: Machine) -> dict[str, Any] | None:
        """Show a VM of a run; None while the app does not answer."""
        return await _or_none(machine.view(run_id))

    def clear(self) -> None:
        """Forget what the guests' scripts and the proxies have noted."""
        self.pause_s = 0.0
        self.witness.clear()
        for machine in self.machines:
            machine.trace.unlink(missing_ok=True)
        for proxy in (self.stack.proxy, self.stack.table_proxy, self.stack.azure_proxy):
            proxy.journal.clear()

    async def delete_snapshots(self) -> None:
        """Delete all recovery points, so that the next round begins with none."""
        resources = self.stack.world.resources
        for key, snapshot in list(resources.snapshots.items()):
            del resources.snapshots[key]
            await self.stack.disks.discard(snapshot.id.name)

    async def order(self, order: str) -> None:
        """Order the applications' clients: "go-on", or "pause" so that something else has the processors."""
        for machine in self.machines:
            if machine.spec.application:
                await asyncio.to_thread(ask, str(machine.guest.socket), order, 30.0)


async def _queue(service: QueueServiceClient, name: str) -> QueueClient:
    """Give a queue of the app's, which may not be there yet."""
    with contextlib.suppress(ResourceExistsError):
        await service.create_queue(name)
    return service.get_queue_client(name)


def _has(file: Path, mark: str) -> bool:
    return file.exists() and mark in file.read_text()


async def _or_none[Answer](asked: Awaitable[Answer]) -> Answer | None:
    try:
        return await asked
    except ApiError as error:
        if error.status < 500:
            raise
    except PASSING:
        pass
    return None


def _set_clock(file: Path, ahead_s: float) -> None:
    if ahead_s == 0:
        file.unlink(missing_ok=True)
        return
    fresh = file.with_suffix(".new")
    fresh.write_text(str(ahead_s))
    fresh.rename(file)


@contextlib.asynccontextmanager
async def arena(kind: Kind) -> AsyncIterator[Arena]:
    """Have an arena for some rounds."""
    async with AsyncExitStack() as opened:
        folder = opened.enter_context(_folder())
        stack = await opened.enter_async_context(running(_options(kind, folder)))
        machines = (await ledger_vm(stack, "ledger"), await plain_vm(stack, "plain"))
        made = Arena(stack, machines, folder, opened, Witness(machines))
        made.witness.attend(stack.disks)
        opened.push_async_callback(made.stop_others)
        platform = asyncio.create_task(made.restart_hosts())
        opened.callback(platform.cancel)
        await made.order("pause")
        yield made


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="stillframe-chaos-", dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _options(kind: Kind, folder: Path) -> StackOptions:
    hidden_s = "600" if kind is Kind.PATIENT else "3"
    (folder / "storage").mkdir()
    return StackOptions(
        sim=UNLIMITED,
        poll="00:00:00.500",
        proxied=("GuestStorage", "AzureWebJobsStorage"),
        proxied_tables=True,
        proxied_azure=True,
        settings={
            "STILLFRAME_MASTER_KEY": MASTER.hex(),
            "STILLFRAME_TEST_DEQUEUE_INVISIBILITY": hidden_s,
            "STILLFRAME_SWEEP_TIMER": "*/3 * * * * *",
            "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00.500",
            FOLDER: str(folder),
        },
        storage_folder=folder / "storage" if kind is Kind.DURABLE else None,
        program=("-m", "tests.chaos.killing_host"),
        agent=clocked_agent.build(AGENT, folder),
    )
