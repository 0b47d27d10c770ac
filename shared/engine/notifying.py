"""Who is told of what, and when. Everything is told at least once; a repetition has the same event id.

A notice is a message on a queue of its own (``delivering.py`` takes it from there), so that no receiver can
keep a saga waiting. It is written before what it is about is marked as done: a crash in between repeats it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from shared.engine import notice_events
from shared.engine.group_views import groups_in_short
from shared.engine.notice_events import Event, Lateness
from shared.engine.notice_messages import Notice
from shared.engine.ports import Clock
from shared.engine.queue_names import NOTICES
from shared.engine.run_settings import RUNS_KEPT, KeptRunSettings
from shared.policy.notifications import NoticeKind, NoticePer, Notification
from shared.saga.state import SagaState
from shared.storage.groups import GroupTable
from shared.storage.ports import MessageQueues
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.selections import SelectionTable

#: Rows of a run's index that one look for a VM that goes on reads: mostly the first of them does.
_LOOK = 8
#: Told of a run.
_ENDED, _OVERDUE = "ended", "overdue"


class Notices:
    """Tells those whom a run's settings name. ``source`` is the ``source`` of every event: this app."""

    def __init__(
        self,
        *,
        runs: RunTable,
        selections: SelectionTable,
        settings: KeptRunSettings,
        groups: GroupTable,
        queues: MessageQueues,
        clock: Clock,
        source: str,
    ) -> None:
        self._runs = runs
        self._selections = selections
        self._settings = settings
        self._groups = groups
        self._queues = queues
        self._clock = clock
        self._source = source
        self._ended_up_to: OrderedDict[str, str] = OrderedDict()

    async def vm_ended(self, state: SagaState) -> None:
        """Tell of a VM's end, after its last try; to be called before the run's index says that it ended."""
        listed = await self._settings.notifications(state.spec.run_id)
        if any(each.per is NoticePer.VM for each in listed):
            kind, event = notice_events.vm_ended(self._source, state)
            await self._tell(listed, NoticePer.VM, kind, event)

    async def vm_recorded(self, run_id: str) -> None:
        """Tell of the run's end if it was the last VM; to be called after its end stands in the index.

        Of two last ones that end at the same time at least one sees the other's row. What a crash leaves
        untold, the sweep tells.
        """
        listed = await self._settings.notifications(run_id)
        if any(each.per is NoticePer.RUN for each in listed) and await self._all_have_ended(run_id):
            await self.run_ended(run_id)

    async def run_ended(self, run_id: str) -> None:
        """Tell of the end of a run, unless a VM goes on or that end was told before.

        A run whose VMs are tried again later ends again, and that is another end.
        """
        listed = await self._settings.notifications(run_id)
        if not any(each.per is NoticePer.RUN for each in listed):
            return
        entries = await self._entries(run_id)
        if not all(entry.outcome for entry in entries):
            return
        record = await self._selections.with_unread(await self._runs.get(run_id))
        if record.selecting:  # more VMs may come
            return
        what = f"{_ENDED}-{max((entry.ended_at or 0 for entry in entries), default=0)}"
        if await self._runs.was_told(run_id, what):
            return
        groups = groups_in_short(record, await self._groups.of_record(record))
        kind, event = notice_events.run_ended(self._source, record, entries, groups)
        await self._tell(listed, NoticePer.RUN, kind, event)
        await self._runs.note_told(run_id, what)

    async def overdue(self, run_id: str, entry: RunEntry, phase: str, since: int) -> None:
        """Tell that a VM's saga is overdue since a time (ms since the epoch): once per VM, once per run."""
        listed = await self._settings.notifications(run_id)
        wanted = [each for each in listed if NoticeKind.OVERDUE in each.on]
        late = Lateness(entry=entry, phase=phase, since=since)
        for per in sorted({each.per for each in wanted}):
            what = _OVERDUE if per is NoticePer.RUN else f"{_OVERDUE}-{entry.saga_id}"
            if await self._runs.was_told(run_id, what):
                continue
            event = await self._overdue_event(run_id, per, late)
            await self._tell(wanted, per, NoticeKind.OVERDUE, event)
            await self._runs.note_told(run_id, what)

    async def missed(
        self, policy: str, notifications: Sequence[Notification], schedule: str, due: int, why: str
    ) -> None:
        """Tell that a policy's schedule had no run at ``due`` (ms since the epoch), and why, in a sentence.

        ``schedule`` is its name, empty where it has none. To be called before the due time moves on.
        """
        event = notice_events.schedule_missed(self._source, policy, schedule, due, why)
        await self._tell(notifications, NoticePer.RUN, NoticeKind.MISSED, event)

    async def _overdue_event(self, run_id: str, per: NoticePer, late: Lateness) -> Event:
        record = await self._runs.get(run_id)
        if per is NoticePer.VM:
            return notice_events.vm_overdue(self._source, record, late)
        entries = await self._entries(run_id)
        groups = groups_in_short(record, await self._groups.of_record(record))
        return notice_events.run_overdue(self._source, record, entries, late, groups)

    async def _entries(self, run_id: str) -> list[RunEntry]:
        """Give the row of each VM's latest try."""
        return [entry async for entry in self._runs.entries(run_id) if not entry.retried]

    async def _tell(
        self, listed: Sequence[Notification], per: NoticePer, kind: NoticeKind, event: Event
    ) -> None:
        now = self._clock()
        notices = [
            Notice(event=event, webhook=each.webhook, queue=each.queue, first_at=now)
            for each in listed
            if each.per is per and kind in each.on
        ]
        await asyncio.gather(*(self._queues.send(NOTICES, notice.text()) for notice in notices))

    async def _all_have_ended(self, run_id: str) -> bool:
        """Look for a VM that goes on, from where the last look found one: all looks together read it once.

        A VM that is tried again since may be behind that place: whoever tells looks at all of them.
        """
        after = self._ended_up_to.get(run_id)
        while True:
            entries = await self._runs.page(run_id, after, _LOOK)
            for entry in entries:
                if not entry.outcome:
                    self._keep(run_id, after)
                    return False
                after = entry.saga_id
            if len(entries) < _LOOK:
                self._ended_up_to.pop(run_id, None)
                return True

    def _keep(self, run_id: str, after: str | None) -> None:
        if after is None:
            return
        self._ended_up_to[run_id] = after
        self._ended_up_to.move_to_end(run_id)
        if len(self._ended_up_to) > RUNS_KEPT:
            self._ended_up_to.popitem(last=False)
