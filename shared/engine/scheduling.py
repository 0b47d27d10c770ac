"""The use cases of stored policies: store one, run it, run those whose time has come."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.engine.ports import Clock
from shared.engine.run_settings import RunSettings
from shared.engine.running import RunRequest, RunService
from shared.logs import About, about, logger
from shared.policy.documents import Policy, RunDocument, Schedule, read_policy
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import GuestProcessing
from shared.policy.notifications import Notification
from shared.policy.snapshots import SnapshotSettings
from shared.storage.errors import PolicyNotFound
from shared.storage.policies import PolicyTable, StoredPolicy

_log = logger("schedules")


class PolicyService:
    """Stored policies and their schedules."""

    def __init__(
        self,
        policies: PolicyTable,
        runs: RunService,
        clock: Clock,
        *,
        check_receivers: Callable[[Sequence[Notification]], None] = lambda _: None,
    ) -> None:
        self._policies = policies
        self._runs = runs
        self._clock = clock
        self._check_receivers = check_receivers

    async def put(self, name: str, data: Any, etag: str | None) -> StoredPolicy:
        """Check and store a policy.

        Raises:
            DocumentError: names the field that is wrong; nothing was stored.
            PolicyChanged: ``etag`` is not the stored one's.
        """
        policy = read_policy(data)
        self._check_receivers(policy.notifications)
        due = next_time(policy.schedule, self._clock()) if policy.schedule else None
        if policy.retention is not None:
            zone_of(policy.retention.time_zone, "retention.time_zone")
        return await self._policies.put(name, data, etag, next_due=due)

    async def get(self, name: str) -> StoredPolicy:
        """Read a policy. Raises ``PolicyNotFound``."""
        return await self._policies.get(name)

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
            DocumentError: a VM is not one of the policy's.
            IdempotencyMismatch: the key was used for another request.
        """
        if not document.policy:
            self._check_receivers(document.notifications)
            settings = replace(_own_settings(document), rehearsal=rehearsal)
            request = RunRequest(document, document.vms, settings, requested_by, idempotency_key)
            return await self._runs.start(request)
        policy = read_policy((await self._policies.get(document.policy)).document)
        mine = {vm.lower() for vm in policy.vms}
        for index, vm in enumerate(document.vms):
            if vm.lower() not in mine:
                raise DocumentError(f"vms[{index}]", f"is not a VM of the policy {document.policy}")
        vms = document.vms or policy.vms
        settings = replace(_settings(document.policy, policy), rehearsal=rehearsal)
        request = RunRequest(document, vms, settings, requested_by, idempotency_key)
        return await self._runs.start(request)

    async def settings_of(self, document: RunDocument) -> RunSettings:
        """Give the settings that a run would have that somebody asks for.

        Raises:
            PolicyNotFound: the policy is not stored.
        """
        if not document.policy:
            return _own_settings(document)
        policy = read_policy((await self._policies.get(document.policy)).document)
        return _settings(document.policy, policy)

    async def start_due(self) -> list[str]:
        """Start a run of each policy whose time has come; give their ids.

        A policy whose time passed more than once while nobody looked runs once. One that cannot be read, or
        was just removed, keeps no other from running.
        """
        now, started = self._clock(), []
        async for name, due in self._policies.due(now):
            try:
                started.append(await self._start_scheduled(name, due, now))
            except (DocumentError, PolicyNotFound) as error:
                _log.error("policy %s: no run by schedule: %s", name, error)
        return started

    async def _start_scheduled(self, name: str, due: int, now: int) -> str:
        policy = read_policy((await self._policies.get(name)).document)
        # The key makes the run one, however many instances see the policy due, and after a crash too: the
        # run is there before the due time moves on. No header can carry a line break, so no user's key is
        # ever this one.
        key = f"schedule\n{name}\n{due}"
        asked = RunDocument(policy=name)
        request = RunRequest(asked, policy.vms, _settings(name, policy), "schedule", key)
        run_id = await self._runs.start(request)
        following = next_time(policy.schedule, now) if policy.schedule else None
        await self._policies.claim_due(name, due, following)
        with about(About(run_id)):
            _log.info("policy %s: by schedule", name)
        return run_id


def next_time(schedule: Schedule, now: int) -> int:
    """Give the next time (ms since the epoch) of a schedule after ``now``.

    Daylight saving is cronsim's, that is Debian cron's: a time that a change leaves out comes right after it,
    one that comes twice counts once.

    Raises:
        DocumentError: the expression or the time zone is none.
    """
    zone = zone_of(schedule.time_zone, "schedule.time_zone")
    local = datetime.fromtimestamp(now / 1000, UTC).astimezone(zone)
    try:
        return int(next(CronSim(schedule.cron, local)).timestamp() * 1000)
    except (CronSimError, StopIteration) as error:
        raise DocumentError("schedule.cron", f"expected a cron expression: {error}") from None


def zone_of(name: str, field: str) -> ZoneInfo:
    """Give a time zone of the IANA database by its name.

    Raises:
        DocumentError: there is none of that name; ``field`` is where it was given.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a region without a city is a folder
        raise DocumentError(field, "expected a name like Europe/Berlin") from None


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
    )


def _settings(name: str, policy: Policy) -> RunSettings:
    return RunSettings(
        policy_name=name,
        guest=policy.guest,
        layers=policy.layers,
        snapshots=policy.snapshots,
        disks=policy.disks,
        concurrency=policy.concurrency,
        retry=policy.retry,
        notifications=policy.notifications,
    )
