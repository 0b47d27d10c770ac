"""Who may be held now: places, room for snapshots, and requests to Azure, reserved before the freeze.

In this order, each from a row of its own, so that no two scopes, VMs or subscriptions contend:

1. a place among the guests of the policy (or run) that may be held at once, if that is limited,
2. room for the snapshots of the VM's disks,
3. the requests that the snapshots will take, of the VM's subscription and region.

What was reserved is given back when a later one is not to be had, but for the place of a member of a group:
a group has all of its places or none. The rules are in ``places``, ``disk_notes`` and ``request_budget``;
this asks and remembers. Everything is the saga's and the generation's: asking twice
reserves once.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from shared.compute.disk_snapshot import HELD_POLL_INTERVAL_S
from shared.compute.errors import ComputeError
from shared.compute.remaining import RemainingSeen
from shared.engine import disk_notes, places, request_budget
from shared.engine.disk_notes import DiskNotes, InTheWay
from shared.engine.places import Asked, Places, Taken, Together, Waiting
from shared.engine.ports import Clock
from shared.engine.queue_names import CALLED, STEPS, StepMessage
from shared.engine.request_budget import READS_PER_SNAPSHOT, Grant, RequestBudget, Turn
from shared.logs import logger
from shared.policy.disks import DiskSelection
from shared.policy.snapshots import SnapshotSettings
from shared.saga.admitting import lease_until
from shared.saga.causes import Limit
from shared.saga.effects import Admit, Leave
from shared.saga.events import Admitted, MustWait
from shared.saga.evidence import Evidence
from shared.saga.facts import DiskFacts, VmFacts
from shared.saga.state import SagaState
from shared.storage.errors import ReservationsBusy
from shared.storage.ports import MessageQueues
from shared.storage.reservations import ReservationTable, Row

_log = logger("admission")

#: After a lost race of all tries a saga asks again within this time (ms), at random.
BUSY_PAUSE_MS = 3_000

#: More requests than any saga is granted.
MANY = 1_000_000


class DisksRead(Protocol):
    """Reads a VM again, when what is known of its disks' snapshots may be out of date."""

    async def read_facts(self, vm_id: str, settings: SnapshotSettings, disks: DiskSelection) -> VmFacts:
        """See ``Compute.read_facts``."""
        ...


class Members(Protocol):
    """Knows who is in a group."""

    async def left(self, key: str) -> tuple[str, ...]:
        """See ``grouping.Grouping``."""
        ...


