"""The use cases of stored policies: store one, run it, run those whose time has come."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.engine import times
from shared.engine.due import DueRuns, settings_of
from shared.engine.notifying import Notices
from shared.engine.ports import Clock
from shared.engine.previewing import Previewing, times_view
from shared.engine.run_requests import RunRequest, groups_of
from shared.engine.run_settings import RunSettings
from shared.engine.running import RunService
from shared.engine.selecting import Selecting
from shared.policy.documents import Policy, RunDocument, read_policy
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import GuestProcessing
from shared.policy.notifications import Notification
from shared.policy.snapshots import SnapshotSettings
from shared.storage.errors import PolicyNotFound
from shared.storage.policies import PolicyTable, StoredPolicy


class PolicyService:
    """Stored policies and their schedules."""

    def __init__(
        self,
        policies: PolicyTable,
        runs: RunService,
        selecting: Selecting,
        previewing: Previewing,
        clock: Clock,
        *,
        check_receivers: Callable[[Sequence[Notification]], None] = lambda _: None,
        notices: Notices | None = None,
    ) -> None:
        self._policies = policies
        self._runs = runs
        self._selecting = selecting
        self._previewing = previewing
        self._clock = clock
        self._due = DueRuns(policies, runs, clock, notices)
        self._check_receivers = check_receivers

    async def put(self, name: str, data: Any, etag: str | None) -> StoredPolicy:
        """Check and store a policy.

        A time that has come but was not yet looked at stays due, if its schedule is what it was.

        Raises:
            DocumentError: names the field that is wrong; nothing was stored.
            PolicyChanged: ``etag`` is not the stored one's.
        """
        policy = read_policy(data)
        dues = self.check(policy)
        kept = await self._still_due(name, policy)
        return await self._policies.put(name, data, etag, dues=dues | kept)

    async def get(self, name: str) -> StoredPolicy:
        """Read a policy. Raises ``PolicyNotFound``."""
        return await self._policies.get(name)

    async def listed(self, *, after: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """Show the ``limit`` policies behind the name ``after``, and where the next page begins.

        A stored document that this version cannot read is shown with what is wrong with it.
        """
        stored = await self._policies.page(after, limit)
        shown = [await self._summary(each) for each in stored]
        return shown, stored[-1].name if len(stored) == limit else ""

    async def times(self, stored: StoredPolicy) -> Sequence[dict[str, Any]]:
        """Show when the schedules of a policy are due, and what became of the times before."""
        try:
            policy = read_policy(stored.document)
        except DocumentError:
            return []
        rows = {due.schedule: due async for due in self._policies.schedules(stored.name)}
        return [times_view(rows[each.name]) for each in policy.schedules if each.name in rows]

    async def preview(self, document: Any, limit: int) -> dict[str, Any]:
        """Show which VMs a policy selects now, and when its schedules come.

        Raises:
            DocumentError: names the field that is wrong.
        """
        policy = read_policy(document)
        self.check(policy)
        return await self._previewing.preview(policy, limit)

    async def _summary(self, stored: StoredPolicy) -> dict[str, Any]:
        problem = None
        try:
            read_policy(stored.document)
        except DocumentError as error:
            problem = str(error)
        return {
            "policy": stored.name,
            "href": f"/api/policies/{stored.name}",
            "description": stored.document.get("description"),
            "problem": problem,
            "schedules": await self.times(stored),
        }

    async def delete(self, name: str, etag: str | None) -> None:
        """Remove a policy; its runs and recovery points stay.

        Raises:
            PolicyNotFound: there is none of that name.
            PolicyChanged: ``etag`` is not the stored one's.
        """
        await self._policies.delete(name, etag)

    async def start(
        self, document: RunDocument, requested_by: str, idempotency_key: str, *, rehearsal: bool = False
    ) -> str:
        """Start the run, or the rehearsal of one, that somebody asks for; give its id.

        Raises:
            PolicyNotFound: the policy is not stored.
            DocumentError: a VM is not one of the policy's, or the schedule is not.
            ComputeError: it cannot be seen whether a VM is one of the policy's.
            IdempotencyMismatch: the key was used for another request.
        """
        if not document.policy:
            self._check_receivers(document.notifications)
            settings = replace(_own_settings(document), rehearsal=rehearsal)
            groups = groups_of(settings, document.vms)
            request = RunRequest(document, document.vms, settings, requested_by, idempotency_key, groups)
            return await self._runs.start(request)
        policy = read_policy((await self._policies.get(document.policy)).document)
        schedule = policy.schedule_named(document.schedule) if document.schedule else None
        if document.schedule and schedule is None:
            raise DocumentError("schedule", f"is not a schedule of the policy {document.policy}")
        settings = replace(settings_of(document.policy, policy, schedule), rehearsal=rehearsal)
        vms = policy.selection.listed()
        known = None
        if document.vms:
            known = await self._selecting.require_selected(document.policy, policy.selection, document.vms)
            vms, settings = document.vms, settings.without_selection()
        groups = groups_of(settings, vms, known)
        request = RunRequest(document, vms, settings, requested_by, idempotency_key, groups)
        return await self._runs.start(request)

    async def settings_of(self, document: RunDocument) -> RunSettings:
        """Give the settings that a run would have that somebody asks for.

        Raises:
            PolicyNotFound: the policy is not stored.
        """
        if not document.policy:
            return _own_settings(document)
        policy = read_policy((await self._policies.get(document.policy)).document)
        schedule = policy.schedule_named(document.schedule) if document.schedule else None
        return settings_of(document.policy, policy, schedule)

    async def start_due(self) -> list[str]:
        """Start a run for each schedule whose time has come; give their ids. See ``due.py``."""
        return await self._due.start()

    def check(self, policy: Policy) -> dict[str, int | None]:
        """See whether all that a policy says of times can be; give when its schedules are due first.

        Raises:
            DocumentError: names the field that is wrong.
        """
        self._check_receivers(policy.notifications)
        if policy.retention is not None:
            times.zone_of(policy.retention.time_zone, "retention.time_zone")
        now = self._clock()
        return {each.name: times.first_due(each, now) for each in policy.schedules}

    async def _still_due(self, name: str, policy: Policy) -> dict[str, int | None]:
        """Give the times of unchanged schedules that have come already."""
        now = self._clock()
        try:
            before = read_policy((await self._policies.get(name)).document)
        except (PolicyNotFound, DocumentError):
            return {}
        kept: dict[str, int | None] = {}
        async for due in self._policies.schedules(name):
            old, new = before.schedule_named(due.schedule), policy.schedule_named(due.schedule)
            if due.next_due is None or due.next_due > now or old is None or new is None or new.paused:
                continue
            if (old.cron, old.time_zone) == (new.cron, new.time_zone):
                kept[due.schedule] = due.next_due
        return kept


def _own_settings(document: RunDocument) -> RunSettings:
    return RunSettings(
        policy_name="",
        guest=document.guest or GuestProcessing(),
        layers=document.layers,
        snapshots=document.snapshots or SnapshotSettings(),
        disks=document.disks,
        concurrency=document.concurrency,
        retry=document.retry,
        notifications=document.notifications,
        groups=document.groups,
    )
