"""Retention: which recovery points of a policy go, why, and having them deleted; or only saying so."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from itertools import batched

from shared.compute.errors import ComputeError
from shared.engine.deleting import Deleting
from shared.engine.ports import Clock
from shared.engine.queue_names import POINTS, PointMessage, PointTask
from shared.engine.times import zone_of
from shared.logs import logger
from shared.policy.documents import read_policy
from shared.policy.fields import DocumentError
from shared.policy.retention import Candidate, Retention, Verdict, plan, protected
from shared.saga.state import Outcome
from shared.storage.errors import PointChanged, PolicyNotFound
from shared.storage.point_records import PointRecord, PointState
from shared.storage.points import PointTable, StoredPoint
from shared.storage.policies import PolicyTable
from shared.storage.ports import MessageQueues

_log = logger("retention")

#: VMs of a policy that one message is about, and the pause before the next message (ms): retention can wait,
#: and others need the subscription's reads of Azure too (25 a second).
PAGE = 10
PAUSE_MS = 3_000
#: VMs that are worked on at the same time.
_AT_ONCE = 4
#: Points of a VM that one pass has deleted at most, and that it looks at to find them; the next passes go on.
MOST_AT_ONCE, MOST_LOOKED_AT = 10, 50
#: What is said of those whose turn has not come.
WAITING = (f"its turn comes later: at most {MOST_AT_ONCE} of a VM are deleted at a time, the oldest first",)

#: States of points that retention decides about; those that are being deleted it has decided about.
_DECIDED = (PointState.AVAILABLE, PointState.MISSING)


class NoRetention(Exception):
    """The policy says nothing of retention: all of its recovery points are kept."""

    def __init__(self, policy: str) -> None:
        super().__init__(f"the policy {policy} has no section retention: all of its recovery points are kept")
        self.policy = policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What retention says of a point; ``obstacles`` are what keeps it all the same for now."""

    stored: StoredPoint
    verdict: Verdict
    obstacles: tuple[str, ...] = ()

    @property
    def goes(self) -> bool:
        """Whether the point is to be deleted now."""
        return not self.verdict.keep and not self.obstacles


@dataclass(frozen=True, slots=True)
class VmDecisions:
    """What retention says of the points of a VM, newest first."""

    vm_id: str
    decisions: tuple[Decision, ...]
    lost: tuple[StoredPoint, ...] = ()
    """Points that were to stand for others, of which something was found gone."""


