"""Agents that live in their guests, as they were last heard of: the table ``agents``, a partition per VM."""

import hashlib
from dataclasses import dataclass

from shared.storage import tables
from shared.storage.rows import int64, whole
from shared.storage.tables import TableStore, WriteRefused

_ROW = "agent"


@dataclass(frozen=True, slots=True)
class ResidentAgent:
    """An agent that said it was resident. ``heard_at`` is ms since the epoch, by the app's clock."""

    vm_id: str
    version: str
    key_version: int
    heard_at: int


class AgentTable:
    """Resident agents by VM. What it says is a hint: whether an agent is there is known when it answers."""

    def __init__(self, storage: TableStore, *, table: str = "agents") -> None:
        self._storage = storage
        self._table = table

    async def get(self, vm_id: str) -> ResidentAgent | None:
        """Read what is known of a VM's agent."""
        found = await self._storage.get(self._table, _partition(vm_id), _ROW)
        if found is None:
            return None
        row = found[0]
        return ResidentAgent(row["vm"], row["version"], whole(row["key_version"]), whole(row["heard_at"]))

    async def put(self, agent: ResidentAgent) -> None:
        """Note that an agent was heard of."""
        row = {
            "PartitionKey": _partition(agent.vm_id),
            "RowKey": _ROW,
            "vm": agent.vm_id.lower(),
            "version": agent.version,
            "key_version": int64(agent.key_version),
            "heard_at": int64(agent.heard_at),
        }
        await self._storage.transact(self._table, [tables.upsert(row)])

    async def forget(self, vm_id: str) -> None:
        """Forget a VM's agent; one that is not known is fine."""
        try:
            await self._storage.transact(self._table, [tables.delete(_partition(vm_id), _ROW)])
        except WriteRefused as error:
            if error.status != 404:
                raise


def _partition(vm_id: str) -> str:
    """ARM ids vary in case, and have characters that keys forbid."""
    return hashlib.sha256(vm_id.lower().encode()).hexdigest()[:40]
