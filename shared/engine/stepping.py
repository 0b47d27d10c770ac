"""The use case of a step message: start a saga, or look at it again."""

from dataclasses import replace

from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.engine.grouping import Grouping
from shared.engine.loop import SagaLoop
from shared.engine.queue_names import CALLED, STEPS, StepMessage
from shared.engine.run_settings import KeptRunSettings, RunSettings, admission_rules
from shared.logs import About, about, logger
from shared.policy.layers import for_vm
from shared.saga.events import CancelRequested, Poisoned, Started, TimePassed
from shared.saga.phases import first_watch_ms
from shared.saga.state import Phase, SagaSpec, SagaState
from shared.storage.errors import SagaNotFound
from shared.storage.ports import MessageQueues

_log = logger("steps")


class Steps:
    """Steps of sagas."""

    def __init__(
        self,
        loop: SagaLoop,
        settings: KeptRunSettings,
        queues: MessageQueues,
        grouping: Grouping | None = None,
    ) -> None:
        self._loop = loop
        self._grouping = grouping
        self._settings = settings
        self._queues = queues

    async def take(self, message: StepMessage, *, again: bool = False) -> None:
        """Do what a step message asks for; ``again`` says that an earlier delivery of it failed."""
        what = About(message.run_id, message.saga_id)
        name = "watch" if message.watch else "start"
        with about(what), telemetry.span(name, what.fields(), of=message.trace, kind=SpanKind.CONSUMER):
            await self._take(message, again=again)

    async def _take(self, message: StepMessage, *, again: bool) -> None:
        if message.watch == 0:
            await self.start(message, again=again)
            return
        if message.watch == CALLED:
            await self.call(message)
            return
        try:
            await self._loop.deliver(message.saga_id, TimePassed(message.watch))
        except SagaNotFound:
            # Its start message was lost, or lies hidden after a crash: the watch was sent before the saga.
            _log.warning("its watch came first, started now")
            await self.start(message, again=again)

    async def start(self, message: StepMessage, *, again: bool = False) -> SagaState:
        """Start a saga. Its watch is sent first, so that a saga is never there without one.

        A start that is tried again has sent it already: watches that start sagas must not multiply while the
        tables cannot be written. Should the first try not have got that far, the sweep watches.
        """
        spec = await self._spec(message)
        receipt = ""
        if not again:
            watch = replace(message, watch=1)
            receipt = await self._queues.send(STEPS, watch.text(), delay_ms=first_watch_ms(spec))
        return await self._loop.begin(spec, Started(receipt))

    async def look(self, message: StepMessage) -> SagaState:
        """Look at a saga that the sweep found overdue."""
        return await self._loop.deliver(message.saga_id, TimePassed())

    async def call(self, message: StepMessage) -> None:
        """Look at a saga that waits to be admitted: what it waits for may be had now."""
        try:
            await self._loop.deliver(message.saga_id, TimePassed(), only_while=Phase.ADMITTING)
        except SagaNotFound:
            _log.info("was called, and is not there")

    async def end(self, message: StepMessage, ending: CancelRequested | Poisoned) -> SagaState:
        """End a saga early; one that has not started yet will find itself ended."""
        try:
            return await self._loop.deliver(message.saga_id, ending)
        except SagaNotFound:
            return await self._loop.begin(await self._spec(message), ending)

    def remember(self, run_id: str, settings: RunSettings) -> None:
        """Keep the settings of a run that this process has just written, so that no saga here reads them."""
        self._settings.remember(run_id, settings)

    async def _spec(self, message: StepMessage) -> SagaSpec:
        settings, group = await self._settings.get(message.run_id), None
        if settings.groups and self._grouping is not None:
            group = await self._grouping.member(message.run_id, message.saga_id)
        return SagaSpec(
            saga_id=message.saga_id,
            run_id=message.run_id,
            vm_id=message.vm_id,
            policy_name=settings.policy_name,
            trace=settings.trace,
            guest=settings.guest,
            layers=for_vm(settings.layers, message.vm_id),
            snapshots=settings.snapshots,
            disks=settings.disks,
            admission=admission_rules(settings, message.run_id),
            retry=settings.retry,
            try_number=message.try_number,
            rehearsal=settings.rehearsal,
            group=group,
            own_tags=settings.own_tags,
        )