class Retaining:
    """Retention over the catalogue."""

    def __init__(
        self,
        *,
        points: PointTable,
        policies: PolicyTable,
        deleting: Deleting,
        queues: MessageQueues,
        clock: Clock,
    ) -> None:
        self._points = points
        self._policies = policies
        self._deleting = deleting
        self._queues = queues
        self._clock = clock

    async def begin(self) -> list[str]:
        """Have retention done for every policy that says something of it; give their names."""
        begun = []
        async for stored in self._policies.list():
            try:
                rules = read_policy(stored.document).retention
            except DocumentError as error:
                _log.error("policy %s: no retention: %s", stored.name, error)
                continue
            if rules is not None:
                await self.begin_for(stored.name)
                begun.append(stored.name)
        return begun

    async def begin_for(self, policy: str) -> None:
        """Have retention done for a policy.

        Raises:
            PolicyNotFound: there is none of that name.
            NoRetention: it says nothing of retention.
        """
        await self._rules(policy)
        await self._queues.send(POINTS, PointMessage(PointTask.RETAIN, policy).text())

    async def take(self, message: PointMessage) -> None:
        """Do retention for the next VMs of a policy; those behind them are another message's."""
        try:
            rules = await self._rules(message.subject)
        except (PolicyNotFound, NoRetention):  # removed or changed since: its points stay
            return
        vms = await self._points.vms_of(message.subject, after=message.after, size=PAGE)

        async def retain(vm_id: str) -> None:
            try:
                await self._retain(message.subject, vm_id, rules)
            except ComputeError as error:  # one VM keeps no other from it; the next pass asks again
                _log.warning("stillframe retention: vm=%s: Azure could not be asked: %s", vm_id, error)

        await self._each([vm_id for _, vm_id in vms], retain)
        if len(vms) == PAGE:  # last, so that a page that comes again has not sent the next one before
            following = PointMessage(PointTask.RETAIN, message.subject, vms[-1][0])
            await self._queues.send(POINTS, following.text(), delay_ms=PAUSE_MS)

    async def preview(
        self, policy: str, *, size: int, after: str = "", rules: Retention | None = None
    ) -> tuple[list[VmDecisions], str]:
        """Say what retention would do with the next VMs of a policy now, by its own rules or by others.

        Give also the place to go on behind; empty at the end.

        Raises:
            PolicyNotFound: there is none of that name.
            NoRetention: it says nothing of retention, and no other rules were given.
        """
        rules = rules or await self._rules(policy)
        zone_of(rules.time_zone, "retention.time_zone")
        vms = await self._points.vms_of(policy, after=after, size=size)
        asked = rules
        decided = await self._each(
            [vm_id for _, vm_id in vms], lambda vm_id: self.decide(policy, vm_id, asked)
        )
        return decided, vms[-1][0] if len(vms) == size else ""

    async def decide(self, policy: str, vm_id: str, rules: Retention) -> VmDecisions:
        """Decide about the points of a VM that a policy made. What is to go is looked at in Azure.

        Raises:
            ComputeError: Azure could not be asked.
        """
        now = self._clock()
        stored = [
            point
            async for point in self._points.of_vms([vm_id])
            if point.record.policy == policy and point.record.state in _DECIDED
        ]
        verdicts, lost = await self._verdicts(stored, rules, now)
        unwanted = [point for point in stored if not verdicts[point.record.point_id].keep]
        obstacles = await self._obstacles(unwanted)
        decisions = tuple(
            Decision(point, verdicts[point.record.point_id], obstacles.get(point.record.point_id, ()))
            for point in stored
        )
        return VmDecisions(
            vm_id, decisions, tuple(point for point in stored if point.record.point_id in lost)
        )

    async def _obstacles(self, unwanted: Sequence[StoredPoint]) -> dict[str, tuple[str, ...]]:
        """Say what keeps each unwanted point of a VM (newest first) for now; the oldest ones go first."""
        found: dict[str, tuple[str, ...]] = {point.record.point_id: WAITING for point in unwanted}
        going = 0
        for some in batched(unwanted[: -MOST_LOOKED_AT - 1 : -1], MOST_AT_ONCE, strict=False):
            looks = await asyncio.gather(*(self._deleting.look(point.record) for point in some))
            for point, look in zip(some, looks, strict=True):
                if going == MOST_AT_ONCE:
                    return found
                found[point.record.point_id] = look.obstacles
                going += not look.obstacles
        return found

    async def _verdicts(
        self, points: Sequence[StoredPoint], rules: Retention, now: int
    ) -> tuple[dict[str, Verdict], set[str]]:
        """Decide, and make sure that the points for whose sake others may go are really there.

        Somebody may have deleted them by hand since the catalogue was compared with Azure. Those of which
        something is gone are given too; it was decided without them.
        """
        zone = zone_of(rules.time_zone, "retention.time_zone")
        records = {point.record.point_id: point.record for point in points}
        seen: set[str] = set()
        lost: set[str] = set()
        while True:
            candidates = [candidate(record, now, lost) for record in records.values()]
            verdicts = {each.candidate.point_id: each for each in plan(candidates, rules, zone, now)}
            unseen = protected(candidates) - seen
            if not unseen or all(verdict.keep for verdict in verdicts.values()):
                return verdicts, lost
            for point_id in unseen:
                look = await self._deleting.look(records[point_id])
                if len(look.there) < len(records[point_id].resources):
                    lost.add(point_id)
            seen |= unseen

    async def _retain(self, policy: str, vm_id: str, rules: Retention) -> None:
        decided = await self.decide(policy, vm_id, rules)
        for point in decided.lost:
            await self._deleting.note_missing(point, await self._deleting.look(point.record))
        for decision in decided.decisions:
            if decision.goes:
                try:
                    await self._deleting.begin(decision.stored, "; ".join(decision.verdict.why))
                except PointChanged:  # somebody has just held it, say: the next pass decides again
                    continue
            elif decision.obstacles not in ((), WAITING):
                record = decision.stored.record
                _log.warning(
                    "stillframe deletes not: vm=%s point=%s: %s",
                    vm_id, record.point_id, "; ".join(decision.obstacles),
                )  # fmt: skip
        async for point in self._points.of_vms([vm_id]):
            if point.record.policy == policy:
                await self._deleting.go_on(point)

    async def _rules(self, policy: str) -> Retention:
        rules = read_policy((await self._policies.get(policy)).document).retention
        if rules is None:
            raise NoRetention(policy)
        return rules

    async def _each[T](self, vm_ids: Sequence[str], job: Callable[[str], Awaitable[T]]) -> list[T]:
        """Do a job for each VM, a few at once.

        Raises:
            ComputeError: one failed, after the others have been done.
        """
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(vm_id: str) -> T:
            async with places:
                return await job(vm_id)

        ended = await asyncio.gather(*(one(vm_id) for vm_id in vm_ids), return_exceptions=True)
        done: list[T] = []
        for each in ended:
            if isinstance(each, BaseException):
                raise each
            done.append(each)
        return done


def candidate(record: PointRecord, now: int, lost: Container[str] = ()) -> Candidate:
    """Say of a point what retention looks at; of those in ``lost`` something is gone.

    One that was rebuilt takes no other's place before it is let go: nothing goes because records came back.
    """
    aside = record.rebuilt and record.held(now)
    return Candidate(
        point_id=record.point_id,
        created=record.created,
        outcome=Outcome.DEGRADED if aside else record.outcome,
        grade=record.grade,
        whole=record.state is PointState.AVAILABLE and record.point_id not in lost and not record.lacking,
        held=record.hold.reason if record.hold is not None and record.held(now) else "",
    )
