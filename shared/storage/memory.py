"""Tables and queues in memory, with the semantics of the real ones, for tests without storage.

The repositories are the real ones on top of them. Time stands still unless the clock that is passed in moves.
"""

import asyncio
import base64
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.connection import Connection
from shared.storage.errors import DelayTooLong, TooManyRows
from shared.storage.findings import FindingTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.guest_scripts import StoredScript
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.queues import MAX_DELAY_MS, TakenMessage, check_size, seconds
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.sas import QueueSigner
from shared.storage.tables import MAX_OPERATIONS, Operation, Row, WriteRefused

_Rows = dict[tuple[str, str], Row]


class MemoryTables:
    """Tables with ETags and transactions that do all or nothing.

    Every operation first lets other tasks run, as a request would: tests meet the races that there are.
    """

    def __init__(self) -> None:
        self._tables: defaultdict[str, _Rows] = defaultdict(dict)
        self._writes = 0

    async def transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """See ``Tables.transact``."""
        await asyncio.sleep(0)
        partitions = {entity["PartitionKey"] for _, entity, _ in operations}
        assert len(partitions) == 1, "a transaction stays within one partition"
        if len(operations) > MAX_OPERATIONS:
            raise TooManyRows(partitions.pop(), len(operations), MAX_OPERATIONS)
        rows = dict(self._tables[table])
        etags = [self._apply(table, rows, operation) for operation in operations]
        self._tables[table] = rows
        return etags

    def _apply(self, table: str, rows: _Rows, operation: Operation) -> str:
        kind, entity, options = operation
        name = (entity["PartitionKey"], entity["RowKey"])
        old = rows.get(name)
        if kind == "create" and old is not None:
            raise WriteRefused(table, 409)
        if kind in ("update", "delete") and old is None:
            raise WriteRefused(table, 404)
        if old is not None and options.get("etag", old[1]) not in (old[1], "*"):
            raise WriteRefused(table, 412)
        if kind == "delete":
            del rows[name]
            return ""
        kept = old[0] if old is not None and options.get("mode") == "merge" else {}
        self._writes += 1
        rows[name] = ({**kept, **entity}, f"W/\"datetime'{self._writes}'\"")
        return rows[name][1]

    async def get(self, table: str, partition: str, row: str) -> Row | None:
        """See ``Tables.get``."""
        await asyncio.sleep(0)
        found = self._tables[table].get((partition, row))
        return (dict(found[0]), found[1]) if found else None

    async def rows(
        self, table: str, partition: str, *, after: str, until: str, page: int = 1000
    ) -> AsyncIterator[Row]:
        """See ``Tables.rows``. Each page is of one moment, as in Table Storage."""
        while True:
            await asyncio.sleep(0)
            found = sorted(
                (name, row)
                for (owner, name), row in self._tables[table].items()
                if owner == partition and after < name <= until
            )[:page]
            for _, (entity, etag) in found:
                yield dict(entity), etag
            if len(found) < page:
                return
            after = found[-1][0]

    async def across(self, table: str, *, after: str, until: str, page: int = 1000) -> AsyncIterator[Row]:
        """See ``Tables.across``."""
        await asyncio.sleep(0)
        found = sorted((name, row) for name, row in self._tables[table].items() if after < name[0] <= until)
        for number, (_, (entity, etag)) in enumerate(found):
            if number and number % page == 0:
                await asyncio.sleep(0)
            yield dict(entity), etag


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMessage:
    """A message in a queue. Times in ms; ``expires_at`` None means never."""

    message_id: str
    pop_receipt: str
    text: str
    visible_at: int
    expires_at: int | None
    dequeue_count: int = 0
    inserted_at: int = 0


