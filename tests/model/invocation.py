"""One invocation of the app, as the host runs it: the real use cases and the real loop on stand-ins of Azure.

An invocation may be broken off at every point at which it has just done, or is about to do, something that
others can see. What it did up to there is in ``deeds``; what it saved is in ``record``.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast, get_args

from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.errors import Throttled
from shared.compute.region_copies import CopyOrder
from shared.engine import loop as engine_loop
from shared.engine.acknowledging import Acks
from shared.engine.carrying_out import _ANSWERED, carry_out
from shared.engine.effects.hands import Hands
from shared.engine.loop import SagaLoop
from shared.engine.orders import Keys
from shared.engine.queue_names import StepMessage
from shared.engine.run_settings import KeptRunSettings
from shared.engine.stepping import Steps
from shared.engine.sweeping import UNSTARTED_MS, Sweeping
from shared.saga.causes import Limit
from shared.saga.effects import Admit, Effect, JoinBarrier, Leave, LeaveGroup
from shared.saga.events import (
    Admitted,
    BarrierOpened,
    CancelRequested,
    CaptureEnded,
    Event,
    GroupBroke,
    MustWait,
    Poisoned,
)
from shared.saga.evidence import DiskCapture
from shared.saga.facts import VmFacts
from shared.saga.group import Barrier
from shared.saga.history import HistoryEntry
from shared.saga.state import RegionCopy, SagaSpec, SagaState, SnapshotCopy
from shared.storage.agents import ResidentAgent
from shared.storage.errors import SagaChanged, SagaExists, SagaNotFound
from shared.storage.guest_queues import GuestQueues
from shared.storage.run_records import RunEntry
from shared.storage.sagas import StoredSaga
from tests.model import wire
from tests.model.interning import Table
from tests.model.scenes import MASTER, RUN, SAGA, VM, WAIT_MS, Scene
from tests.model.times import NOW, canonical

#: What may go wrong in an invocation beside its end: each is a service that says no.
Luck = Literal[
    "",
    "facts unavailable",
    "run command refused",
    "no room",
    "copy not complete",
    "copy lost",
    "region refuses",
    "region copy not complete",
    "region copy failed",
    "deletion refused",
]
LUCKS: tuple[Luck, ...] = get_args(Luck)[1:]


_BARRIERS = tuple(Barrier)


class Record(NamedTuple):
    """A saga as it is stored, but for what names its rows."""

    state: SagaState
    cause: str
    outbox: tuple[Effect, ...]


class Records:
    """Stored sagas by number. Spec and facts are the scene's own: they are not compared again and again."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, for another scene: numbers of the one before mean nothing any more."""
        self._keys: Table[Hashable] = Table()
        self._records: list[Record] = []

    def number(self, record: Record) -> int:
        """Give the number of a stored saga."""
        state = record.state
        key = (_varying(state), state.facts is None, record.cause, record.outbox)
        number = self._keys.number(key)
        if number == len(self._records):
            self._records.append(record)
        return number

    def value(self, number: int) -> Record:
        """Give the stored saga of this number."""
        return self._records[number]


_varying = attrgetter(*(each.name for each in fields(SagaState) if each.name not in ("spec", "facts")))

#: All stored sagas of the scene that this process explores.
RECORDS = Records()


class Deed(NamedTuple):
    """Something that an invocation did: ``what`` it is, and its numbers."""

    what: str
    name: str = ""
    number: int = 0
    at: int = 0


