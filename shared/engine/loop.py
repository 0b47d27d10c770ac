"""The loop of a saga: load -> advance -> save -> carry out, and again while what was carried out answers.

A save is one entity group transaction with If-Match: state, history and outbox together. Effects follow the
save, so a crash between the two leaves them in the outbox, and the same message, delivered again, carries
them out again. What marks effects as done is the deletion of the message that caused them: the outbox keeps
its ``cause``, and a message whose key is that cause was not done with. The next transition clears the outbox;
by then its effects are done (an answer to a command proves the command) or superseded.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from shared import telemetry
from shared.engine.ports import Clock
from shared.logs import About, FailuresTold, about, logger, now_about
from shared.saga.codec import encode
from shared.saga.effects import CAPTURES, HARMLESS, READS, Effect
from shared.saga.events import Event, TimePassed
from shared.saga.history import HistoryEntry
from shared.saga.machine import advance
from shared.saga.phases import Transition, pending
from shared.saga.state import Phase, SagaSpec, SagaState
from shared.storage.errors import SagaChanged, SagaExists, SagaNotFound
from shared.storage.ports import ReloadableSagas
from shared.storage.sagas import StoredSaga

_log = logger("saga")

#: Why an event is ignored that came before in another message.
REPEATED = "repeated"

#: Carries out the effects of a transition; gives the event that answers them, if one does.
CarryOut = Callable[[SagaState, Sequence[Effect]], Awaitable[Event | None]]

#: Is told of an event that changes nothing, and why in a sentence.
OnIgnored = Callable[[Event, str], None]


@dataclass(slots=True)
class _Progress:
    """One walk through the loop: what is saved, and what happened since that save."""

    cause: str
    stored: StoredSaga | None
    state: SagaState
    unsaved: list[Event] = field(default_factory=list)
    history: list[HistoryEntry] = field(default_factory=list)


class SagaLoop:
    """Brings events to sagas."""

    def __init__(
        self,
        sagas: ReloadableSagas,
        carry_out: CarryOut,
        clock: Clock,
        *,
        on_ignored: OnIgnored = lambda _event, _why: None,
    ) -> None:
        self._sagas = sagas
        self._carry_out = carry_out
        self._clock = clock
        self._on_ignored = on_ignored

    async def begin(self, spec: SagaSpec, event: Event) -> SagaState:
        """Bring the first event to a saga; one that is there already takes it like any other.

        The record is inserted with the first transition that has something to do: reading facts needs none.
        """
        initial = pending(spec, self._clock())
        progress = _Progress(cause=event.key, stored=None, state=initial)
        try:
            with about(_of(initial)), FailuresTold(_log, SagaExists):
                return await self._walk(progress, event)
        except SagaExists:
            return await self.deliver(spec.saga_id, event)

    async def deliver(
        self, saga_id: str, event: Event, *, again: bool = True, only_while: Phase | None = None
    ) -> SagaState:
        """Bring an event to a saga; ``again`` says that an earlier delivery of its message may have failed.

        ``only_while``: not to one that is in another phase by now, as far as can be seen.

        Raises:
            SagaNotFound: there is no such saga.
        """
        with FailuresTold(_log, SagaNotFound):
            stored = await self._load(saga_id, event)
            if only_while and stored.cached and stored.state.phase is not only_while:
                stored = await self._sagas.reload(saga_id)
        if only_while and stored.state.phase is not only_while:
            return stored.state
        # What comes from a guest belongs to no trace yet; its saga knows which it is.
        trace = "" if telemetry.here() else stored.state.spec.trace
        with (
            about(_of(stored.state)),
            FailuresTold(_log),
            telemetry.span(type(event).__name__, _of(stored.state).fields(), of=trace),
        ):
            return await self._take_on(stored, event, again=again)

    async def _load(self, saga_id: str, event: Event) -> StoredSaga:
        stored = await self._sagas.load(saga_id)
        if stored.cached and advance(stored.state, event, self._clock()).ignored:
            return await self._sagas.reload(saga_id)  # a stale copy must not call an event stale
        return stored

    async def _take_on(self, stored: StoredSaga, event: Event, *, again: bool) -> SagaState:
        progress = _Progress(cause=event.key, stored=stored, state=stored.state)
        if stored.outbox and stored.cause == event.key and not _is_sweep(event):
            if not again:
                self._on_ignored(event, REPEATED)
            if not again and any(isinstance(effect, CAPTURES) for effect in stored.outbox):
                # A copy: the first one's invocation is at it, or died, and then its own message comes again.
                # Of two at once the slower one could ask for snapshots that have been deleted by then.
                _log.info("a copy of %s is left alone", event.key)
                return stored.state
            _log.info("%s came again, its effects are carried out again", event.key)
            answer = await self._do(stored.state, stored.outbox)
            return await self._walk(progress, answer) if answer else stored.state
        return await self._walk(progress, event)

    async def _walk(self, progress: _Progress, first: Event) -> SagaState:
        """Take an event, and then every event by which its effects are answered."""
        event: Event | None = first
        while event is not None:
            transition = self._take(progress, event)
            if transition.ignored:
                self._ignore(event, transition.ignored)
                break
            if not _only_reads(transition.effects):
                settled = await self._save(progress, transition)
                if settled is None:
                    break
                transition = settled
            event = await self._do(progress.state, transition.effects)
        return progress.state

    async def _do(self, state: SagaState, effects: Sequence[Effect]) -> Event | None:
        names = ", ".join(dict.fromkeys(type(effect).__name__ for effect in effects))
        if not names:
            return await self._carry_out(state, effects)
        with telemetry.span(names, _of(state).fields()):
            return await self._carry_out(state, effects)

    def _take(self, progress: _Progress, event: Event) -> Transition:
        """Advance by an event and note it, without saving."""
        now = self._clock()
        before = progress.state
        transition = advance(before, event, now)
        if not transition.ignored:
            progress.state = transition.state
            now_about(_of(progress.state))
            progress.unsaved.append(event)
            progress.history.append(_entry(now, event, before, transition))
        return transition

    def _ignore(self, event: Event, why: str) -> None:
        _log.info("%s counts for nothing: %s", event.key, why)
        self._on_ignored(event, why)

    async def _save(self, progress: _Progress, transition: Transition) -> Transition | None:
        """Save a transition; after a lost race decide again on what is there now.

        None when the saga as it is now has no use for what happened.
        """
        while True:
            try:
                progress.stored = await self._write(progress, transition.effects)
            except SagaChanged:
                again = await self._decide_again(progress)
                if again is None:
                    return None
                transition = again
                continue
            self._log_steps(progress)
            progress.unsaved.clear()
            progress.history.clear()
            return transition

    async def _write(self, progress: _Progress, effects: Sequence[Effect]) -> StoredSaga:
        if progress.stored is None:
            return await self._sagas.create(
                progress.state, cause=progress.cause, outbox=effects, history=tuple(progress.history)
            )
        return await self._sagas.save(
            progress.stored,
            progress.state,
            cause=progress.cause,
            outbox=effects,
            history=tuple(progress.history),
        )

    async def _decide_again(self, progress: _Progress) -> Transition | None:
        """Bring everything that happened since the last save to the saga as another invocation left it."""
        progress.stored = await self._sagas.reload(progress.state.spec.saga_id)
        progress.state = progress.stored.state
        now_about(_of(progress.state))
        happened, progress.unsaved, progress.history = progress.unsaved, [], []
        last: Transition | None = None
        for event in happened:
            transition = self._take(progress, event)
            if transition.ignored:
                self._ignore(event, transition.ignored)
            else:
                last = transition
        return last

    @staticmethod
    def _log_steps(progress: _Progress) -> None:
        for entry in progress.history:
            spec = progress.state.spec
            with about(About(spec.run_id, spec.saga_id, entry.generation, entry.to_phase)):
                _log.info(
                    "%s -> %s by %s, then %s",
                    entry.from_phase,
                    entry.to_phase,
                    entry.event,
                    ", ".join(entry.effects) or "nothing",
                )


def _of(state: SagaState) -> About:
    return About(state.spec.run_id, state.spec.saga_id, state.generation, state.phase.value)


def _only_reads(effects: Sequence[Effect]) -> bool:
    """Whether a transition needs no save of its own: after a crash, reading again is all there is to do."""
    answered = any(isinstance(effect, READS) for effect in effects)
    return answered and all(isinstance(effect, HARMLESS) for effect in effects)


def _is_sweep(event: Event) -> bool:
    return isinstance(event, TimePassed) and event.watch is None


def _entry(now: int, event: Event, before: SagaState, transition: Transition) -> HistoryEntry:
    return HistoryEntry(
        at=now,
        event=type(event).__name__,
        from_phase=before.phase.value,
        to_phase=transition.state.phase.value,
        generation=transition.state.generation,
        effects=tuple(type(effect).__name__ for effect in transition.effects),
        detail=encode(event),
    )
