"""The use cases of a run: start it, go through its VMs page by page, cancel it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.engine.draining import Draining
from shared.engine.grouping import Grouping
from shared.engine.ports import Clock
from shared.engine.queue_names import RUNS, STEPS, RunMessage, RunTask
from shared.engine.run_listing import listed
from shared.engine.run_pages import PAGE, for_each, for_each_that_can, step_of, whose_turn_has_come
from shared.engine.run_requests import RunRequest, entries_of, vms_at_once
from shared.engine.run_settings import RunSettings
from shared.engine.script_storing import with_stored_scripts
from shared.engine.selecting import Selecting
from shared.engine.stepping import Steps
from shared.engine.sweeping import Sweeping
from shared.logs import About, about, logger
from shared.saga.events import CancelRequested, Poisoned
from shared.storage.claims import ClaimTable
from shared.storage.errors import RunExists, RunNotFound
from shared.storage.guest_scripts import ScriptStore
from shared.storage.ports import MessageQueues
from shared.storage.run_list import RunList
from shared.storage.run_records import RunEntry, RunRecord, RunSelection
from shared.storage.runs import RunTable
from shared.storage.turns import TurnTable

_log = logger("runs")

#: A run of this many VMs or fewer needs no fan-out: whoever asks for it has its sagas started. What a crash
#: in between leaves out, the sweep starts.
STARTED_AT_ONCE = 8


class RunService:
    """Runs over many VMs."""

    def __init__(
        self,
        *,
        runs: RunTable,
        claims: ClaimTable,
        queues: MessageQueues,
        steps: Steps,
        scripts: ScriptStore,
        selecting: Selecting,
        sweeping: Sweeping,
        clock: Clock,
        new_run_id: Callable[[], str],
        turns: TurnTable | None = None,
        run_list: RunList | None = None,
        grouping: Grouping | None = None,
        drain: bool = False,
    ) -> None:
        self._runs = runs
        self._claims = claims
        self._queues = queues
        self._steps = steps
        self._scripts = scripts
        self._selecting = selecting
        self._sweeping = sweeping
        self._clock = clock
        self._new_run_id = new_run_id
        self._turns = turns
        self._list = run_list
        self._grouping = grouping
        self._drain = drain
        self._tasks = {
            RunTask.FAN_OUT: self._fan_out,
            RunTask.CANCEL: self._cancel,
            RunTask.SWEEP: sweeping.look_through,
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
            run_id = await self._claims.claim(
                request.idempotency_key, request.digest(), run_id, at=self._clock()
            )
            try:
                await self._runs.get(run_id)
            except RunNotFound:
                pass  # claimed, but never written: this request does it
            else:
                return run_id
        at_once = vms_at_once(request.settings)
        entries = entries_of(run_id, request, self._clock())
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
        at_once = vms_at_once(settings)
        if at_once and self._turns is not None:
            await self._turns.create(run_id, entries, at_once)
        if self._grouping is not None and settings.groups:
            await self._grouping.create(run_id, settings.groups, entries, settings.concurrency)

    async def has_begun(self, idempotency_key: str) -> bool:
        """Whether a run was asked for with this key, be it only that its id was claimed."""
        return await self._claims.claimed(idempotency_key) is not None

    @property
    def draining(self) -> bool:
        """Whether no new run begins."""
        return self._drain

    async def _was_made(self, idempotency_key: str) -> bool:
        """Whether a request with this key has become a run: its repetition is answered as ever."""
        run_id = await self._claims.claimed(idempotency_key) if idempotency_key else None
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
        if first_swept and not await self._sweeping.is_swept_now(message.run_id):
            return
        entries = await self._runs.page(message.run_id, message.after or None, PAGE)
        open_entries = [entry for entry in entries if not entry.outcome]
        what = About(message.run_id)
        name = message.task.value
        with about(what), telemetry.span(name, what.fields(), of=message.trace, kind=SpanKind.CONSUMER):
            left = await self._tasks[message.task](message, open_entries)
            if message.task is RunTask.SWEEP:
                await self._sweeping.mend_turns(message.run_id, entries)
            if left and message.task is not RunTask.SWEEP:  # which comes again by itself
                begun = [entry.saga_id for entry in entries if entry.saga_id < min(left)]
                following = RunMessage(message.task, message.run_id, begun[-1] if begun else message.after)
                await self._queues.send(RUNS, following.text())
            elif len(entries) == PAGE:
                following = RunMessage(message.task, message.run_id, entries[-1].saga_id)
                await self._queues.send(RUNS, following.text())

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
        begun = await whose_turn_has_come(self._turns, message.run_id, entries)
        return await for_each(begun, lambda entry: self._start(message.run_id, entry), self._clock)

    async def _start(self, run_id: str, entry: RunEntry) -> None:
        await self._queues.send(STEPS, step_of(run_id, entry).text())

    async def _cancel(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        async def end(entry: RunEntry) -> None:
            await self._steps.end(step_of(message.run_id, entry), CancelRequested())

        return await for_each(entries, end, self._clock)

    async def _fail(self, message: RunMessage, entries: Sequence[RunEntry]) -> Sequence[str]:
        async def end(entry: RunEntry) -> None:
            await self._steps.end(step_of(message.run_id, entry), Poisoned("a message of its run"))

        return await for_each_that_can(message.task, entries, end, self._clock)