class CaptureBegun(NamedTuple):
    """An invocation that goes on to capture: what caused it, and what it is to make. Times in ms from now.

    ``fresh``: the saga has not been saved since. ``base`` is the number of the record that it knows, but for
    the watch, which it does not look at.
    """

    fresh: bool
    base: int
    cause: str
    generation: int
    not_before: int
    deadline: int
    held: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an invocation ended. ``points`` is at how many points it could have been broken off."""

    record: Record | None
    deeds: tuple[Deed, ...]
    points: int
    met: frozenset[str]
    capture: CaptureBegun | None = None


class Broken(BaseException):
    """The host is gone."""


class Capturing(BaseException):
    """The invocation is in its critical section, and others may run."""


@dataclass(slots=True)
class Surroundings:
    """All that an invocation meets of Azure: storage, queues, compute. Breaks off at point ``break_at``."""

    scene: Scene
    record: Record | None
    break_at: int
    luck: Luck
    deeds: list[Deed] = field(default_factory=list)
    met: set[str] = field(default_factory=set)
    points: int = 0
    broken: bool = False
    version: int = 0
    capture_begun: CaptureBegun | None = None

    def do(self, deed: Deed) -> None:
        """Do something that others can see, unless the host is gone by now."""
        if self.broken or self.points == self.break_at:
            self.broken = True
            raise Broken
        self.points += 1
        self.deeds.append(deed)

    def unlucky(self, luck: Luck) -> bool:
        """Say whether this goes wrong here."""
        self.met.add(luck)
        return self.luck == luck

    # --- sagas --------------------------------------------------------------------------------

    def stored(self, record: Record) -> StoredSaga:
        """Give a record as the repository does."""
        return StoredSaga(
            state=record.state, etag=str(self.version), cause=record.cause, outbox=record.outbox
        )

    async def load(self, saga_id: str) -> StoredSaga:
        if self.record is None:
            raise SagaNotFound(saga_id)
        return self.stored(self.record)

    async def reload(self, saga_id: str) -> StoredSaga:
        return await self.load(saga_id)

    async def create(
        self, state: SagaState, *, cause: str, outbox: Sequence[Effect], history: Sequence[HistoryEntry]
    ) -> StoredSaga:
        if self.record is not None:
            raise SagaExists(state.spec.saga_id)
        return self._write(state, cause, outbox)

    async def save(
        self,
        stored: StoredSaga,
        state: SagaState,
        *,
        cause: str,
        outbox: Sequence[Effect],
        history: Sequence[HistoryEntry],
    ) -> StoredSaga:
        if stored.etag != str(self.version):
            raise SagaChanged(state.spec.saga_id)
        return self._write(state, cause, outbox)

    async def history(self, saga_id: str) -> list[HistoryEntry]:
        return []

    def _write(self, state: SagaState, cause: str, outbox: Sequence[Effect]) -> StoredSaga:
        self.do(Deed("save"))
        self.version += 1
        self.record = Record(canonical(state), cause, tuple(outbox))
        return self.stored(self.record)

    # --- queues -------------------------------------------------------------------------------

    async def ensure(self, *queues: str) -> None:
        """They are there."""

    async def send(self, queue: str, text: str, *, delay_ms: int = 0) -> str:
        self.do(Deed("watch", number=json.loads(text)["watch"], at=delay_ms))
        return "receipt"

    async def cancel(self, queue: str, receipt: str) -> None:
        self.do(Deed("unwatch"))

    async def put(self, queue: str, text: str, *, delay_s: int, expires_in_s: int) -> str:
        number, expires_in = wire.sent(text)
        self.do(Deed("command", wire.kind(number), number, expires_in))
        return "receipt"

    async def url(self, queue: str, permission: str, valid_ms: int) -> str:
        return f"https://queue.invalid/{queue}"

    async def close(self) -> None:
        """Nothing is open."""

    # --- tables of runs and agents ------------------------------------------------------------

    async def end_entry(self, run_id: str, entry: Any) -> None:
        self.do(Deed("end"))

    async def get(self, vm_id: str) -> ResidentAgent | None:
        return ResidentAgent(VM, "0.1.0", 1, NOW) if self.scene.resident else None

    async def forget(self, vm_id: str) -> None:
        """What is known of agents is of the scene."""

    async def note_use(self, vm_id: str, now: int) -> None:
        """When a queue was last of use counts in months: no scene is that long."""

    # --- the gate -----------------------------------------------------------------------------

    async def admit(self, state: SagaState, effect: Admit) -> Admitted | MustWait:
        if self.unlucky("no room"):
            return MustWait(effect.generation, NOW + WAIT_MS, Limit.HELD, "others are held")
        self.do(Deed("admit", number=effect.generation, at=effect.expires_at - NOW))
        return Admitted(effect.generation)

    async def leave(self, state: SagaState, effect: Leave) -> None:
        self.do(Deed("leave", number=effect.generation))

    # --- compute ------------------------------------------------------------------------------

    async def warm(self, vm_id: str) -> None:
        """It is."""

    async def read_facts(self, vm_id: str, settings: Any, disks: Any) -> VmFacts:
        if self.unlucky("facts unavailable"):
            raise Throttled("Throttled", "too many requests")
        return self.scene.facts

    async def start_agent(
        self, vm: VmFacts, saga_id: str, generation: int, bootstrap: str, *, install: Any = None
    ) -> None:
        if self.unlucky("run command refused"):
            raise Throttled("Throttled", "too many requests")
        number, expires_in = wire.sent(json.loads(bootstrap)["command"])
        self.do(Deed("run command", f"{saga_id}-g{generation}", number, expires_in))

    async def stop_agent(self, vm_id: str, saga_id: str, generation: int) -> None:
        self.do(Deed("remove run command", f"{saga_id}-g{generation}"))

    async def capture(
        self,
        targets: Sequence[CaptureTarget],
        *,
        tags: Mapping[str, str],
        not_before: int,
        deadline: int,
        held: bool,
        on_failed: Any,
    ) -> tuple[DiskCapture, ...]:
        record = self.record
        assert record is not None
        self.capture_begun = CaptureBegun(
            fresh=True,
            base=RECORDS.number(Record(replace(record.state, watch_number=1), "", ())),
            cause=record.cause,
            generation=int(tags["stillframe-generation"]),
            not_before=not_before - NOW,
            deadline=deadline - NOW,
            held=held,
            names=tuple(target.snapshot_id for target in targets),
        )
        raise Capturing

    async def look_at_copies(
        self, snapshot_ids: Sequence[str]
    ) -> tuple[tuple[SnapshotCopy, ...], tuple[str, ...]]:
        if self.unlucky("copy lost"):
            return (), tuple(snapshot_ids[:1])
        percent = 40.0 if self.unlucky("copy not complete") else 100.0
        return tuple(SnapshotCopy(name, percent) for name in snapshot_ids), ()

    async def copy_snapshots(self, orders: Sequence[CopyOrder], saga_id: str) -> tuple[RegionCopy, ...]:
        """A PUT on a name that is there begins no second copy; what is refused is not there."""
        if self.unlucky("region refuses"):
            return tuple(replace(order.copy, error="denied") for order in orders)
        for order in orders:
            self.do(Deed("copy", order.copy.snapshot_id))
        error = "copy_failed" if self.unlucky("region copy failed") else ""
        percent = 40.0 if error or self.unlucky("region copy not complete") else 100.0
        return tuple(
            replace(order.copy, seen=True, completion_percent=percent, error=error) for order in orders
        )

    async def tag(self, kept_id: str, tags: Mapping[str, str]) -> None:
        """Tags are for people."""

    async def delete(self, unwanted_id: str, saga_id: str) -> None:
        if self.unlucky("deletion refused"):
            raise Throttled("Throttled", "too many requests")
        self.do(Deed("delete", unwanted_id))


class App:
    """Runs invocations. Each is a pure function of what is stored, of the message and of the faults."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._keys = Keys(MASTER)
        self._events = asyncio.new_event_loop()

    def step(self, record: Record | None, watch: int, *, again: bool, break_at: int, luck: Luck) -> Ended:
        """Take a step message: the start of the saga, or a watch."""
        message = StepMessage(RUN, SAGA, VM, watch)
        return self._run(record, lambda kit: kit.steps.take(message, again=again), break_at, luck)

    def end(self, record: Record | None, how: str, *, break_at: int, luck: Luck) -> Ended:
        """Take the request to cancel, or a message that could not be processed."""
        ending = CancelRequested() if how == "cancel" else Poisoned("the step message")
        message = StepMessage(RUN, SAGA, VM)
        return self._run(record, lambda kit: kit.steps.end(message, ending), break_at, luck)

    def sweep(self, record: Record | None, *, break_at: int, luck: Luck) -> Ended:
        """Look at a saga whose run began long ago, as the sweep does."""
        message = StepMessage(RUN, SAGA, VM)
        entry = RunEntry(saga_id=SAGA, vm_id=VM, started_at=NOW - 2 * UNSTARTED_MS)
        return self._run(record, lambda kit: kit.sweeping.look(message, entry), break_at, luck)

    def ack(
        self, record: Record | None, text: str, queued_at: int, *, again: bool, break_at: int, luck: Luck
    ) -> Ended:
        """Take an ack."""
        return self._run(record, lambda kit: kit.acks.take(text, queued_at, again=again), break_at, luck)

    def told(
        self,
        record: Record | None,
        message: BarrierOpened | GroupBroke,
        *,
        again: bool,
        break_at: int,
        luck: Luck,
    ) -> Ended:
        """Take what the group says; a saga that has not begun yet has nothing to do with it."""

        async def take(kit: "_Kit") -> None:
            with contextlib.suppress(SagaNotFound):
                await kit.loop.deliver(SAGA, message, again=again)

        return self._run(record, take, break_at, luck)

    def captured(
        self,
        record: Record,
        begun: CaptureBegun,
        captures: tuple[DiskCapture, ...],
        *,
        break_at: int,
        luck: Luck,
    ) -> Ended:
        """Go on with the invocation that captured."""

        async def go_on(kit: "_Kit") -> None:
            stored = kit.around.stored(record if begun.fresh else RECORDS.value(begun.base))
            if not begun.fresh:
                stored = replace(stored, etag="an older one")
            progress = engine_loop._Progress(cause=begun.cause, stored=stored, state=stored.state)
            await kit.loop._walk(progress, CaptureEnded(begun.generation, captures))

        return self._run(record, go_on, break_at, luck)

    def _run(
        self, record: Record | None, use: "Callable[[_Kit], Awaitable[Any]]", break_at: int, luck: Luck
    ) -> Ended:
        around = Surroundings(self._scene, record, break_at, luck)
        kit = self._kit(around)

        async def invocation() -> None:
            await use(kit)

        with contextlib.suppress(Broken, Capturing):
            self._events.run_until_complete(invocation())
        return Ended(
            around.record, tuple(around.deeds), around.points, frozenset(around.met), around.capture_begun
        )

    def _kit(self, around: Surroundings) -> "_Kit":
        anything = cast("Any", around)
        hands = Hands(
            compute=anything,
            queues=anything,
            guests=GuestQueues(anything, anything, lambda: NOW),
            scripts=anything,
            runs=anything,
            keys=self._keys,
            clock=lambda: NOW,
            agents=anything,
            admission=around,
        )
        loop = SagaLoop(anything, _grouped(around, hands), lambda: NOW)
        steps = _Steps(self._scene, loop, KeptRunSettings(anything), anything)
        steps.remember(RUN, self._scene.settings)
        agents = cast("Any", _Forgetful())
        acks = Acks(loop, anything, self._keys, agents=agents, clock=lambda: NOW)
        sweeping = Sweeping(
            runs=anything,
            sagas=anything,
            queues=anything,
            steps=steps,
            selecting=anything,
            clock=lambda: NOW,
        )
        return _Kit(around, loop, steps, acks, sweeping)

    def close(self) -> None:
        """Let go of the event loop."""
        self._events.close()


