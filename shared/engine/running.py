"""The use cases of a run: start it, go through its VMs page by page, cancel it, sweep it."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.engine import measuring
from shared.engine.cataloguing import Catalogue
from shared.engine.draining import Draining
from shared.engine.following import Successors
from shared.engine.grouping import Grouping
from shared.engine.notifying import Notices
from shared.engine.ports import Clock
from shared.engine.queue_names import RUNS, STEPS, RunMessage, RunTask, StepMessage
from shared.engine.run_listing import figures_of, listed
from shared.engine.run_settings import RunSettings
from shared.engine.script_storing import with_stored_scripts
from shared.engine.selecting import Selecting
from shared.engine.stepping import Steps
from shared.engine.views import run_entry
from shared.logs import About, about, logger
from shared.policy.concurrency import Order
from shared.policy.documents import RunDocument
from shared.policy.groups import group_of, together
from shared.policy.selection import VmSummary, summary_of_id
from shared.saga.codec import encode
from shared.saga.events import CancelRequested, Poisoned
from shared.saga.names import saga_id
from shared.saga.state import Outcome, Phase, SagaState
from shared.storage.errors import RunExists, RunNotFound, SagaNotFound
from shared.storage.guest_scripts import ScriptStore
from shared.storage.ports import ReloadableSagas, WatchedQueues
from shared.storage.run_list import RunList
from shared.storage.runs import RunEntry, RunRecord, RunSelection, RunTable
from shared.storage.turns import TurnTable

_log = logger("runs")

#: VMs that one invocation takes on; the next page is another message.
PAGE = 100
#: Sagas of a page that are worked on at the same time.
AT_ONCE = 8
#: A run of this many VMs or fewer needs no fan-out: whoever asks for it has its sagas started. What a crash
#: in between leaves out, the sweep starts.
STARTED_AT_ONCE = 8
#: A saga that is not there this long after its run began lost its start message: so long for any, and so much
#: more for each VM of the run, since the fan-out sends the last of them later. While messages wait in the
#: queues for longer than that, none is taken for lost.
UNSTARTED_MS, UNSTARTED_EACH_MS = 60_000, 50
#: One invocation takes on VMs for this long (ms), and leaves the rest to another: host.json allows ten
#: minutes, and nobody should have to wait for them.
WORK_FOR_MS = 20_000
#: A saga is swept this long after its deadline: its own watch comes first.
OVERDUE_MS = 5_000
#: A sweep reads every saga that goes on. With more VMs than this a run is swept not every minute (ms) but
#: every second one, and so on, though never less often than health takes a late saga for a problem.
SWEPT_AT_ONCE, SWEEP_EVERY_MS, SWEPT_EVERY_AT_MOST = 1_000, 60_000, 4
#: A run whose creation was broken off this long ago is left alone: nobody was told of it.
BROKEN_OFF_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that somebody asks for with the document ``asked``, and what that means today.

    ``idempotency_key`` is empty when a repetition shall be a new run. ``groups`` has the names of the groups
    that VMs belong to, by the VMs' ids in small letters.
    """

    asked: RunDocument
    vm_ids: tuple[str, ...]
    settings: RunSettings
    requested_by: str
    idempotency_key: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over what is asked for, hex: the same key with something else is refused.

        Not over what it means today: a policy may be changed between a request and its repetition.
        """
        what = json.dumps(encode(self.asked), sort_keys=True)
        kind = "rehearsal\n" if self.settings.rehearsal else ""
        return hashlib.sha256(f"{kind}{what}".encode()).hexdigest()


class RunService:
    """Runs over many VMs."""

    def __init__(
        self,
        *,
        runs: RunTable,
        sagas: ReloadableSagas,
        queues: WatchedQueues,
        steps: Steps,
        scripts: ScriptStore,
        selecting: Selecting,
        clock: Clock,
        new_run_id: Callable[[], str],
        catalogue: Catalogue | None = None,
        turns: TurnTable | None = None,
        following: Successors | None = None,
        run_list: RunList | None = None,
        notices: Notices | None = None,
        grouping: Grouping | None = None,
        drain: bool = False,
    ) -> None:
        self._runs = runs
        self._sagas = sagas
        self._queues = queues
        self._steps = steps
        self._scripts = scripts
        self._selecting = selecting
        self._clock = clock
        self._new_run_id = new_run_id
        self._catalogue = catalogue
        self._turns = turns
        self._following = following
        self._list = run_list
        self._notices = notices
        self._grouping = grouping
        self._drain = drain
        self._tasks = {
            RunTask.FAN_OUT: self._fan_out,
            RunTask.CANCEL: self._cancel,
            RunTask.SWEEP: self._sweep,
            RunTask.FAIL: self._fail,
        }

    async def start(self, request: RunRequest) -> str:
        """Write the run down and have its VMs started; give its id.

        Raises:
            Draining: no new run begins now.
            IdempotencyMismatch: the key was used for another request.
        """
        if self._drain and not await self._was_made(request.idempotency_key):
            raise Draining
        what: telemetry.Attributes = {"policy": request.settings.policy_name, "vms": len(request.vm_ids)}
        with telemetry.span("run", what) as span:
            run_id = await self._start_traced(request)
            span.set_attribute("stillframe.run", run_id)
            return run_id

    async def _start_traced(self, request: RunRequest) -> str:
        run_id = self._new_run_id()
        if request.idempotency_key:
            run_id = await self._runs.claim(
                request.idempotency_key, request.digest(), run_id, at=self._clock()
            )
            try:
                await self._runs.get(run_id)
            except RunNotFound:
                pass  # claimed, but never written: this request does it
            else:
                return run_id
        at_once = _at_once(request.settings)
        entries = _entries(run_id, request, self._clock())
        stored = await with_stored_scripts(request.settings, self._scripts)
        settings = replace(stored, trace=telemetry.here())
        record = self._record(run_id, replace(request, settings=settings))
        if self._list is not None:  # before any row of the run: housekeeping finds what a crash leaves
            await self._list.put(listed(record))
        if request.settings.selection is None:
            await self._prepare(run_id, request.settings, entries)
        try:
            await self._runs.create(record, entries)
        except RunExists:  # the same request, sent twice at once: the other one wrote it first
            return run_id
        self._steps.remember(run_id, settings)  # as they were written: scripts by their pins
        first = entries[:at_once] if at_once else entries
        if settings.selection is not None:
            await self._queues.send(RUNS, RunMessage(RunTask.SELECT, run_id).text())
        elif len(first) <= STARTED_AT_ONCE:
            for entry in first:
                await self._start(run_id, entry)
        else:
            await self._queues.send(RUNS, RunMessage(RunTask.FAN_OUT, run_id).text())
        with about(About(run_id)):
            more = ", and what its rules select" if settings.selection else ""
            _log.info("%d VMs%s, asked for by %s", len(request.vm_ids), more, request.requested_by)
        return run_id

    async def _prepare(self, run_id: str, settings: RunSettings, entries: Sequence[RunEntry]) -> None:
        """Write down what has to be there before a run whose VMs are known; again changes nothing."""
        at_once = _at_once(settings)
        if at_once and self._turns is not None:
            await self._turns.create(run_id, entries, at_once)
        if self._grouping is not None and settings.groups:
            await self._grouping.create(run_id, settings.groups, entries, settings.concurrency)

    async def has_begun(self, idempotency_key: str) -> bool:
        """Whether a run was asked for with this key, be it only that its id was claimed."""
        return await self._runs.claimed(idempotency_key) is not None

    @property
    def draining(self) -> bool:
        """Whether no new run begins."""
        return self._drain

    async def _was_made(self, idempotency_key: str) -> bool:
        """Whether a request with this key has become a run: its repetition is answered as ever."""
        run_id = await self._runs.claimed(idempotency_key) if idempotency_key else None
        if run_id is None:
            return False
        try:
            await self._runs.get(run_id)
        except RunNotFound:
            return False
        return True

    def _record(self, run_id: str, request: RunRequest) -> RunRecord:
        return RunRecord(
            run_id=run_id,
            created_at=self._clock(),
            policy_name=request.settings.policy_name,
            requested_by=request.requested_by,
            vm_count=len(request.vm_ids),
            settings=request.settings.record(),
            cancel_requested=False,
            selection=RunSelection(done=False, looked_at=self._clock())
            if request.settings.selection
            else None,
        )

    async def cancel(self, run_id: str) -> None:
        """Have every saga of a run ended, guests first.

        Raises:
            RunNotFound: there is no such run.
        """
        await self._runs.request_cancel(run_id)
        await self._queues.send(RUNS, RunMessage(RunTask.CANCEL, run_id).text())

    async def take(self, message: RunMessage) -> None:
        """Do a task for one page of a run's VMs, and pass the next page on."""
        if message.task is RunTask.SELECT:
            with (
                about(About(message.run_id)),
                telemetry.span("select", {"run": message.run_id}, of=message.trace, kind=SpanKind.CONSUMER),
            ):
                await self._selecting.go_on(message)
            return
        first_swept = message.task is RunTask.SWEEP and not message.after
        if first_swept and not await self._is_swept_now(message.run_id):
            return
        entries = await self._runs.page(message.run_id, message.after or None, PAGE)
        open_entries = [entry for entry in entries if not entry.outcome]
        what = About(message.run_id)
        name = message.task.value
        with about(what), telemetry.span(name, what.fields(), of=message.trace, kind=SpanKind.CONSUMER):
            left = await self._tasks[message.task](message, open_entries)
            if message.task is RunTask.SWEEP:
                await self._mend_turns(message.run_id, entries)
            if left and message.task is not RunTask.SWEEP:  # which comes again by itself
                begun = [entry.saga_id for entry in entries if entry.saga_id < min(left)]
                following = RunMessage(message.task, message.run_id, begun[-1] if begun else message.after)
                await self._queues.send(RUNS, following.text())
            elif len(entries) == PAGE:
                following = RunMessage(message.task, message.run_id, entries[-1].saga_id)
                await self._queues.send(RUNS, following.text())

    async def sweep(self) -> int:
        """Have every run that goes on looked through; give how many those are."""
        count = 0
        async for run_id in self._runs.active():
            await self._queues.send(RUNS, RunMessage(RunTask.SWEEP, run_id).text())
            count += 1
        measuring.swept(count)
        return count

    async def _is_swept_now(self, run_id: str) -> bool:
        """Whether a run is swept in this minute: a large one is left out now and then."""
        try:
            run = await self._runs.get(run_id)
        except RunNotFound:
            return True
        every = min(1 + run.vm_count // SWEPT_AT_ONCE, SWEPT_EVERY_AT_MOST)
        return self._clock() // SWEEP_EVERY_MS % every == 0

    async def fail(self, message: RunMessage, detail: str) -> None:
        """End the sagas of a run whose message could not be processed.

        What cannot even be ended waits for the sweep.
        """
        with about(About(message.run_id)):
            _log.error("its message %s is given up: %s", message.task, detail)
        if message.task in (RunTask.FAIL, RunTask.SWEEP):
            return
        if message.task is RunTask.SELECT:
            await self._selecting.give_up(message, detail)
            return
        await self._queues.send(RUNS, RunMessage(RunTask.FAIL, message.run_id, message.after).text())

    async def _fan_out(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        begun = await self._whose_turn_has_come(message.run_id, entries)
        return await self._each(begun, lambda entry: self._start(message.run_id, entry))

    async def _start(self, run_id: str, entry: RunEntry) -> None:
        await self._queues.send(STEPS, _step(run_id, entry).text())

    async def _cancel(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        async def end(entry: RunEntry) -> None:
            await self._steps.end(_step(message.run_id, entry), CancelRequested())

        return await self._each(entries, end)

    async def _fail(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        async def end(entry: RunEntry) -> None:
            await self._steps.end(_step(message.run_id, entry), Poisoned("a message of its run"))

        return await self._each_that_can(message, entries, end)

    async def _sweep(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
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
        begun = await self._whose_turn_has_come(message.run_id, entries)
        lost_before = await self._lost_before(run) if entries else 0

        async def look(entry: RunEntry) -> None:
            step = _step(message.run_id, entry)
            if entry not in begun and not run.cancel_requested:
                return
            if run.cancel_requested:  # its message may be lost
                await self._steps.end(step, CancelRequested())
            await self._look(step, entry, lost_before)

        left = await self._each_that_can(message, entries, look)
        if not entries and not message.after:
            await self._retire_if_ended(message.run_id)
        return left

    async def _lost_before(self, run: RunRecord) -> int:
        """Give the time (ms) before which a saga must have been asked for to be there, were nothing lost."""
        waiting = [await self._queues.waiting_since(queue) for queue in (STEPS, RUNS)]
        taken_until = min([self._clock(), *(since for since in waiting if since is not None)])
        return taken_until - UNSTARTED_MS - run.vm_count * UNSTARTED_EACH_MS

    async def _each(
        self, entries: Sequence[RunEntry], job: Callable[[RunEntry], Awaitable[None]]
    ) -> Sequence[str]:
        """Do a job for all entries within ``WORK_FOR_MS``; gives the sagas that are left for later."""
        ends_at, left = self._clock() + WORK_FOR_MS, list[str]()

        async def in_time(entry: RunEntry) -> None:
            if self._clock() >= ends_at:
                left.append(entry.saga_id)
            else:
                await job(entry)

        await _each(entries, in_time)
        if left:
            _log.info("%d VMs are left for later", len(left))
        return left

    async def _each_that_can(
        self, message: RunMessage, entries: Sequence[RunEntry], job: Callable[[RunEntry], Awaitable[None]]
    ) -> Sequence[str]:
        """Do a job for all entries; those that fail wait for the next sweep, and stop no page behind them."""
        try:
            return await self._each(entries, job)
        except ExceptionGroup as failed:
            count = len(failed.exceptions)
            _log.exception("%s failed for %d of its VMs", message.task, count)
            return ()

    async def _look(self, step: StepMessage, entry: RunEntry, lost_before: int | None = None) -> None:
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

    async def _has_ended(self, state: SagaState) -> None:
        if self._following is None:
            await self._runs.end_entry(state.spec.run_id, run_entry(state))
        else:
            await self._following.ended(state, run_entry(state))

    async def _whose_turn_has_come(self, run_id: str, entries: Sequence[RunEntry]) -> Sequence[RunEntry]:
        """Leave out the VMs of a run that are to wait until others have ended."""
        if self._turns is None or not any(entry.place for entry in entries):
            return entries
        following = await self._turns.next_place(run_id)
        return [entry for entry in entries if entry.place < following]

    async def _mend_turns(self, run_id: str, entries: Sequence[RunEntry]) -> None:
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


def _step(run_id: str, entry: RunEntry) -> StepMessage:
    return StepMessage(run_id, entry.saga_id, entry.vm_id, try_number=entry.try_number)


def _takes_turns(entry: RunEntry) -> bool:
    """Whether it may have a place in its run's order: later tries have none of their own."""
    return entry.place > 0 or entry.try_number > 1


def groups_of(
    settings: RunSettings, vm_ids: Sequence[str], known: Mapping[str, VmSummary] | None = None
) -> dict[str, str]:
    """Give the groups of a run's VMs by their ids in small letters; ``known`` has what Azure said of them.

    Where rules select the run's VMs, what is decided by more than an id is decided when the VMs are listed.
    """
    groups = [group for group in settings.groups if settings.selection is None or group.is_a_list]
    found = known or {}
    names = {
        vm_id.lower(): group_of(groups, found.get(vm_id.lower()) or summary_of_id(vm_id)) for vm_id in vm_ids
    }
    return {vm_id: name for vm_id, name in names.items() if name}


def _at_once(settings: RunSettings) -> int:
    return settings.concurrency.vms_at_once if settings.concurrency else 0


def _entries(run_id: str, request: RunRequest, now: int) -> list[RunEntry]:
    """Make the index of a run, in the order in which its VMs are to begin."""
    limits, vm_ids = request.settings.concurrency, list(request.vm_ids)
    if limits is not None and limits.order is Order.NAME:
        vm_ids.sort(key=lambda vm_id: (vm_id.rpartition("/")[2].lower(), vm_id.lower()))
    groups = request.groups
    vm_ids = together(vm_ids, lambda vm_id: groups.get(vm_id.lower(), ""))
    # The places of those that rules select are given when all are known.
    in_turns = _at_once(request.settings) > 0 and request.settings.selection is None
    return [
        RunEntry(
            saga_id=saga_id(run_id, vm_id),
            vm_id=vm_id,
            started_at=now,
            place=place if in_turns else 0,
            group=groups.get(vm_id.lower(), ""),
        )
        for place, vm_id in enumerate(vm_ids, 1)
    ]


async def _each(entries: Sequence[RunEntry], job: Callable[[RunEntry], Awaitable[None]]) -> None:
    """Do a job for all entries, a few at once; one that fails keeps no other from being done.

    Raises:
        ExceptionGroup: what failed (a BaseExceptionGroup, if a job was cancelled).
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(entry: RunEntry) -> None:
        async with places:
            await job(entry)

    ended = await asyncio.gather(*(one(entry) for entry in entries), return_exceptions=True)
    errors = [error for error in ended if isinstance(error, BaseException)]
    if errors:
        raise BaseExceptionGroup("not done for some VMs", errors)
