"""Groups of VMs in a run: who is in one, and what its members and it say to each other.

A group is a row that its members' sagas change (``storage/groups.py``); what it says is decided by the pure
``saga/group.py``. It is saved first and told afterwards: what a crash in between leaves untold is asked for
again, for a member that waits repeats that it does. Who is answered while it asks needs no message.

The clock of a group is looked at whenever a member says something, and by a message of its own that arrives
at each deadline: while one member waits for another, neither has anything to say.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.engine.ports import Clock
from shared.engine.queue_names import GROUPS, GroupMessage
from shared.logs import logger
from shared.policy.concurrency import Concurrency
from shared.policy.groups import MOST_MEMBERS, Group
from shared.saga.effects import JoinBarrier, LeaveGroup
from shared.saga.events import BarrierOpened, GroupBroke
from shared.saga.group import (
    Barrier,
    Break,
    Fell,
    GroupEvent,
    GroupState,
    GroupStep,
    Joined,
    Open,
    TimePassed,
    advance_group,
    new_group,
)
from shared.saga.one_instant import share_of
from shared.saga.state import GroupMember, SagaState
from shared.storage.errors import GroupNotFound
from shared.storage.groups import GroupRecord, GroupTable, MemberShare
from shared.storage.ports import MessageQueues
from shared.storage.run_records import RunEntry

_log = logger("groups")

#: Runs whose members a process keeps in mind.
RUNS_KEPT = 64

_UNSAID = "nobody said why"

#: A look at a deadline comes this long (ms) after it: who is late must be late by every instance's clock.
LOOK_AFTER_MS = 100


@dataclass(frozen=True, slots=True)
class _Changed:
    """What an event made of a group: how it was, the step, and the row as it is now."""

    before: GroupState
    step: GroupStep
    record: GroupRecord


class Grouping:
    """The groups of runs."""

    def __init__(self, groups: GroupTable, queues: MessageQueues, clock: Clock) -> None:
        self._groups = groups
        self._queues = queues
        self._clock = clock
        self._members: OrderedDict[str, dict[str, GroupMember]] = OrderedDict()

    async def create(
        self, run_id: str, groups: Sequence[Group], entries: Sequence[RunEntry], limits: Concurrency | None
    ) -> None:
        """Write the groups of a run, before its VMs start; doing it again changes nothing.

        One of which fewer than two VMs are in the run is none: its VM goes its way alone.
        """
        made = []
        for group in groups:
            members = [entry for entry in entries if entry.group == group.name]
            if len(members) < 2:
                count = len(members)
                _log.warning(
                    "group %s: %d of its VMs are in the run: none shares an instant", group.name, count
                )
                continue
            state = new_group(group.rules, tuple(entry.saga_id for entry in members))
            why = too_many(len(members), limits)
            if why:
                _log.error("group %s: %s", group.name, why)
            vms = tuple(entry.vm_id for entry in members)
            made.append(GroupRecord(name=group.name, state=replace(state, broken=why), vms=vms))
        await self._groups.create(run_id, made)

    async def member(self, run_id: str, saga_id: str) -> GroupMember | None:
        """Say which group of the run a saga is a member of; None for none."""
        known = self._members.get(run_id)
        if known is None:
            known = {
                member.saga: GroupMember(
                    key=f"{run_id}/{record.name}",
                    name=record.name,
                    rules=record.state.rules,
                    vms=record.vms,
                )
                for record in await self._groups.of_run(run_id)
                for member in record.state.members
            }
        if known:  # who belongs to a group never changes once there are any
            self._members[run_id] = known
            while len(self._members) > RUNS_KEPT:
                self._members.popitem(last=False)
        return known.get(saga_id)

    async def left(self, key: str) -> tuple[str, ...]:
        """Give the sagas of a group that have not fallen."""
        record = await self._groups.get(*_place(key))
        return () if record.state.broken else tuple(member.saga for member in record.state.left)

    async def of(self, state: SagaState) -> GroupRecord | None:
        """Read the group of a saga; None where it has none, or there is none any more."""
        if state.spec.group is None:
            return None
        try:
            return await self._groups.get(*_place(state.spec.group.key))
        except GroupNotFound:
            return None

    async def join(self, state: SagaState, effect: JoinBarrier) -> BarrierOpened | GroupBroke | None:
        """Tell the group that a member came to a barrier; give what it answers, if it does at once."""
        saga, group = state.spec.saga_id, state.spec.group
        assert group is not None
        mine = _share(state, effect) if effect.barrier is Barrier.PROVED else None
        joined = Joined(saga, effect.generation, effect.barrier, effect.until)
        try:
            changed = await self._change(*_place(group.key), joined, mine)
        except GroupNotFound:
            return GroupBroke(effect.generation, f"nothing is known of the group {group.name} any more")
        await self._tell(*_place(group.key), changed, but=saga)
        return _answer(saga, changed)

    async def leave(self, state: SagaState, effect: LeaveGroup) -> None:
        """Tell the group that a member fell."""
        assert state.spec.group is not None
        run_id, name = _place(state.spec.group.key)
        fell = Fell(state.spec.saga_id, effect.generation, effect.why, effect.again)
        try:
            changed = await self._change(run_id, name, fell)
        except GroupNotFound:
            return
        await self._tell(run_id, name, changed, but=state.spec.saga_id)

    async def look(self, run_id: str, name: str) -> None:
        """Look at the clock of a group."""
        try:
            changed = await self._change(run_id, name, TimePassed())
        except GroupNotFound:  # its run was tidied away
            return
        await self._tell(run_id, name, changed)

    async def look_at_all(self, run_id: str) -> None:
        """Look at the clocks of a run's groups: of those that wait for somebody."""
        for record in await self._groups.of_run(run_id):
            if record.state.deadline is not None and self._clock() > record.state.deadline:
                await self.look(run_id, record.name)

    async def _change(
        self, run_id: str, name: str, event: GroupEvent, mine: MemberShare | None = None
    ) -> _Changed:
        def how(record: GroupRecord) -> tuple[GroupRecord, _Changed]:
            step = advance_group(record.state, event, self._clock())
            after = replace(record, state=step.state)
            if mine is not None and not step.ignored:
                others = tuple(one for one in record.shares if one.saga != mine.saga)
                after = replace(after, shares=(*others, mine))
            return after, _Changed(record.state, step, after)

        changed = await self._groups.change(run_id, name, how)
        for effect in changed.step.effects:
            _log.info("group %s: %s", name, in_words(changed.record, _said(effect)))
        return changed

    async def _tell(self, run_id: str, name: str, changed: _Changed, *, but: str = "") -> None:
        messages = [
            GroupMessage(
                run_id=run_id,
                name=name,
                saga_id=saga,
                attempt=effect.attempt,
                barrier=effect.barrier.value if isinstance(effect, Open) else "",
                why="" if isinstance(effect, Open) else in_words(changed.record, effect.why) or _UNSAID,
                again=isinstance(effect, Break) and effect.again,
            )
            for effect in changed.step.effects
            for saga in effect.sagas
            if saga != but
        ]
        jobs = [self._queues.send(GROUPS, message.text()) for message in messages]
        deadline = changed.step.state.deadline
        if deadline is not None and deadline != changed.before.deadline:
            look = GroupMessage(run_id=run_id, name=name).text()
            delay = max(0, deadline + LOOK_AFTER_MS - self._clock())
            jobs.append(self._queues.send(GROUPS, look, delay_ms=delay))
        await asyncio.gather(*jobs)