class _Steps(Steps):
    """Steps of sagas that are of the scene's group."""

    def __init__(self, scene: Scene, *others: Any) -> None:
        super().__init__(*others)
        self._scene = scene

    async def _spec(self, message: StepMessage) -> SagaSpec:
        return replace(await super()._spec(message), group=self._scene.group)


def _grouped(around: Surroundings, hands: Hands) -> engine_loop.CarryOut:
    """Carry out what is for the group here; its answers are messages, which may come at once."""

    async def beside_the_group(state: SagaState, effects: Sequence[Effect]) -> Event | None:
        told = [effect for effect in effects if isinstance(effect, JoinBarrier | LeaveGroup)]
        if not told:
            return await carry_out(hands, state, effects)
        others = [effect for effect in effects if effect not in told]
        await carry_out(hands, state, [effect for effect in others if not isinstance(effect, _ANSWERED)])
        for effect in told:
            if isinstance(effect, JoinBarrier):
                around.do(Deed("join", number=effect.generation * 10 + _BARRIERS.index(effect.barrier) + 1))
            else:
                around.do(Deed("leave group", number=effect.generation, at=int(effect.again)))
        return await carry_out(hands, state, [effect for effect in others if isinstance(effect, _ANSWERED)])

    return beside_the_group


class _Forgetful:
    """A table of agents that stays as it is."""

    async def put(self, agent: ResidentAgent) -> None:
        """The scene says where agents live."""

    async def forget(self, vm_id: str) -> None:
        """The scene says where agents live."""


@dataclass(frozen=True, slots=True)
class _Kit:
    around: Surroundings
    loop: SagaLoop
    steps: Steps
    acks: Acks
    sweeping: Sweeping
