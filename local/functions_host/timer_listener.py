"""Fires one timer function.

The rules of TimerListener (Microsoft.Azure.WebJobs.Extensions, Timers): at start a past-due timer runs once,
whatever number of times it missed; else `runOnStartup` runs it once. Invocations never overlap. The next
occurrence follows the time of the last invocation, or its scheduled time when the timer fired early; one that
has gone by while the function was running is taken at once. Failures are not retried.

The real host lets one instance at a time own a timer, by a blob lease; here one host is all there is.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from local.functions_host.functions import Function, TimerTrigger
from local.functions_host.ncrontab import Schedule
from local.functions_host.protos import TypedData
from local.functions_host.timer_status import TimerStatus, TimerStatusStore, is_monitored, status_at_start

# The clock may be set, and the machine may sleep: look at it again after this long at the latest.
_LONGEST_NAP_S = 60.0

Execute = Callable[[Function, TypedData], Awaitable[object]]


class TimerListener:
    """The loop of one timer. `now` returns the current time, aware, in the schedule's zone."""

    def __init__(
        self,
        *,
        function: Function,
        trigger: TimerTrigger,
        schedule: Schedule,
        store: TimerStatusStore,
        execute: Execute,
        now: Callable[[], datetime],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._function = function
        self._trigger = trigger
        self._schedule = schedule
        self._execute = execute
        self._now = now
        self._log = log
        self._stopped = asyncio.Event()
        monitored = is_monitored(schedule, now(), use_monitor=trigger.use_monitor)
        self._store = store if monitored else None
        self._status = TimerStatus(None, schedule.next_after(now()), now())

    async def run(self) -> None:
        """Fire until stop() is called; an invocation under way is finished first."""
        past_due = self._load_status()
        if past_due:
            self._log.info("past due since %s, running now", self._status.next.isoformat())
            await self._fire(past_due=True, scheduled=False)
        elif self._trigger.run_on_startup:
            await self._fire(past_due=False, scheduled=False)
        while not await self._stopped_before(self._status.next):
            await self._fire(past_due=False, scheduled=True)

    def stop(self) -> None:
        """Fire no more."""
        self._stopped.set()

    async def run_by_hand(self) -> None:
        """One invocation outside of the schedule, which it does not change."""
        await self._execute(self._function, self._timer_info(past_due=False))

    def _load_status(self) -> bool:
        """Take over the recorded status; is the timer past due by it?"""
        if self._store is None:
            return False
        recorded = self._store.load(self._function.name)
        self._status = status_at_start(recorded, self._schedule, self._now())
        if self._status != recorded:
            self._store.save(self._function.name, self._status)
        return self._now() > self._status.next

    async def _fire(self, *, past_due: bool, scheduled: bool) -> None:
        if self._stopped.is_set():
            return
        invoked = self._now()
        await self._execute(self._function, self._timer_info(past_due=past_due))
        # A timer that fired a little early must not find the same occurrence again.
        last = max(invoked, self._status.next) if scheduled else invoked
        self._status = TimerStatus(last, self._schedule.next_after(last), last)
        if self._store is not None:
            self._store.save(self._function.name, self._status)

    def _timer_info(self, *, past_due: bool) -> TypedData:
        status = self._status.to_json() if self._store is not None else None
        info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}
        return TypedData(json=json.dumps(info))

    async def _stopped_before(self, moment: datetime) -> bool:
        while not self._stopped.is_set():
            remaining_s = (moment - self._now()).total_seconds()
            if remaining_s <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), min(remaining_s, _LONGEST_NAP_S))
        return True
