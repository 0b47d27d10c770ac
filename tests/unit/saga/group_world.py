"""A small group and everything that can happen to it, breadth first: real group, members by rule.

What a member says stays under way for ever, and so does what it is told: each may come at any time,
late, twice and out of order. A lost message is one that comes when the watch repeats it. Faults are what
a member can do wrong at any moment: fail (and try again, while it may), be let go by its dead-man, die
without a word, or be late. ``machine`` is the module under test, so that one with a fault planted in it
can be looked at as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

#: Attempts that each member has.
ATTEMPTS = 2

#: When members let go by themselves, and a time before everything and after everything (ms).
UNTIL, EARLY = 1_000, 0

ARMING, ARMED, QUIESCING, HELD = "arming", "armed", "quiescing", "held"
CAPTURING, CAPTURED, RESUMING, PROVING = "capturing", "captured", "resuming", "proving"
KEPT, OUT, DEAD = "kept", "out", "dead"

#: What a member does by itself, and where a barrier that opens takes it.
_WORKS = {ARMING: ARMED, QUIESCING: HELD, CAPTURING: CAPTURED, RESUMING: PROVING}
_OPENS = {"armed": (ARMED, QUIESCING), "held": (HELD, CAPTURING), "captured": (CAPTURED, RESUMING)}
_OPENS |= {"proved": (PROVING, KEPT)}
_PHASES = (ARMING, ARMED, QUIESCING, HELD, CAPTURING, CAPTURED, RESUMING, PROVING)
_COMES_TO = {ARMED: "armed", HELD: "held", CAPTURED: "captured", PROVING: "proved"}
OVER = (KEPT, OUT, DEAD)


class Member(NamedTuple):
    """``holds``: its guest is held. ``whole``: it was, from when it said so until the order to resume."""

    phase: str = ARMING
    attempt: int = 1
    holds: bool = False
    whole: bool = False


class World(NamedTuple):
    """All by number, as there are very many. ``group`` is that of the group's state; ``said`` and ``told``
    have a bit for each message that may come; ``at_once`` one for each member that was held when the barrier
    ``held`` opened.
    """

    group: int
    members: tuple[Member, ...]
    said: int = 0
    told: int = 0
    at_once: int = 0
    faults: int = 0


class Heard(NamedTuple):
    """What the group makes of something: its state, what it tells (bits), and whether a barrier opened."""

    group: int
    told: int
    opened: bool


class Wrong(Exception):
    """Something that must never be."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen: how many worlds, and how they ended."""

    worlds: int
    ends: int
    proved: int
    broken: int


