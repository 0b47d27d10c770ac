"""The sweep: the runs that go on are looked through, and what lost messages left behind is mended."""

from collections.abc import Sequence

from shared.engine import measuring
from shared.engine.cataloguing import Catalogue
from shared.engine.following import Successors
from shared.engine.grouping import Grouping
from shared.engine.notifying import Notices
from shared.engine.ports import Clock
from shared.engine.queue_names import RUNS, STEPS, RunMessage, RunTask, StepMessage
from shared.engine.run_listing import figures_of, listed
from shared.engine.run_pages import for_each_that_can, step_of, whose_turn_has_come
from shared.engine.selecting import Selecting
from shared.engine.stepping import Steps
from shared.engine.views import run_entry
from shared.logs import About, about, logger
from shared.saga.events import CancelRequested
from shared.saga.state import Outcome, Phase, SagaState
from shared.storage.errors import RunNotFound, SagaNotFound
from shared.storage.ports import ReloadableSagas, WatchedQueues
from shared.storage.run_list import RunList
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.runs import RunTable
from shared.storage.turns import TurnTable

_log = logger("runs")

#: A saga that is not there this long after its run began lost its start message: so long for any, and so much
#: more for each VM of the run, since the fan-out sends the last of them later. While messages wait in the
#: queues for longer than that, none is taken for lost.
UNSTARTED_MS, UNSTARTED_EACH_MS = 60_000, 50
#: A saga is swept this long after its deadline: its own watch comes first.
OVERDUE_MS = 5_000
#: A sweep reads every saga that goes on. With more VMs than this a run is swept not every minute (ms) but
#: every second one, and so on, though never less often than health takes a late saga for a problem.
SWEPT_AT_ONCE, SWEEP_EVERY_MS, SWEPT_EVERY_AT_MOST = 1_000, 60_000, 4
#: A run whose creation was broken off this long ago is left alone: nobody was told of it.
BROKEN_OFF_MS = 3_600_000


