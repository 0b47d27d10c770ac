"""Starting the runs of policies whose time has come: each once, however many instances look.

A run is there before its schedule's due time moves on, under a key that is made of that time. So a crash in
between neither loses it nor makes it two; and a time is given up as missed only when no run has this key.
"""

from dataclasses import dataclass, replace

from shared.engine import times
from shared.engine.notifying import Notices
from shared.engine.ports import Clock
from shared.engine.run_requests import RunRequest, groups_of
from shared.engine.run_settings import RunSettings
from shared.engine.running import RunService
from shared.engine.times import Passed
from shared.engine.views import moment
from shared.logs import About, about, logger
from shared.policy.documents import Policy, RunDocument, read_policy
from shared.policy.fields import DocumentError
from shared.policy.schedules import DEFAULT_SCHEDULE, Schedule
from shared.storage.errors import IdempotencyMismatch, PolicyNotFound
from shared.storage.policies import DueSchedule, PolicyTable

_log = logger("schedules")

#: A run that begins this long (ms) after its time is late: the timer looks every minute.
LATE_MS = 120_000


@dataclass(frozen=True, slots=True)
class DueRuns:
    """Starts what is due. It knows nothing between two looks."""

    policies: PolicyTable
    runs: RunService
    clock: Clock
    notices: Notices | None = None

    async def start(self) -> list[str]:
        """Start a run for each schedule whose time has come; give their ids.

        A time that passed more than once while nobody looked makes one run. A policy that cannot be read, or
        was just removed, keeps no other from running. While the app is being drained nothing begins.
        """
        now = self.clock()
        started: list[str] = []
        if self.runs.draining:  # what is due stays due; each schedule says how late it may begin
            _log.info("no run begins while the app is being drained")
            return started
        async for due in self.policies.due(now):
            try:
                run_id = await self.take(due, now)
            except (DocumentError, PolicyNotFound) as error:
                _log.error("policy %s: no run by schedule %s: %s", due.policy, due.schedule, error)
            else:
                started += [run_id] if run_id else []
        return started

    async def take(self, due: DueSchedule, now: int) -> str | None:
        """Start the run of one schedule, or say why it is missed; None when nothing was started."""
        policy = read_policy((await self.policies.get(due.policy)).document)
        schedule = policy.schedule_named(due.schedule)
        if due.next_due is None or schedule is None or schedule.paused:
            await self.policies.claim_due(due, replace(due, next_due=None))
            return None
        passed = times.passed(schedule, due.next_due, now)
        following = times.next_time(schedule, max(now, due.next_due))
        key = _key(due)
        why = _why_not(schedule, passed, now)
        if why and not await self.runs.has_begun(key):
            await self._miss(due, policy, passed, following, why)
            return None
        run_id = await self._run(due, policy, schedule, key)
        if passed.before:
            gone = f"{passed.before} times passed while nobody looked; one run was started for all, {run_id}"
            await self._tell(policy, due, due.next_due, gone)
        await self._move_on(due, run_id, passed, following, now)
        return run_id

    async def _run(self, due: DueSchedule, policy: Policy, schedule: Schedule, key: str) -> str:
        named = "" if due.schedule == DEFAULT_SCHEDULE else due.schedule
        asked = RunDocument(policy=due.policy, schedule=named)
        settings = settings_of(due.policy, policy, schedule)
        vms = policy.selection.listed()
        request = RunRequest(asked, vms, settings, "schedule", key, groups_of(settings, vms))
        try:
            return await self.runs.start(request)
        except IdempotencyMismatch as error:  # an earlier version of the app began this very run
            return error.run_id

    async def _move_on(self, due: DueSchedule, run_id: str, passed: Passed, following: int, now: int) -> None:
        then = replace(due, next_due=following, last_run=run_id, last_run_at=now)
        late = now - passed.last
        if passed.before:
            why = f"{passed.before} times passed while nobody looked; one run was started for all, {run_id}"
            then = replace(then, missed_at=due.next_due, missed_why=why)
        if not await self.policies.claim_due(due, then):
            return
        with about(About(run_id)):
            _log.info("policy %s: by schedule %s", due.policy, due.schedule)
            if late > LATE_MS:
                _log.warning("policy %s: started %d s late", due.policy, late // 1000)
            if passed.before:
                _missed(due, due.next_due, then.missed_why)

    async def _miss(self, due: DueSchedule, policy: Policy, passed: Passed, following: int, why: str) -> None:
        if passed.before:
            why = f"{why}; {passed.before} times before it passed while nobody looked"
        await self._tell(policy, due, passed.last, why)
        then = replace(due, next_due=following, missed_at=passed.last, missed_why=why)
        if await self.policies.claim_due(due, then):
            _missed(due, passed.last, why)

    async def _tell(self, policy: Policy, due: DueSchedule, time: int, why: str) -> None:
        """Tell whom the policy names, before the due time moves on: a crash in between tells it again."""
        if self.notices is not None:
            named = "" if due.schedule == DEFAULT_SCHEDULE else due.schedule
            await self.notices.missed(due.policy, policy.notifications, named, time, why)


def settings_of(name: str, policy: Policy, schedule: Schedule | None = None) -> RunSettings:
    """Give what a run of a stored policy does, by one of its schedules or by none."""
    return RunSettings(
        policy_name=name,
        guest=policy.guest,
        layers=(*policy.layers, *(schedule.layers if schedule else ())),
        snapshots=policy.snapshots,
        concurrency=policy.concurrency,
        retry=policy.retry,
        disks=policy.disks,
        notifications=policy.notifications,
        schedule=schedule.name if schedule else "",
        groups=policy.groups,
        selection=None if policy.selection.is_a_list else policy.selection,
        own_tags=policy.own_tags,
    )


def _key(due: DueSchedule) -> str:
    """Give the key that makes a run one. No header can carry a line break, so no user's key is ever this."""
    named = () if due.schedule == DEFAULT_SCHEDULE else (due.schedule,)
    return "\n".join(("schedule", due.policy, *named, str(due.next_due)))


def _why_not(schedule: Schedule, passed: Passed, now: int) -> str:
    """Say why no run may begin; empty when one may."""
    late = now - passed.last
    if schedule.start_within_ms is not None and late > schedule.start_within_ms:
        return f"{late // 1000} s late, and start_within_ms allows {schedule.start_within_ms // 1000} s"
    blackout = times.blackout_at(schedule, passed.last)
    if blackout is None and late > LATE_MS:  # it was in time, but its late start would not be
        blackout = times.blackout_at(schedule, now)
    return f"it lies in the blackout {blackout.text()}" if blackout else ""


def _missed(due: DueSchedule, time: int | None, why: str) -> None:
    _log.warning(
        "stillframe missed run: policy %s, schedule %s, of %s: %s",
        due.policy,
        due.schedule,
        moment(time),
        why,
    )