class Desk:
    """Admits sagas. ``seen`` gives what Azure's answers said of the requests that remain.

    Who waits for a place is called over ``queues`` when one is given up; without them it asks at its time.
    """

    def __init__(
        self,
        reservations: ReservationTable,
        compute: DisksRead,
        clock: Clock,
        *,
        seen: Callable[[str], RemainingSeen | None] = lambda _subscription: None,
        members: Members | None = None,
        queues: MessageQueues | None = None,
    ) -> None:
        self._queues = queues
        self._reservations = reservations
        self._compute = compute
        self._clock = clock
        self._seen = seen
        self._members = members

    async def admit(self, state: SagaState, effect: Admit) -> Admitted | MustWait:
        """Reserve all that holding this saga's guest will need, or nothing."""
        try:
            wait = await self._place(state, effect)
            if wait is None and not state.spec.rehearsal:  # which asks Azure for no snapshot
                wait = await self._behind_the_place(state, effect)
        except ReservationsBusy:
            until = self._clock() + random.randint(1_000, BUSY_PAUSE_MS)  # noqa: S311 - no secret
            why = "too many asked for admission at the same time"
            return MustWait(effect.generation, until, Limit.BUSY, why)
        if wait is None:
            return Admitted(effect.generation)
        _log.info("must wait (%s): %s", wait.code, wait.why)
        return wait

    async def leave(self, state: SagaState, effect: Leave) -> None:
        """Give up what was reserved. What cannot be given up now ends by itself."""
        saga, now = state.spec.saga_id, self._clock()
        try:
            if _most(state):
                await self._leave_place(state, effect.generation, now)
            if state.spec.rehearsal:
                return
            if _own_snapshots(state):
                await self._notes(state).change(lambda row: (_ended(row, saga, effect, now), None))
            await self._settle(state, effect)
        except ReservationsBusy as error:
            _log.warning("left to its lease: %s", error)

    async def _leave_place(self, state: SagaState, generation: int, now: int) -> None:
        """Give up the place, and call those who can have it now: they would ask up to a minute later."""
        saga, most = state.spec.saga_id, _most(state)

        def left(row: Places) -> tuple[Places, tuple[Waiting, ...]]:
            after = places.leave(row, saga, generation, now, group=_group(state))
            return after, places.called(after, most, now)

        for one in await self._places(state).change(left):
            await self._call(one.run, one.member, one.vm, "its place")

    async def _call(self, run: str, saga: str, vm: str, given_back: str) -> None:
        """Have a saga ask now for what it would ask for only later."""
        if self._queues is not None:
            _log.info("gives %s back, saga %s of run %s is called", given_back, saga, run)
            await self._queues.send(STEPS, StepMessage(run, saga, vm, watch=CALLED).text())

    async def _place(self, state: SagaState, effect: Admit) -> MustWait | None:
        most = _most(state)
        if not most:
            return None
        saga, now = state.spec.saga_id, self._clock()
        rank = state.spec.admission.rank if state.spec.admission else 0
        until = max(effect.expires_at, lease_until(state, now))
        wanted = Taken(saga, effect.generation, now, until, rank)
        together = await self._together(state)

        def ask(row: Places) -> tuple[Places, Asked]:
            spec = state.spec
            return places.ask(row, wanted, most, now, together=together, run=spec.run_id, vm=spec.vm_id)

        asked = await self._places(state).change(ask)
        if asked.admitted:
            return None
        held = f"{most} guests of {_scope(state)} may be held at once"
        why = f"{held}, and {asked.ahead} more wait before it" if asked.ahead else f"{held}, and are"
        if together:
            why = f"{held}, and its group waits for as many places as it has VMs"
        return MustWait(effect.generation, asked.until, Limit.HELD, why)

    async def _together(self, state: SagaState) -> Together | None:
        key = _group(state)
        if not key or self._members is None:
            return None
        left = await self._members.left(key)
        return Together(key, tuple(saga for saga in left if saga != state.spec.saga_id))

    async def _behind_the_place(self, state: SagaState, effect: Admit) -> MustWait | None:
        wait = await self._disks(state, effect)
        if wait is None:
            wait = await self._requests(state, effect)
            if wait is not None and _own_snapshots(state):
                await self._forget(state, effect.generation)
        if wait is not None and _most(state) and not _group(state):
            saga, until, now = state.spec.saga_id, wait.until, self._clock()
            await self._places(state).change(lambda row: (places.step_back(row, saga, until, now), None))
        return wait

    async def _disks(self, state: SagaState, effect: Admit) -> MustWait | None:
        """Note the snapshots that are about to be asked for; look again at what seems to be in the way."""
        if not _own_snapshots(state) or state.facts is None:
            return None
        met = await self._note(state, effect.generation, state.facts.disks, state.facts.read_at)
        if met is not None:
            try:
                spec = state.spec
                seen = await self._compute.read_facts(spec.vm_id, spec.snapshots, spec.disks)
            except ComputeError as error:
                _log.info("its disks cannot be read again: %s", error)
            else:
                mine = {disk.disk_id.lower() for disk in state.facts.disks}
                now_there = tuple(disk for disk in seen.disks if disk.disk_id.lower() in mine)
                met = await self._note(state, effect.generation, now_there, seen.read_at)
        return None if met is None else MustWait(effect.generation, met.until, Limit.DISK, met.why)

    async def _note(
        self, state: SagaState, generation: int, disks: Sequence[DiskFacts], read_at: int
    ) -> InTheWay | None:
        saga, now = state.spec.saga_id, self._clock()
        return await self._notes(state).change(
            lambda row: disk_notes.note(row, saga, generation, disks, now, read_at=read_at)
        )

    async def _forget(self, state: SagaState, generation: int) -> None:
        saga = state.spec.saga_id
        await self._notes(state).change(lambda row: (disk_notes.forget(row, saga, generation), None))

    async def _requests(self, state: SagaState, effect: Admit) -> MustWait | None:
        if state.facts is None:
            return None
        count = len(state.facts.disks) if _own_snapshots(state) else 1
        now, seen = self._clock(), self._seen(_subscription(state))
        wanted = Grant(state.spec.saga_id, effect.generation, count, count * READS_PER_SNAPSHOT, now)

        def ask(row: RequestBudget) -> tuple[RequestBudget, int]:
            known = request_budget.told(row, seen, now)
            return request_budget.take(known, wanted, now, run=state.spec.run_id, vm=state.spec.vm_id)

        until = await self._budget(state).change(ask)
        if not until:
            return None
        why = f"the requests to Azure of subscription {_subscription(state)} in {_region(state)} are spent"
        return MustWait(effect.generation, until, Limit.REQUESTS, why)

    async def _settle(self, state: SagaState, effect: Leave) -> None:
        """Give back the requests that were not needed, and pass on what Azure's answers said meanwhile."""
        if state.facts is None:
            return
        saga, now, seen = state.spec.saga_id, self._clock(), self._seen(_subscription(state))
        writes, reads = requests_of(state.evidence) if effect.captured else (0, 0)

        def settle(row: RequestBudget) -> tuple[RequestBudget, tuple[Turn, ...]]:
            known = request_budget.told(row, seen, now)
            after = request_budget.settle(known, saga, effect.generation, now, writes=writes, reads=reads)
            return request_budget.call(after, now)

        for one in await self._budget(state).change(settle):
            await self._call(one.run, one.saga, one.vm, "requests")

    def _places(self, state: SagaState) -> Row[Places]:
        return self._reservations.row(f"held-{_hashed(_scope(state))}", Places())

    def _notes(self, state: SagaState) -> Row[DiskNotes]:
        return self._reservations.row(f"vm-{_hashed(state.spec.vm_id.lower())}", DiskNotes())

    def _budget(self, state: SagaState) -> Row[RequestBudget]:
        of = _hashed(f"{_subscription(state)}\n{_region(state)}")
        return self._reservations.row(f"requests-{of}", RequestBudget())


