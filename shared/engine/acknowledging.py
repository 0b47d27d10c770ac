"""The use case of an ack: read it, check who sent it, bring it to its saga."""

from collections import Counter

from shared.engine.loop import SagaLoop
from shared.engine.orders import Keys
from shared.engine.ports import Clock
from shared.engine.reports import event_of
from shared.logs import logger
from shared.protocol import Ack, Rejected, Stranger, decode_ack
from shared.saga.events import AgentReady, Poisoned
from shared.saga.state import SagaState
from shared.storage.agents import AgentTable, ResidentAgent
from shared.storage.errors import SagaNotFound, UnusableKey
from shared.storage.ports import Sagas

_log = logger("acks")


class Acks:
    """Acks of guests. ``rejected`` counts what was turned away, by reason, since this process started."""

    def __init__(self, loop: SagaLoop, sagas: Sagas, keys: Keys, *, agents: AgentTable, clock: Clock) -> None:
        self._loop = loop
        self._sagas = sagas
        self._keys = keys
        self._agents = agents
        self._clock = clock
        self.rejected: Counter[str] = Counter()

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
        self.rejected[rejected.reason] += 1
        _log.warning("an ack was turned away (%s): %s", rejected.reason, rejected)
