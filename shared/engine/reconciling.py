"""Reconciliation: what is in Azure against what the records say, both ways.

It reports, and mends two things that are nobody's decision: a recovery point whose saga was never recorded is
recorded now, and a record says that something of it is gone (or there again). It deletes nothing by itself.
"""

import asyncio
from collections.abc import Sequence

from shared.compute.errors import ComputeError
from shared.compute.kept import Kept
from shared.compute.tags import POLICY
from shared.engine.cataloguing import Catalogue, copies_of
from shared.engine.deleting import Deleting, owner_of
from shared.engine.ports import Clock, Compute
from shared.engine.queue_names import POINTS, BadMessageError, PointMessage, PointTask
from shared.logs import logger
from shared.saga.state import Phase, SagaState
from shared.storage.errors import PointNotFound, SagaNotFound, UnusableKey
from shared.storage.findings import Finding, FindingKind, FindingTable, Passes
from shared.storage.point_records import PointRecord, PointState
from shared.storage.points import PointTable, Span, StoredPoint
from shared.storage.ports import MessageQueues, ReloadableSagas

_log = logger("reconciliation")

#: Recovery points that one message looks at, and the pause before the next one (ms): VMs of three disks take
#: about as many reads of Azure as a subscription has for so long (25 a second).
PAGE = 25
PAUSE_MS = 3_000
_AT_ONCE = 8
#: What was made less than this long ago may belong to a saga that is just being written down.
YOUNG_MS = 3_600_000


class NotAnOrphan(Exception):
    """What a finding is about is not, or no longer, something that may be deleted as an orphan."""

    def __init__(self, finding_id: str, why: str) -> None:
        super().__init__(f"finding {finding_id}: {why}")
        self.finding_id = finding_id