class Sweeping:
    """Looks through the runs that go on."""

    def __init__(
        self,
        *,
        runs: RunTable,
        sagas: ReloadableSagas,
        queues: WatchedQueues,
        steps: Steps,
        selecting: Selecting,
        clock: Clock,
        catalogue: Catalogue | None = None,
        turns: TurnTable | None = None,
        following: Successors | None = None,
        run_list: RunList | None = None,
        notices: Notices | None = None,
        grouping: Grouping | None = None,
    ) -> None:
        self._runs = runs
        self._sagas = sagas
        self._queues = queues
        self._steps = steps
        self._selecting = selecting
        self._clock = clock
        self._catalogue = catalogue
        self._turns = turns
        self._following = following
        self._list = run_list
        self._notices = notices
        self._grouping = grouping

    async def sweep(self) -> int:
        """Have every run that goes on looked through; give how many those are."""
        count = 0
        async for run_id in self._runs.active():
            await self._queues.send(RUNS, RunMessage(RunTask.SWEEP, run_id).text())
            count += 1
        measuring.swept(count)
        return count

    async def is_swept_now(self, run_id: str) -> bool:
        """Whether a run is swept in this minute: a large one is left out now and then."""
        try:
            run = await self._runs.get(run_id)
        except RunNotFound:
            return True
        every = min(1 + run.vm_count // SWEPT_AT_ONCE, SWEPT_EVERY_AT_MOST)
        return self._clock() // SWEEP_EVERY_MS % every == 0

    async def look_through(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        """Look at the VMs of a page that go on; gives the sagas that are left for later."""
        try:
            run = await self._runs.get(message.run_id)
        except RunNotFound:
            await self._retire_if_broken_off(message.run_id, entries)
            return ()
        if run.selecting:
            await self._selecting.mend(run)
            return ()

        if self._grouping is not None and run.settings.get("groups") and not message.after:
            await self._grouping.look_at_all(message.run_id)
        begun = await whose_turn_has_come(self._turns, message.run_id, entries)
        lost_before = await self._lost_before(run) if entries else 0

        async def look(entry: RunEntry) -> None:
            step = step_of(message.run_id, entry)
            if entry not in begun and not run.cancel_requested:
                return
            if run.cancel_requested:  # its message may be lost
                await self._steps.end(step, CancelRequested())
            await self.look(step, entry, lost_before)

        left = await for_each_that_can(message.task, entries, look, self._clock)
        if not entries and not message.after:
            await self._retire_if_ended(message.run_id)
        return left

    async def mend_turns(self, run_id: str, entries: Sequence[RunEntry]) -> None:
        """Pass on the turns of VMs that ended and whose hosts died before they could."""
        if self._turns is None or self._following is None:
            return
        ended = [
            entry
            for entry in entries
            if entry.outcome not in ("", Outcome.CANCELLED) and not entry.retried and _takes_turns(entry)
        ]
        if not ended:
            return
        passed = await self._turns.passed_on(run_id, entries[0].saga_id, entries[-1].saga_id)
        for entry in ended:
            if entry.saga_id not in passed:
                await self._following.pass_on(run_id, entry.vm_id)

    async def look(self, step: StepMessage, entry: RunEntry, lost_before: int | None = None) -> None:
        """Mend what a lost message left behind: a saga unstarted, overdue, or not recorded as ended."""
        now = self._clock()
        try:
            state = (await self._sagas.reload(step.saga_id)).state
        except SagaNotFound:
            asked_at = entry.started_at or 0
            if asked_at < (now - UNSTARTED_MS if lost_before is None else lost_before):
                with about(About(step.run_id, step.saga_id)):
                    _log.warning("never started, started now")
                    measuring.mended("unstarted")
                try:
                    await self._tell_overdue(step.run_id, entry, Phase.PENDING, asked_at + UNSTARTED_MS)
                finally:  # it is mended whether or not anybody could be told
                    await self._steps.start(step)
            return
        if state.phase is Phase.DONE and now - (state.ended_at or 0) <= OVERDUE_MS:
            return  # whoever ended it is about to record that, and to tell of it
        if state.phase is Phase.DONE:
            measuring.mended("unrecorded")
            if self._catalogue is not None:
                await self._catalogue.saga_ended(state)
            await self._has_ended(state)
        elif state.deadline is not None and now > state.deadline + OVERDUE_MS:
            late = About(step.run_id, step.saga_id, state.generation, state.phase.value)
            with about(late):
                _log.warning("overdue by %d s", (now - state.deadline) // 1000)
            measuring.mended("overdue")
            try:
                await self._tell_overdue(step.run_id, entry, state.phase, state.deadline)
            finally:
                await self._steps.look(step)

    async def _lost_before(self, run: RunRecord) -> int:
        """Give the time (ms) before which a saga must have been asked for to be there, were nothing lost."""
        waiting = [await self._queues.waiting_since(queue) for queue in (STEPS, RUNS)]
        taken_until = min([self._clock(), *(since for since in waiting if since is not None)])
        return taken_until - UNSTARTED_MS - run.vm_count * UNSTARTED_EACH_MS

    async def _has_ended(self, state: SagaState) -> None:
        if self._following is None:
            await self._runs.end_entry(state.spec.run_id, run_entry(state))
        else:
            await self._following.ended(state, run_entry(state))

    async def _tell_overdue(self, run_id: str, entry: RunEntry, phase: Phase, since: int) -> None:
        """Tell of it before it is mended: what cannot be mended is told of too."""
        if self._notices:
            await self._notices.overdue(run_id, entry, phase.value, since)

    async def _retire_if_broken_off(self, run_id: str, entries: Sequence[RunEntry]) -> None:
        """Take a run without a record off the sweep's list, unless its creation may be going on still."""
        now = self._clock()
        if entries and all(now - (entry.started_at or 0) > BROKEN_OFF_MS for entry in entries):
            _log.warning("its creation was broken off, it is forgotten")
            await self._runs.retire(run_id)

    async def _retire_if_ended(self, run_id: str) -> None:
        """Take a run off the sweep's list once its whole index says that every VM has ended."""
        entries = [entry async for entry in self._runs.entries(run_id)]
        if not all(entry.outcome for entry in entries):
            return
        if self._list is not None:
            await self._list.put(listed(await self._runs.get(run_id), figures_of(entries)))
        if self._notices:  # before it is retired, or a crash between the two left it untold
            await self._notices.run_ended(run_id)
        await self._runs.retire(run_id)


def _takes_turns(entry: RunEntry) -> bool:
    """Whether it may have a place in its run's order: later tries have none of their own."""
    return entry.place > 0 or entry.try_number > 1
