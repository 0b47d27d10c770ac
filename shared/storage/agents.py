"""What is known of guests, in the table ``agents``.

| partition | row | holds |
|---|---|---|
| a hash of the VM's id | ``agent`` | the agent that lives in the guest, as it was last heard of |
| the name of a command queue | ``queue`` | when a saga last made use of it |
"""

import hashlib
from dataclasses import dataclass

from shared.storage import tables
from shared.storage.emptying import delete_row
from shared.storage.guest_names import command_queue
from shared.storage.rows import int64, key, require_known, whole
from shared.storage.tables import TableStore, WriteRefused
from shared.storage.upcasts import Form

_AGENT, _QUEUE = "agent", "queue"

#: A use of a queue is written down once in this time (ms) by a process: what goes by it counts in months.
_NOTED_FOR_MS = 24 * 3_600_000
#: VMs that a process remembers to have noted.
_NOTES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class ResidentAgent:
    """An agent that said it was resident. ``heard_at`` is ms since the epoch, by the app's clock."""

    vm_id: str
    version: str
    key_version: int
    heard_at: int


@dataclass(frozen=True, slots=True)
class Known:
    """An agent or a queue, by its partition; ``last_use`` is ms since the epoch."""

    partition: str
    last_use: int
    rows: tuple[tuple[str, str], ...]
    """The rows that there are, with their ETags."""


class AgentTable:
    """Resident agents by VM. What it says is a hint: whether an agent is there is known when it answers."""

    def __init__(self, storage: TableStore, *, table: str = "agents") -> None:
        self._storage = storage
        self._table = table
        self._noted: dict[str, int] = {}

    async def get(self, vm_id: str) -> ResidentAgent | None:
        """Read what is known of a VM's agent."""
        found = await self._storage.get(self._table, _partition(vm_id), _AGENT)
        if found is None:
            return None
        row = found[0]
        require_known(row, Form.AGENT)
        return ResidentAgent(row["vm"], row["version"], whole(row["key_version"]), whole(row["heard_at"]))

    async def put(self, agent: ResidentAgent) -> None:
        """Note that an agent was heard of."""
        row = {
            "PartitionKey": _partition(agent.vm_id),
            "RowKey": _AGENT,
            "vm": agent.vm_id.lower(),
            "version": agent.version,
            "key_version": int64(agent.key_version),
            "heard_at": int64(agent.heard_at),
        }
        await self._storage.transact(self._table, [tables.upsert(row)])
        await self.note_use(agent.vm_id, agent.heard_at)

    async def forget(self, vm_id: str) -> None:
        """Forget a VM's agent; one that is not known is fine."""
        try:
            await self._storage.transact(self._table, [tables.delete(_partition(vm_id), _AGENT)])
        except WriteRefused as error:
            if error.status != 404:
                raise

    async def note_use(self, vm_id: str, now: int) -> None:
        """Note that a saga makes use of a VM's queue at ``now``; at most once a day by each process."""
        queue = command_queue(vm_id)
        if now - self._noted.get(queue, 0) < _NOTED_FOR_MS:
            return
        await self.note_seen(queue, now)
        if len(self._noted) >= _NOTES_KEPT:
            self._noted.clear()
        self._noted[queue] = now

    async def note_seen(self, queue: str, now: int) -> None:
        """Note that there is a command queue: its time runs from ``now`` on."""
        row = {"PartitionKey": key(queue), "RowKey": _QUEUE, "used_at": int64(now)}
        await self._storage.transact(self._table, [tables.upsert(row)])

    async def is_known(self, queue: str) -> bool:
        """Whether a use of a command queue was ever noted."""
        return await self._storage.get(self._table, key(queue), _QUEUE) is not None

    async def known(self, *, after: str, size: int) -> list[Known]:
        """The next ``size`` agents and queues behind the partition ``after``; fewer only at the end."""
        found: dict[str, list[tuple[str, str, int]]] = {}
        async for row, etag in self._storage.across(self._table, after=after, until="~"):
            guest = row["PartitionKey"]
            if guest not in found and len(found) == size:
                break
            used = row["used_at"] if row["RowKey"] == _QUEUE else row["heard_at"]
            found.setdefault(guest, []).append((row["RowKey"], etag, whole(used)))
        return [
            Known(guest, max(at for *_, at in rows), tuple((row, etag) for row, etag, _ in rows))
            for guest, rows in found.items()
        ]

    async def forget_known(self, known: Known) -> bool:
        """Remove what is stored of an agent or a queue, if it is still as it was read; say whether it was."""
        gone = [await delete_row(self._storage, self._table, known.partition, *each) for each in known.rows]
        return all(gone)


def _partition(vm_id: str) -> str:
    """Give the partition of a VM's agent: ARM ids vary in case, and have characters that keys forbid."""
    return hashlib.sha256(vm_id.lower().encode()).hexdigest()[:40]
