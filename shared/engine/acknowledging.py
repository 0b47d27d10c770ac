"""The use case of an ack: read it, check who sent it, bring it to its saga."""

from shared.engine.ack_counts import AckCounts
from shared.engine.loop import OnIgnored, SagaLoop
from shared.engine.orders import Keys
from shared.engine.ports import Clock
from shared.engine.reports import event_of
from shared.logs import logger
from shared.protocol import Ack, Rejected, Stranger, decode_ack
from shared.saga.events import AgentReady, Event, Poisoned, Quiesced, QuiesceFailed, Resumed
from shared.saga.state import SagaState
from shared.storage.agents import AgentTable, ResidentAgent
from shared.storage.errors import SagaNotFound, UnusableKey
from shared.storage.ports import Sagas

_log = logger("acks")

#: Acks whose saga waits for them. ``Released`` ends a session of which nothing more is wanted.
_ACKS = (AgentReady, Quiesced, QuiesceFailed, Resumed)


class Acks:
    """Acks of guests. ``counts`` are of those that were turned away."""

    def __init__(
        self,
        loop: SagaLoop,
        sagas: Sagas,
        keys: Keys,
        *,
        agents: AgentTable,
        clock: Clock,
        counts: AckCounts | None = None,
    ) -> None:
        self._loop = loop
        self._sagas = sagas
        self._keys = keys
        self._agents = agents
        self._clock = clock
        self.counts = counts or AckCounts()

    async def take(self, text: str, queued_at: int, *, again: bool = False) -> None:
        """Bring an ack to its saga. ``queued_at`` is ms since the epoch by the queue service's clock.

        ``again`` says that an earlier delivery of this message failed.

        What must not be acted on is counted, logged and dropped: delivering it again would not mend it.
        """
        try:
            ack = await self._genuine(text)
            event = event_of(ack, queued_at)
        except Rejected as rejected:
            self._turn_away(rejected)
            return
        state = await self._loop.deliver(ack.saga, event, again=again)
        if isinstance(event, AgentReady):  # after the order to quiesce has gone out: nobody waits for this
            await self._note(state, event)

    async def _note(self, state: SagaState, ready: AgentReady) -> None:
        """Keep in mind whether an agent lives in the guest."""
        vm_id = state.spec.vm_id
        if ready.resident:
            heard = ResidentAgent(vm_id, ready.agent_version, ready.key_version, self._clock())
            await self._agents.put(heard)
        elif state.facts is not None and state.facts.resident_agent:
            await self._agents.forget(vm_id)

    async def give_up(self, text: str) -> None:
        """End the saga of an ack that could not be processed; what is no genuine ack is dropped."""
        try:
            ack = await self._genuine(text)
        except Rejected as rejected:
            self._turn_away(rejected)
            return
        await self._loop.deliver(ack.saga, Poisoned(f"the ack {ack.kind} of generation {ack.generation}"))

    async def _genuine(self, text: str) -> Ack:
        """Read an ack that was signed by the agent of the very VM that its saga is about."""
        ack = decode_ack(text, self._keys.of_session)
        try:
            stored = await self._sagas.load(ack.saga)
        except (SagaNotFound, UnusableKey):  # a guest can sign for any name of a saga that it makes up
            raise Stranger("saga", ack.saga) from None
        if stored.state.spec.vm_id.lower() != ack.vm.lower():
            raise Stranger("vm", ack.vm)
        return ack

    def _turn_away(self, rejected: Rejected) -> None:
        if self.counts.turned_away(rejected.reason):
            _log.warning("an ack was turned away (%s): %s", rejected.reason, rejected)


def count_ignored(counts: AckCounts) -> OnIgnored:
    """Give what counts the genuine acks that move nothing. A last word of a session is always one of them."""

    def count(event: Event, why: str) -> None:
        if isinstance(event, _ACKS):
            counts.moved_nothing(why)

    return count