def in_words(record: GroupRecord, text: str) -> str:
    """Write the names of VMs where a sentence of the group names their sagas."""
    for member in record.state.members:
        text = text.replace(member.saga, record.vm_of(member.saga).rpartition("/")[2])
    return text


def event_of(message: GroupMessage) -> BarrierOpened | GroupBroke:
    """Give what a message tells a saga."""
    if message.barrier:
        return BarrierOpened(message.attempt, Barrier(message.barrier))
    return GroupBroke(message.attempt, message.why, message.again)


def _answer(saga: str, changed: _Changed) -> BarrierOpened | GroupBroke | None:
    """Give what the group says to the member that is asking; the last of it, should it be more."""
    for effect in reversed(changed.step.effects):
        if saga not in effect.sagas:
            continue
        if isinstance(effect, Open):
            return BarrierOpened(effect.attempt, effect.barrier)
        return GroupBroke(effect.attempt, in_words(changed.record, effect.why), effect.again)
    return None


def _said(effect: Open | Break) -> str:
    if isinstance(effect, Open):
        return f"attempt {effect.attempt}: {effect.barrier} is open"
    return f"attempt {effect.attempt}: {effect.why}{', and tries again' if effect.again else ''}"


def _share(state: SagaState, effect: JoinBarrier) -> MemberShare | None:
    share = share_of(state.evidence) if state.evidence else None
    if share is None:
        return None
    return MemberShare(saga=state.spec.saga_id, attempt=effect.generation, share=share)


def too_many(count: int, limits: Concurrency | None) -> str:
    """Say why so many VMs can never be held together; empty where they can."""
    if count > MOST_MEMBERS:
        return f"{count} VMs belong to it, and no more than {MOST_MEMBERS} can share an instant"
    for name, limit in (("held", limits.held if limits else 0), ("vms", limits.vms_at_once if limits else 0)):
        if limit and count > limit:
            return (
                f"{count} VMs belong to it, and concurrency.{name} lets no more than {limit} be held together"
            )
    return ""


def _place(key: str) -> tuple[str, str]:
    """Give run and name of a group's key."""
    run_id, _, name = key.partition("/")
    return run_id, name
