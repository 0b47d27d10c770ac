"""The rooms of guests: command queues, and what is known of agents, of VMs that no run had for a long time.

A queue is not known by its VM but by a hash of its id, and nobody asks Azure which VMs the policies select
now. What counts is use: each saga that hands a queue out notes it, before it does, and each resident agent
that answers is noted. So the queue of a VM with a saga under way was in use within two weeks, and stays.

A deleted queue's name cannot be used for 30 s. Should a run begin for this very VM, after months, in the very
moment of the deletion, then the command that it sends fails and is sent again by its message until it gets
through; and the note of that use is newer than the one that was read here, so it stays.
"""

from shared.engine.housekeeping.ports import DeletableQueues
from shared.engine.housekeeping.rooms import Done
from shared.storage.agents import AgentTable
from shared.storage.guest_names import COMMAND_PREFIX

GUESTS = 200


class UnknownQueues:
    """Command queues of which no use was ever noted: their time runs from now on."""

    name = "unknown_queues"

    def __init__(self, queues: DeletableQueues, agents: AgentTable) -> None:
        self._queues = queues
        self._agents = agents

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Note the queues of a page that nothing is known of."""
        del cutoff
        names, following = await self._queues.listed(COMMAND_PREFIX, after)
        for name in names:
            if not await self._agents.is_known(name):
                await self._agents.note_seen(name, now)
        return Done(following)


class IdleGuests:
    """Guests that were last of use before the cutoff."""

    name = "guest_queues"

    def __init__(self, queues: DeletableQueues, agents: AgentTable) -> None:
        self._queues = queues
        self._agents = agents

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Delete the idle queues of a page, then what is known of them; forget agents that are silent."""
        del now
        page = await self._agents.known(after=after, size=GUESTS)
        removed = {"guest_queues": 0, "agents": 0}
        for known in page:
            if known.last_use >= cutoff:
                continue
            is_queue = known.partition.startswith(COMMAND_PREFIX)
            if is_queue:
                await self._queues.delete(known.partition)
            removed["guest_queues" if is_queue else "agents"] += await self._agents.forget_known(known)
        return Done(page[-1].partition if len(page) == GUESTS else "", removed)
