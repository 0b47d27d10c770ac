"""What follows from the end of a saga: another try of its VM, or the turn of the next one.

Everything here may be done twice: the next try's id derives from run, VM and number, and a VM's end lets one
other begin, whoever tells it how often. What a crash leaves out is done by the sweep.
"""

from shared.engine.notifying import Notices
from shared.engine.ports import Clock
from shared.engine.queue_names import STEPS, StepMessage
from shared.logs import logger
from shared.saga.names import saga_id
from shared.saga.passing import is_tried_again
from shared.saga.state import Outcome, SagaState
from shared.storage.ports import MessageQueues
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.turns import TurnTable

_log = logger("runs")


class Successors:
    """Begins what follows from a saga's end."""

    def __init__(
        self,
        runs: RunTable,
        turns: TurnTable,
        queues: MessageQueues,
        clock: Clock,
        *,
        notices: Notices | None = None,
    ) -> None:
        self._runs = runs
        self._turns = turns
        self._queues = queues
        self._clock = clock
        self._notices = notices

    async def ended(self, state: SagaState, entry: RunEntry) -> None:
        """Record how a saga ended; then try its VM again, or let the next VM begin.

        Only the end of the last try is told of.
        """
        spec = state.spec
        if is_tried_again(state) and not (await self._runs.get(spec.run_id)).cancel_requested:
            await self._try_again(state, entry)
            return
        if self._notices:
            await self._notices.vm_ended(state)
        await self._runs.end_entry(spec.run_id, entry)
        if self._notices:
            await self._notices.vm_recorded(spec.run_id)
        if state.outcome is not Outcome.CANCELLED:  # of a run that is cancelled no VM is to begin
            await self.guest_goes_on(state)

    async def guest_goes_on(self, state: SagaState) -> None:
        """Let the next VM begin, where a run takes its VMs in turns."""
        if state.spec.admission is not None and state.spec.admission.in_turns:
            await self.pass_on(state.spec.run_id, state.spec.vm_id)

    async def pass_on(self, run_id: str, vm_id: str) -> None:
        """Let one VM begin because this one, whatever its tries, is done; the same one each time."""
        turn = await self._turns.pass_on(run_id, saga_id(run_id, vm_id))
        if turn is not None:
            await self._queues.send(STEPS, StepMessage(run_id, turn.saga_id, turn.vm_id).text())

    async def _try_again(self, state: SagaState, entry: RunEntry) -> None:
        spec, number = state.spec, state.spec.try_number + 1
        following = saga_id(spec.run_id, spec.vm_id, number)
        due = (state.ended_at or self._clock()) + spec.retry.delay_before(number)
        again = RunEntry(saga_id=following, vm_id=spec.vm_id, started_at=due, try_number=number)
        await self._runs.try_again(spec.run_id, entry, again)
        message = StepMessage(spec.run_id, following, spec.vm_id, try_number=number)
        await self._queues.send(STEPS, message.text(), delay_ms=max(0, due - self._clock()))
        _log.info("tried again as %s in %d s", following, max(0, due - self._clock()) // 1_000)