class Numbers:
    """Gives things numbers, in the order in which they come."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Worlds:
    """All worlds of a group of ``size`` under a rule, with at most ``faults`` faults."""

    def __init__(self, machine: ModuleType, rule: str, size: int, faults: int) -> None:
        self._machine = machine
        self._groups, self._said, self._told = Numbers(), Numbers(), Numbers()
        self._known: dict[tuple[int, int], Heard] = {}
        rules = machine.GroupRules(on_member_failure=machine.OnMemberFailure(rule))
        group = machine.new_group(rules, tuple(str(number) for number in range(size)))
        self._first = World(self._groups.of(group), (Member(),) * size, faults=faults)

    def explore(self) -> Report:
        """Go through all of them.

        Raises:
            Wrong: something is, with what happened before it.
        """
        numbers, worlds, parents = {self._first: 0}, [self._first], [-1]
        edges: list[list[int]] = []
        ends = proved = broken = number = 0
        while number < len(worlds):
            world, following = worlds[number], []
            try:
                self._check(world)
                for after in self._steps(world):
                    if after == world:
                        continue
                    known = numbers.setdefault(after, len(worlds))
                    if known == len(worlds):
                        worlds.append(after)
                        parents.append(number)
                    following.append(known)
                if all(worlds[one].faults < world.faults for one in following):
                    self._check_end(world)
                    ends += 1
                    proved += bool(self._group(world).proved)
                    broken += bool(self._group(world).broken)
            except Wrong as wrong:
                raise Wrong(f"{wrong}\n" + "\n".join(self._trace(worlds, parents, number))) from None
            edges.append(following)
            number += 1
        if _has_a_loop(edges):
            raise Wrong("it goes round for ever")
        return Report(len(worlds), ends, proved, broken)

    def _group(self, world: World) -> Any:
        return self._groups.values[world.group]

    # --- what may happen ----------------------------------------------------------------------

    def _steps(self, world: World) -> Iterator[World]:
        calm = [after for after in map(self._settled, self._calm(world)) if after != world]
        yield from calm
        if self._group(world).deadline is not None and (not calm or world.faults):
            late = self._hears(world, _LATE)
            if late != world:
                yield self._settled(late if not calm else late._replace(faults=world.faults - 1))
        if world.faults:
            for index in range(len(world.members)):
                for after in self._upset(world, index):
                    yield self._settled(after._replace(faults=world.faults - 1))

    def _settled(self, world: World) -> World:
        """Leave out messages that have no effect any more: worlds that differ in nothing else are one.

        What members said stays under way until the group is over.
        """
        told = said = 0
        for number in _bits(world.told):
            told |= self._may_obey(world.members, *self._told.values[number]) << number
        group = self._group(world)
        for number in _bits(world.said):
            event = self._said.values[number]
            mine = world.members[int(event.saga)]
            waits = mine.phase not in OVER and event.attempt == mine.attempt
            said |= (waits or not group.ended) << number
        return world._replace(told=told, said=said)

    def _may_obey(self, members: tuple[Member, ...], index: int, effect: Any) -> bool:
        member = members[index]
        if member.phase in OVER or effect.attempt < member.attempt:
            return False
        if isinstance(effect, self._machine.Break) or effect.attempt > member.attempt:
            return True
        return _PHASES.index(member.phase) <= _PHASES.index(_OPENS[effect.barrier][0])

    def _calm(self, world: World) -> Iterator[World]:
        for index, member in enumerate(world.members):
            if member.phase in _WORKS:
                yield self._works(world, index, member)
        for number in _bits(world.said):
            yield self._hears(world, number)
        for number in _bits(world.told):
            yield self._obeys(world, *self._told.values[number])

    def _works(self, world: World, index: int, member: Member) -> World:
        phase = _WORKS[member.phase]
        if phase == PROVING and not member.whole:
            return self._fails(world, index, again=True)
        held = phase == HELD
        after = member._replace(phase=phase, holds=member.holds or held, whole=member.whole or held)
        barrier = self._machine.Barrier(_COMES_TO[phase])
        until = UNTIL + index if held else None
        joined = self._machine.Joined(str(index), member.attempt, barrier, until)
        return self._saying(_with(world, index, after), joined)

    def _upset(self, world: World, index: int) -> Iterator[World]:
        member = world.members[index]
        if member.phase in OVER:
            return
        yield self._fails(world, index, again=True)
        yield self._fails(world, index, again=False)
        yield _with(world, index, member._replace(phase=DEAD, holds=False, whole=False))
        if member.holds:
            yield _with(world, index, member._replace(holds=False, whole=False))

    def _fails(self, world: World, index: int, *, again: bool) -> World:
        """It lets go of what it holds by itself, and says so."""
        member = world.members[index]
        again = again and member.attempt < ATTEMPTS
        fell = self._machine.Fell(str(index), member.attempt, "it failed", again)
        after = Member(attempt=member.attempt + 1) if again else Member(OUT, member.attempt)
        return self._saying(_with(world, index, after), fell)

    def _obeys(self, world: World, index: int, effect: Any) -> World:
        member = world.members[index]
        if member.phase in OVER or effect.attempt != member.attempt:
            return world
        if isinstance(effect, self._machine.Break):
            if not effect.again:
                return _with(world, index, Member(OUT, member.attempt))
            if member.attempt < ATTEMPTS:
                return _with(world, index, Member(attempt=member.attempt + 1))
            return self._fails(world, index, again=False)
        waits, goes_on = _OPENS[effect.barrier]
        if member.phase != waits:
            return world
        resumed = goes_on == RESUMING
        return _with(world, index, member._replace(phase=goes_on, holds=member.holds and not resumed))

    def _saying(self, world: World, event: Any) -> World:
        return world._replace(said=world.said | 1 << self._said.of(event))

    def _hears(self, world: World, number: int) -> World:
        """Bring something to the group."""
        known = self._known.get((world.group, number))
        if known is None:
            known = self._known[world.group, number] = self._heard(self._group(world), number)
        after = world._replace(group=known.group, told=world.told | known.told)
        if not known.opened:
            return after
        group = self._group(after)
        self._check_opening(world, group)
        if group.opened != "held":
            return after
        return after._replace(at_once=sum(1 << i for i, member in enumerate(world.members) if member.holds))

    def _heard(self, group: Any, number: int) -> Heard:
        event = self._machine.TimePassed() if number == _LATE else self._said.values[number]
        now = group.deadline if number == _LATE else EARLY
        step = self._machine.advance_group(group, event, now)
        if self._machine.advance_group(step.state, event, now).state != step.state:
            raise Wrong(f"{event} twice is not the same as once")
        told = 0
        for effect in step.effects:
            for saga in effect.sagas:
                told |= 1 << self._told.of((int(saga), replace(effect, sagas=(saga,))))
        before, after = (group.opened, group.attempt), (step.state.opened, step.state.attempt)
        return Heard(self._groups.of(step.state), told, opened=before != after and after[0] is not None)

    # --- what must be -------------------------------------------------------------------------

    def _check_opening(self, world: World, group: Any) -> None:
        """A barrier opens when every member that is left has come to it, as far as anybody can know."""
        said = [self._said.values[number] for number in _bits(world.said)]
        came = {
            (each.saga, each.attempt, each.barrier) for each in said if isinstance(each, self._machine.Joined)
        }
        for member in group.left:
            if (member.saga, group.attempt, str(group.opened)) not in came:
                raise Wrong(f"{group.opened} opens, and {member.saga} never came there in this attempt")

    def _check(self, world: World) -> None:
        group = self._group(world)
        for index, member in enumerate(world.members):
            if member.phase == KEPT and (str(index) not in group.proved or not member.whole):
                raise Wrong(f"{index} keeps what is not proved")
        for saga in group.proved:
            if not world.at_once >> int(saga) & 1:
                raise Wrong(f"{saga} is called of one instant, and was not held with the others")
        if group.attempt > ATTEMPTS:
            raise Wrong("the group tries again more often than its members may")

    def _check_end(self, world: World) -> None:
        group = self._group(world)
        if any(member.holds for member in world.members):
            raise Wrong("all is over, and a guest is held")
        alive = [member for member in world.members if member.phase != DEAD]
        if any(member.phase not in OVER for member in alive):
            raise Wrong("a member waits for something that never comes")
        if alive and not group.ended:
            raise Wrong("the group never ends")
        kept = {str(index) for index, member in enumerate(world.members) if member.phase == KEPT}
        if not kept <= set(group.proved):  # one that failed later takes nothing from the others
            raise Wrong(f"{sorted(kept)} are kept, and {group.proved} are of one instant")

    def _trace(self, worlds: list[World], parents: list[int], number: int) -> Iterator[str]:
        path = []
        while number >= 0:
            path.append(number)
            number = parents[number]
        for one in reversed(path):
            group, members = self._group(worlds[one]), worlds[one].members
            phases = ", ".join(f"{m.phase}({m.attempt}{' held' if m.holds else ''})" for m in members)
            yield f"attempt {group.attempt} opened {group.opened} broken {group.broken or 'no'}: {phases}"


#: Stands for the clock among what the group may hear.
_LATE = -1


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _with(world: World, index: int, member: Member) -> World:
    return world._replace(members=(*world.members[:index], member, *world.members[index + 1 :]))


def _has_a_loop(edges: list[list[int]]) -> bool:
    """Take away, from the ends on, all that end: what is left goes round."""
    left = [len(following) for following in edges]
    before: list[list[int]] = [[] for _ in edges]
    for number, following in enumerate(edges):
        for after in following:
            before[after].append(number)
    ended = [number for number, count in enumerate(left) if not count]
    for number in ended:  # grows while it is walked through
        for earlier in before[number]:
            left[earlier] -= 1
            if not left[earlier]:
                ended.append(earlier)
    return len(ended) < len(edges)