def _ended(notes: DiskNotes, saga: str, effect: Leave, now: int) -> DiskNotes:
    if effect.captured:
        return disk_notes.ended(notes, saga, effect.generation, now)
    return disk_notes.forget(notes, saga, effect.generation)


def requests_of(evidence: Evidence | None) -> tuple[int, int]:
    """Give how many writes and reads the snapshots of a generation took, as far as is known."""
    captures = evidence.captures if evidence else ()
    if not captures:
        return MANY, MANY  # nobody saw it: nothing is given back
    step_ms = HELD_POLL_INTERVAL_S * 1_000
    reads = 0
    for capture in captures:
        if capture.succeeded_seen_at is None:
            reads += READS_PER_SNAPSHOT
        else:
            reads += 1 + int(max(0, capture.succeeded_seen_at - capture.put_sent_at) / step_ms)
    return len(captures), reads


def _group(state: SagaState) -> str:
    """Give the key of the group that a saga is a member of still; empty for none."""
    return state.spec.group.key if state.spec.group and not state.standing.out else ""


def _most(state: SagaState) -> int:
    return state.spec.admission.held if state.spec.admission else 0


def _scope(state: SagaState) -> str:
    return state.spec.admission.scope if state.spec.admission else f"run-{state.spec.run_id}"


def _own_snapshots(state: SagaState) -> bool:
    return not state.spec.snapshots.is_restore_point


def _subscription(state: SagaState) -> str:
    return state.spec.vm_id.split("/")[2].lower()


def _region(state: SagaState) -> str:
    return state.facts.location.lower() if state.facts else ""


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
