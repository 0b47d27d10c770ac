"""The whole: a cloud, a guest, what is left of the faults; and everything that may happen next.

A world is three numbers. What happens in the cloud alone or in the guest alone depends on that half alone, so
each half's steps are worked out once and put together again and again: the product is what is explored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model import wire
from tests.model.cloud import FIRST, Cloud, has_run, with_acks, without_command
from tests.model.cloud_rules import CloudRules, Move
from tests.model.guest import Guest, Next, held_generation, settled
from tests.model.guest_rules import Rules
from tests.model.interning import Table
from tests.model.invocation import RECORDS, App
from tests.model.scenes import Scene

#: By how long the host may pause a VM (ms): less than the grace that the saga leaves the dead-man.
PAUSE_MS = 6_000

KINDS = ("loss", "dup", "crash", "delay", "fail", "pause")


class Budget(NamedTuple):
    """How many faults of each kind may still happen, and how many at all."""

    loss: int
    dup: int
    crash: int
    delay: int
    fail: int
    pause: int
    total: int


class World(NamedTuple):
    """Numbers of a cloud, a guest and a budget."""

    cloud: int
    guest: int
    budget: int


@dataclass(frozen=True, slots=True)
class Step:
    """Something that may happen. ``fault`` is empty where no fault is needed for it."""

    label: str
    fault: str
    world: World


class Worlds:
    """Gives the worlds that follow a world; one scene at a time in a process."""

    def __init__(self, scene: Scene, budget: Budget) -> None:
        RECORDS.forget()
        self.scene = scene
        self.clouds: Table[Cloud] = Table()
        self.guests: Table[Guest] = Table()
        self.budgets: Table[Budget] = Table()
        self._app = App(scene)
        self._cloud_rules = CloudRules(self._app, resident=scene.resident, grouped=scene.group is not None)
        self._rules = Rules(resident=scene.resident, post_script=scene.guest.post_script is not None)
        self._cloud_steps: dict[tuple[int, int, bool], list[tuple[str, str, bool, int]]] = {}
        self._guest_steps: dict[tuple[int, bool], list[tuple[str, str, bool, int, tuple[int, ...]]]] = {}
        self._received: dict[tuple[int, int, int], list[tuple[str, str, int, tuple[int, ...]]] | None] = {}
        self._started: dict[tuple[int, int, int], list[tuple[str, str, int, tuple[int, ...]]]] = {}
        self._repeated: dict[int, str] = {}
        self._twice: dict[tuple[int, int, int], str] = {}
        self._told: dict[tuple[int, tuple[int, ...], int], int] = {}
        self._spent: dict[tuple[int, str], int] = {}
        self._due: dict[tuple[int, int], int] = {}
        self._shifted: dict[tuple[int, int, int, bool], tuple[int, int]] = {}
        self.first = World(
            self.clouds.number(FIRST),
            self.guests.number(self._rules.first()),
            self.budgets.number(budget),
        )

    def close(self) -> None:
        """Let go of the app."""
        self._app.close()

    def steps(self, world: World) -> list[Step]:
        """Give everything that may happen next."""
        found, urgent = [], False
        for label, fault, is_urgent, cloud, guest, acks in self._moves(world):
            budget = self._pay(world.budget, fault)
            if budget is None:
                continue
            urgent = urgent or (is_urgent and not fault)
            after = self._tell(cloud, acks, guest) if acks else cloud
            found.append(Step(label, fault, World(after, guest, budget)))
        calm = any(not step.fault for step in found)
        if not urgent:
            found += self._time(world, "delay" if calm else "")
        if not urgent and self.guests.value(world.guest).frozen is not None:
            found += self._pause(world)
        return found

    def repeated(self, world: World) -> str:
        """Say what, of all that may be done next, does more when it is done twice; empty: nothing."""
        known = self._repeated.get(world.cloud)
        if known is None:
            known = self._repeated[world.cloud] = self._cloud_rules.repeated(self.clouds.value(world.cloud))
        if known:
            return known
        for command in self.clouds.value(world.cloud).commands:
            wrong = self._commanded_twice(world.guest, *command)
            if wrong:
                return wrong
        return ""

    def _commanded_twice(self, number: int, command: int, expires_in: int) -> str:
        """Say what a command does when the agent dies before it has deleted it, and gets it again."""
        key = (number, command, expires_in)
        known = self._twice.get(key)
        if known is None:
            known = ""
            once = self._receive(*key)
            if once is not None:
                after, acks = once[0][2], once[0][3]
                again = self._receive(after, command, expires_in)
                if again is not None and again[0][2] != after:
                    known = f"{wire.kind(command)}, taken twice, changes the guest twice"
                elif again is not None and acks and set(again[0][3]) - set(acks):
                    known = f"{wire.kind(command)}, taken twice, is answered differently"
            self._twice[key] = known
        return known

    def _moves(self, world: World) -> Iterator[tuple[str, str, bool, int, int, tuple[int, ...]]]:
        cloud, guest = self.clouds.value(world.cloud), self.guests.value(world.guest)
        faults = self.budgets.value(world.budget).total > 0
        for label, fault, urgent, after in self._of_cloud(world.cloud, held_generation(guest), faults):
            yield label, fault, urgent, after, world.guest, ()
        for label, fault, urgent, became, acks in self._of_guest(world.guest, faults):
            yield label, fault, urgent, world.cloud, became, acks
        for command in dict.fromkeys(cloud.commands):
            taken = self._receive(world.guest, *command)
            if taken is not None:
                after = self.clouds.number(without_command(cloud, command))
                for label, fault, became, acks in taken:
                    left = world.cloud if fault else after
                    yield label, fault, False, left, became, acks
        for name, command_number, expires_in, ran in cloud.run_commands:
            if not ran:
                after = self.clouds.number(has_run(cloud, name))
                for label, fault, became, acks in self._start(world.guest, command_number, expires_in):
                    yield label, fault, False, after, became, acks

    def _guest(self, guest: Guest) -> int:
        return self.guests.number(settled(guest))

    # --- each half, worked out once -----------------------------------------------------------

    def _of_cloud(self, number: int, held: int, faults: bool) -> list[tuple[str, str, bool, int]]:  # noqa: FBT001
        key = (number, held, faults)
        known = self._cloud_steps.get(key)
        if known is None:
            cloud = self.clouds.value(number)
            moves = self._cloud_rules.calm(cloud, held)
            if faults:
                moves += self._cloud_rules.faults(cloud)
            known = [_numbered(move, self.clouds) for move in moves]
            known = [step for step in dict.fromkeys(known) if step[3] != number]
            self._cloud_steps[key] = known
        return known

    def _of_guest(self, number: int, faults: bool) -> list[tuple[str, str, bool, int, tuple[int, ...]]]:  # noqa: FBT001
        key = (number, faults)
        known = self._guest_steps.get(key)
        if known is None:
            guest = self.guests.value(number)
            found = self._rules.steps(guest) + (self._rules.faults(guest) if faults else [])
            known = [
                (n.label, n.fault, n.urgent, self._guest(n.guest), n.acks)
                for n in found
                if faults or not n.fault
            ]
            self._guest_steps[key] = known
        return known

    def _receive(
        self, number: int, command: int, expires_in: int
    ) -> list[tuple[str, str, int, tuple[int, ...]]] | None:
        key = (number, command, expires_in)
        if key not in self._received:
            found = self._rules.receive(self.guests.value(number), command, expires_in)
            self._received[key] = None if found is None else self._ends(found)
        return self._received[key]

    def _start(
        self, number: int, command: int, expires_in: int
    ) -> list[tuple[str, str, int, tuple[int, ...]]]:
        key = (number, command, expires_in)
        if key not in self._started:
            found = self._rules.started(self.guests.value(number), command, expires_in)
            self._started[key] = self._ends(found)
        return self._started[key]

    def _ends(self, found: list[Next]) -> list[tuple[str, str, int, tuple[int, ...]]]:
        return [(n.label, n.fault, self._guest(n.guest), n.acks) for n in found]

    def _tell(self, cloud: int, acks: tuple[int, ...], guest: int) -> int:
        key = (cloud, acks, self.guests.value(guest).boot)
        known = self._told.get(key)
        if known is None:
            known = self.clouds.number(with_acks(self.clouds.value(cloud), acks, key[2]))
            self._told[key] = known
        return known

    def _pay(self, number: int, fault: str) -> int | None:
        if not fault:
            return number
        key = (number, fault)
        known = self._spent.get(key)
        if known is None:
            budget = self.budgets.value(number)
            left = getattr(budget, fault)
            known = -1
            if left and budget.total:
                spent = budget._replace(**{fault: left - 1}, total=budget.total - 1)
                known = self.budgets.number(spent)
            self._spent[key] = known
        return None if known < 0 else known

    # --- time ---------------------------------------------------------------------------------

    def _time(self, world: World, fault: str) -> list[Step]:
        """Let time pass until the next thing is due."""
        budget = self._pay(world.budget, fault)
        if budget is None:
            return []
        key = (world.cloud, world.guest)
        by = self._due.get(key)
        if by is None:
            dues = self._cloud_rules.due(self.clouds.value(world.cloud))
            dues += self._rules.due(self.guests.value(world.guest))
            by = self._due[key] = min(dues, default=0)
        if not by:
            return []
        cloud, guest = self._shift(world, by, paused=False)
        return [Step(f"{by} ms pass", fault, World(cloud, guest, budget))]

    def _pause(self, world: World) -> list[Step]:
        budget = self._pay(world.budget, "pause")
        if budget is None:
            return []
        cloud, guest = self._shift(world, PAUSE_MS, paused=True)
        return [Step(f"the host pauses the VM for {PAUSE_MS} ms", "pause", World(cloud, guest, budget))]

    def _shift(self, world: World, by: int, *, paused: bool) -> tuple[int, int]:
        key = (world.cloud, world.guest, by, paused)
        known = self._shifted.get(key)
        if known is None:
            cloud = self._cloud_rules.shift(self.clouds.value(world.cloud), by)
            guest = self._rules.shift(self.guests.value(world.guest), by, paused=paused)
            known = self._shifted[key] = (self.clouds.number(cloud), self._guest(guest))
        return known


def _numbered(move: Move, clouds: Table[Cloud]) -> tuple[str, str, bool, int]:
    return move.label, move.fault, move.urgent, clouds.number(move.cloud)


def told(worlds: Worlds, world: World) -> str:
    """Give a world in a line, for people."""
    cloud, guest = worlds.clouds.value(world.cloud), worlds.guests.value(world.guest)
    record = cloud.stored
    saga = "no saga" if record is None else f"{record.state.phase} g{record.state.generation}"
    queues = [m.what if m.what != "ack" else wire.ack_key(m.number) for m in cloud.messages]
    queues += [wire.kind(number) for number, _ in cloud.commands]
    agent = guest.state.phase if guest.alive else f"dead ({guest.state.phase})"
    frozen = "frozen" if guest.frozen else "not frozen"
    return f"{saga} | agent {agent}, {frozen} | {', '.join(queues) or 'no message'}"