class MemoryQueues:
    """Queues whose messages are hidden, received and deleted as in Queue Storage. ``clock`` gives ms."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._queues: defaultdict[str, dict[str, MemoryMessage]] = defaultdict(dict)
        self._number = 0

    async def ensure(self, *queues: str) -> None:
        """See ``Queues.ensure``."""
        for queue in queues:
            self._queues[queue].update()

    async def send(self, queue: str, text: str, *, delay_ms: int = 0) -> str:
        """See ``Queues.send``."""
        if delay_ms > MAX_DELAY_MS:
            raise DelayTooLong(queue, delay_ms, MAX_DELAY_MS)
        return await self.put(queue, text, delay_s=seconds(delay_ms), expires_in_s=-1)

    async def put(self, queue: str, text: str, *, delay_s: int, expires_in_s: int) -> str:
        """See ``Queues.put``."""
        check_size(queue, text)
        now = self._clock()
        message = MemoryMessage(
            message_id=self._next("message"),
            pop_receipt=self._next("receipt"),
            text=text,
            visible_at=now + delay_s * 1000,
            expires_at=None if expires_in_s < 0 else now + expires_in_s * 1000,
            inserted_at=now,
        )
        self._queues[queue][message.message_id] = message
        return f"{message.message_id}|{message.pop_receipt}"

    async def listed(self, prefix: str, marker: str = "") -> tuple[list[str], str]:
        """See ``Queues.listed``; three at a time, so that there are pages."""
        names = sorted(name for name in self._queues if name.startswith(prefix) and name > marker)
        return names[:3], names[2] if len(names) > 3 else ""

    async def delete(self, queue: str) -> None:
        """See ``Queues.delete``. The name can be used again at once."""
        self._queues.pop(queue, None)

    async def oldest(self, queue: str, limit: int, hidden_s: int) -> list[TakenMessage]:
        """See ``Queues.oldest``."""
        taken = self.receive(queue, hidden_ms=hidden_s * 1000, limit=limit) if queue in self._queues else []
        return [TakenMessage(each.text, f"{each.message_id}|{each.pop_receipt}") for each in taken]

    async def count(self, queue: str) -> int:
        """See ``Queues.count``."""
        return len(self._queues.get(queue, {}))

    async def waiting_since(self, queue: str) -> int | None:
        """See ``Queues.waiting_since``."""
        now = self._clock()
        held = self._queues.get(queue, {}).values()
        return next((each.inserted_at for each in held if each.visible_at <= now), None)

    async def cancel(self, queue: str, receipt: str) -> None:
        """See ``Queues.cancel``."""
        message_id, _, pop_receipt = receipt.partition("|")
        message = self._queues[queue].get(message_id)
        if message is not None and message.pop_receipt == pop_receipt:
            del self._queues[queue][message_id]

    def receive(self, queue: str, *, hidden_ms: int = 600_000, limit: int = 32) -> list[MemoryMessage]:
        """Take up to ``limit`` visible messages, oldest first, and hide them for ``hidden_ms``.

        ``cancel`` with ``<message id>|<pop receipt>`` of a received message deletes it.
        """
        now = self._clock()
        held = self._queues[queue]
        alive = {name: m for name, m in held.items() if m.expires_at is None or m.expires_at > now}
        self._queues[queue] = alive
        taken = [message for message in alive.values() if message.visible_at <= now][:limit]
        received = [
            replace(
                message,
                pop_receipt=self._next("receipt"),
                visible_at=now + hidden_ms,
                dequeue_count=message.dequeue_count + 1,
            )
            for message in taken
        ]
        alive.update({message.message_id: message for message in received})
        return received

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStorage:
    """All of storage in memory: the real repositories over ``MemoryTables`` and ``MemoryQueues``."""

    tables: MemoryTables
    sagas: SagaTable
    runs: RunTable
    claims: ClaimTable
    policies: PolicyTable
    points: PointTable
    findings: FindingTable
    agents: AgentTable
    queues: MemoryQueues
    guest_queues: GuestQueues


class MemoryScripts:
    """Scripts by their pins. ``clock`` gives ms since the epoch."""

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self.content: dict[str, str] = {}
        self._stored: dict[str, StoredScript] = {}
        self._clock = clock
        self._number = 0

    async def put(self, pin: str, content: str) -> None:
        """See ``GuestScripts.put``."""
        await asyncio.sleep(0)
        self.content[pin] = content
        self._number += 1
        self._stored[pin] = StoredScript(pin, self._clock(), str(self._number))

    async def listed(self, marker: str = "") -> tuple[list[StoredScript], str]:
        """See ``GuestScripts.listed``; two at a time, so that there are pages."""
        pins = sorted(pin for pin in self._stored if pin > marker)
        return [self._stored[pin] for pin in pins[:2]], pins[1] if len(pins) > 2 else ""

    async def delete(self, script: StoredScript) -> bool:
        """See ``GuestScripts.delete``."""
        await asyncio.sleep(0)
        if self._stored.get(script.pin) != script:
            return False
        self._stored.pop(script.pin, None)
        self.content.pop(script.pin, None)
        return True

    async def url(self, pin: str, valid_ms: int) -> str:
        """See ``GuestScripts.url``."""
        return f"https://memory.invalid/{pin}?valid={valid_ms}"


def memory_storage(clock: Callable[[], int]) -> MemoryStorage:
    """An empty storage. ``clock`` gives ms since the epoch. The agents' URLs lead nowhere."""
    tables, queues = MemoryTables(), MemoryQueues(clock)
    nowhere = Connection(
        name="memory",
        queue_endpoint="https://memory.invalid",
        table_endpoint="https://memory.invalid",
        account_name="memory",
        account_key=base64.b64encode(b"no secret").decode(),
    )
    return MemoryStorage(
        tables=tables,
        sagas=SagaTable(tables),
        runs=RunTable(tables),
        claims=ClaimTable(tables),
        policies=PolicyTable(tables),
        points=PointTable(tables),
        findings=FindingTable(tables),
        agents=AgentTable(tables),
        queues=queues,
        guest_queues=GuestQueues(queues, QueueSigner(nowhere, clock), clock),
    )