class Reconciling:
    """Compares the catalogue with Azure."""

    def __init__(
        self,
        *,
        points: PointTable,
        findings: FindingTable,
        sagas: ReloadableSagas,
        catalogue: Catalogue,
        deleting: Deleting,
        compute: Compute,
        queues: MessageQueues,
        clock: Clock,
    ) -> None:
        self._points = points
        self._findings = findings
        self._sagas = sagas
        self._catalogue = catalogue
        self._deleting = deleting
        self._compute = compute
        self._queues = queues
        self._clock = clock

    async def begin(self) -> int:
        """Begin a comparison; give the number of resource groups. What the last one saw no more is closed."""
        passes = await self._findings.begin_pass(self._clock())
        if passes.before is not None:
            async for finding in self._findings.all():
                if finding.last_seen < passes.before:
                    await self._findings.close(finding.finding_id)
        scopes = await self._points.scopes()
        for scope in scopes:
            subject = f"{scope.subscription_id}/{scope.resource_group}"
            await self._send(PointMessage(PointTask.LIST, subject))
        await self._send(PointMessage(PointTask.LOOK, "all"))
        return len(scopes)

    async def findings(
        self, *, limit: int, after: str = "", kind: FindingKind | None = None
    ) -> list[Finding]:
        """Give the next findings, in the order of their ids."""
        found: list[Finding] = []
        async for finding in self._findings.all(after):
            if kind is None or finding.kind is kind:
                found.append(finding)
            if len(found) == limit:
                break
        return found

    async def passes(self) -> Passes:
        """Say when the last comparisons were begun."""
        return await self._findings.passes()

    async def take(self, message: PointMessage) -> None:
        """Compare the next page of a resource group, or of the records; the one behind is another message's.

        Raises:
            ComputeError: Azure could not be asked; the message comes again.
        """
        if message.task is PointTask.LIST:
            await self._list(message)
        else:
            await self._look(message)

    async def delete_orphan(self, finding_id: str) -> Finding:
        """Delete what was found to be an orphan, if it still is one and nobody is using it.

        Raises:
            FindingNotFound: there is no such finding.
            NotAnOrphan: it is not one, or in use.
            ComputeError: Azure could not do it.
        """
        finding = await self._findings.get(finding_id)
        if finding.kind is not FindingKind.ORPHAN:
            raise NotAnOrphan(finding_id, f"it is about something {finding.kind}, not about an orphan")
        kept = await self._compute.look_at(finding.resource_id)
        if kept is not None:
            if kept.saga_id != finding.point_id or await self._of_nobody(kept) is None:
                raise NotAnOrphan(finding_id, "it is not an orphan any more")
            if kept.in_use:
                raise NotAnOrphan(finding_id, kept.in_use)
            await self._compute.delete(kept.resource_id, kept.saga_id)
            _log.info("stillframe deleted an orphan: %s", kept.resource_id)
        await self._findings.close(finding_id)
        return finding

    async def _list(self, message: PointMessage) -> None:
        subscription, _, group = message.subject.partition("/")
        if not subscription or not group:
            raise BadMessageError(POINTS, "subject", "subscription/resource group")
        page, following = await self._compute.list_kept(subscription, group, message.after)
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(kept: Kept) -> None:
            async with places:
                why = await self._of_nobody(kept)
            if why is not None:
                policy = kept.tags.get(POLICY, "")
                await self._note(FindingKind.ORPHAN, kept.resource_id, kept.saga_id, policy, why)

        await asyncio.gather(*(one(kept) for kept in page if kept.saga_id))
        if following:
            await self._send(PointMessage(PointTask.LIST, message.subject, following))

    async def _of_nobody(self, kept: Kept) -> str | None:
        """Say why something with our tags is nobody's; None when it is somebody's, or may be."""
        try:
            record = (await self._points.get(kept.saga_id)).record
        except PointNotFound:
            return await self._of_no_saga(kept)
        except UnusableKey:
            return "its tag names a saga that there cannot be"
        if not _names((*record.resources, *record.copies), kept.resource_id):
            return f"the recovery point {record.point_id} is made of others (generation {record.generation})"
        if record.state is PointState.DELETED:
            return f"the record of {record.point_id} says that it was deleted"
        return None

    async def _of_no_saga(self, kept: Kept) -> str | None:
        state = await self._saga(kept.saga_id)
        if state is None:
            young = kept.created is None or self._clock() - kept.created < YOUNG_MS
            return (
                None
                if young
                else "no record and no saga of that id are known; if records were lost, rebuild them first"
            )
        if state.phase is not Phase.DONE:
            return None
        mine = (*(copy.snapshot_id for copy in state.recovery_point), *copies_of(state))
        if state.recovery_point and _names(mine, kept.resource_id):
            await self._catalogue.saga_ended(state)
            return None
        return f"left behind: its saga ended as {state.outcome} without it"

    async def _saga(self, saga_id: str) -> SagaState | None:
        try:
            return (await self._sagas.reload(saga_id)).state
        except SagaNotFound:
            return None

    async def _look(self, message: PointMessage) -> None:
        page: list[StoredPoint] = []
        async for point in self._points.of_all(Span(after=message.after)):
            page.append(point)
            if len(page) == PAGE:
                break

        async def one(point: StoredPoint) -> None:
            try:
                await self._look_at(point)
            except ComputeError as error:  # one point keeps no other from it; the next comparison asks again
                record = point.record
                _log.warning(
                    "stillframe reconciliation: vm=%s point=%s: Azure could not be asked: %s",
                    record.vm_id, record.point_id, error,
                )  # fmt: skip

        await asyncio.gather(*(one(point) for point in page))
        if len(page) == PAGE:  # last, so that a page that comes again has not sent the next one before
            following = PointMessage(PointTask.LOOK, message.subject, page[-1].place)
            await self._send(following, delay_ms=PAUSE_MS)

    async def _look_at(self, point: StoredPoint) -> None:
        if point.record.state in (PointState.AVAILABLE, PointState.MISSING):
            await self._compare(point)
        else:
            await self._deleting.go_on(point)

    async def _compare(self, point: StoredPoint) -> None:
        record = point.record
        look = await self._deleting.look(record)
        missing = await self._deleting.note_missing(point, look)
        for resource in missing:
            why = f"the recovery point {record.point_id} needs it, and Stillframe did not delete it"
            await self._note_of(record, FindingKind.MISSING, resource, why)
        for kept in look.there:
            why = kept.disagrees(owner_of(record))
            if why:
                await self._note_of(record, FindingKind.MISMATCH, kept.resource_id, why)

    async def _note_of(self, record: PointRecord, kind: FindingKind, resource_id: str, why: str) -> None:
        await self._note(kind, resource_id, record.point_id, record.policy, why)

    async def _note(
        self, kind: FindingKind, resource_id: str, point_id: str, policy: str, detail: str
    ) -> None:
        now = self._clock()
        finding = Finding(
            kind=kind,
            resource_id=resource_id,
            point_id=point_id,
            policy=policy,
            detail=detail,
            first_seen=now,
            last_seen=now,
        )
        if await self._findings.note(finding):
            _log.warning("stillframe finding: kind=%s resource=%s: %s", kind, resource_id, detail)

    async def _send(self, message: PointMessage, *, delay_ms: int = 0) -> None:
        await self._queues.send(POINTS, message.text(), delay_ms=delay_ms)


def _names(resource_ids: Sequence[str], resource_id: str) -> bool:
    return resource_id.lower() in {each.lower() for each in resource_ids}
