"""Clocks that are set, and messages that nobody sent in earnest."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from random import Random

from local.stack.waiting import TooSlowError
from shared.engine.queue_names import ACKS, GROUPS, RUNS, STEPS, StepMessage
from tests.chaos.arena import Arena
from tests.chaos.trouble import MOMENTS, Fault, Trouble, until_moment
from tests.e2e.scene import NO_MESSAGES

_STEPS_S = (-3_600, -30, -3, 3, 30, 3_600)

#: Phases end by the app's clock: after an hour back, a saga that gets no answer waits for an hour longer.
_BACK_AT_MOST_S = -30


@dataclass(kw_only=True)
class ClockSet(Trouble):
    """The wall clock of the app, or of one guest's agent, is set at a moment, and back at the end."""

    app: bool
    which: int
    moment: str
    ahead_s: float

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        with contextlib.suppress(TooSlowError):
            await until_moment(arena, arena.machines[self.which], self.moment)
            self.happened = True
            self._set(arena, self.ahead_s)

    async def after(self, arena: Arena) -> None:
        self._set(arena, 0)

    def _set(self, arena: Arena, ahead_s: float) -> None:
        if self.app:
            arena.set_app_clock(ahead_s)
        else:
            arena.set_guest_clock(arena.machines[self.which], ahead_s)


def _clock_set(random: Random, *, app: bool) -> ClockSet:
    which, moment, ahead_s = random.randrange(2), random.choice(MOMENTS), random.choice(_STEPS_S)
    if app:
        ahead_s = max(ahead_s, _BACK_AT_MOST_S)
    text = f"by {ahead_s} s, {('ledger', 'plain')[which]} {moment}"
    return ClockSet(text=text, app=app, which=which, moment=moment, ahead_s=ahead_s)


@dataclass(kw_only=True)
class Poison(Trouble):
    """Garbage on the queues, and in the poison queue a genuine message of a saga that goes on."""

    garbage: tuple[tuple[str, str], ...]
    genuine: str
    which: int
    moment: str

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        machine = arena.machines[self.which]
        run_id = await run
        for queue, text in self.garbage:
            await arena.put(queue, text)
            self.happened = True
        with contextlib.suppress(TooSlowError):
            await until_moment(arena, machine, self.moment)
            view = await arena.view(run_id, machine)
            if view is None:
                return
            if self.genuine == STEPS:
                text = StepMessage(run_id, view["saga"], machine.id, 1).text()
                await arena.put(f"{STEPS}-poison", text)
            elif self.genuine == ACKS and (ack := _ack_of(arena, view["saga"])):
                await arena.put(f"{ACKS}-poison", ack)


def _ack_of(arena: Arena, saga: str) -> str:
    """Give an ack that the saga's agent has sent."""
    for passage in arena.stack.proxy.journal:
        for message in passage.messages:
            if passage.method == "POST" and message.get("saga") == saga and ACKS in passage.path:
                return json.dumps(message)
    return ""


def _poison(random: Random) -> Poison:
    own = (RUNS, STEPS, ACKS, GROUPS)
    queues = (*own, *(f"{queue}-poison" for queue in own))
    garbage = tuple((random.choice(queues), random.choice(NO_MESSAGES)) for _ in range(random.randint(1, 5)))
    genuine, which, moment = random.choice(("", STEPS, ACKS)), random.randrange(2), random.choice(MOMENTS[:5])
    told = (
        f"a genuine one of {genuine} for {('ledger', 'plain')[which]} {moment}"
        if genuine
        else "garbage alone"
    )
    return Poison(
        text=f"{len(garbage)} of garbage, {told}",
        garbage=garbage,
        genuine=genuine,
        which=which,
        moment=moment,
    )


FAULTS = (
    Fault("clock of the app set", lambda random: _clock_set(random, app=True), goes_with_others=False),
    Fault("clock of a guest set", lambda random: _clock_set(random, app=False)),
    Fault("poison messages", _poison),
)
