"""A group of VMs that share one instant: barriers that its members' sagas come to, as a pure machine.

| barrier | every member that is still in it | then |
|---|---|---|
| armed | is ready, and holds nothing yet | all quiesce |
| held | holds everything | all capture |
| captured | has its snapshots | all resume |
| proved | went on, and proved that it held until the order | all keep their recovery points, as one instant |

A barrier opens once all members that are left have come to it, each within its deadline. One that fails, is
late, is cancelled or dies falls; what becomes of the others is the group's rule. One attempt at a time: a
member that has to try again takes all others with it. No clock, no I/O; times are ms since the epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Barrier(StrEnum):
    """Where members wait for each other, in the order in which they come there."""

    ARMED = "armed"
    HELD = "held"
    CAPTURED = "captured"
    PROVED = "proved"


_ORDER = tuple(Barrier)

_BUDGET_SPENT = "its freeze budget ran out while it waited for the others"


class OnMemberFailure(StrEnum):
    """What becomes of the others when a member falls."""

    ALL = "all"
    """The group is broken: all resume, and none keeps a recovery point of it."""

    REST = "rest"
    """The others go on without it; they still have to be held at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRules:
    """How long members wait for each other, in ms.

    ``armed_timeout_ms`` counts from the first that is heard of in an attempt: nothing is held meanwhile.
    ``held_timeout_ms`` counts from the order to quiesce, and has to lie within every member's freeze budget.
    ``proved_timeout_ms`` counts from the order to resume.
    """

    on_member_failure: OnMemberFailure = OnMemberFailure.ALL
    armed_timeout_ms: int = 600_000
    held_timeout_ms: int = 15_000
    proved_timeout_ms: int = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a group, named by its saga.

    ``reached`` is the last barrier that it came to in the group's current attempt. ``until`` is when it lets
    go by itself, as it said when it was held. ``fallen`` is why it is out of the group, in all attempts.
    """

    saga: str
    reached: Barrier | None = None
    until: int | None = None
    fallen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """All that is known of a group in a run.

    ``opened`` is the last barrier that opened in this ``attempt``, ``deadline`` that of the awaited one (None
    while nobody was heard of). ``broken`` is why no member may keep anything of the group.
    """

    rules: GroupRules
    members: tuple[Member, ...]
    attempt: int = 1
    opened: Barrier | None = None
    deadline: int | None = None
    broken: str = ""

    @property
    def left(self) -> tuple[Member, ...]:
        """The members that have not fallen."""
        return tuple(member for member in self.members if not member.fallen)

    @property
    def ended(self) -> bool:
        """Whether nothing can change any more."""
        return bool(self.broken) or self.opened is Barrier.PROVED or not self.left

    @property
    def proved(self) -> tuple[str, ...]:
        """The sagas whose recovery points are of one instant; empty until all that are left proved it."""
        if self.broken or self.opened is not Barrier.PROVED:
            return ()
        return tuple(member.saga for member in self.left)


@dataclass(frozen=True, slots=True)
class Joined:
    """A member came to a barrier. At ``held`` it says ``until`` when (ms since the epoch) it can hold."""

    saga: str
    attempt: int
    barrier: Barrier
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Fell:
    """A member failed, was cancelled or let go by itself. ``again``: it may try again, if all others do."""

    saga: str
    attempt: int
    why: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Somebody looked at the clock."""


GroupEvent = Joined | Fell | TimePassed


@dataclass(frozen=True, slots=True)
class Open:
    """Tell these members that the barrier is open. Telling it twice changes nothing."""

    attempt: int
    barrier: Barrier
    sagas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Break:
    """Tell these members to let go of what they hold in this attempt, and to keep nothing of it.

    ``again``: the group tries once more; otherwise they are out of it.
    """

    attempt: int
    why: str
    sagas: tuple[str, ...]
    again: bool = False


GroupEffect = Open | Break


@dataclass(frozen=True, slots=True)
class GroupStep:
    """Where an event leads. ``ignored`` says why nothing changes, though somebody may be answered again."""

    state: GroupState
    effects: tuple[GroupEffect, ...] = ()
    ignored: str = ""


def new_group(rules: GroupRules, sagas: tuple[str, ...]) -> GroupState:
    """Make the state of a group that nobody came to yet."""
    return GroupState(rules=rules, members=tuple(Member(saga=saga) for saga in sagas))


def advance_group(state: GroupState, event: GroupEvent, now: int) -> GroupStep:
    """Say what follows from an event; ``now`` is ms since the epoch. Total: every event has an answer.

    Who is late falls first: a barrier that has not opened by its deadline does not open for whom it waited.
    """
    late = _late_ones_fall(state, now)
    step = _HANDLERS[type(event)](late.state, event, now)
    if step.ignored and late.effects:
        return GroupStep(step.state, late.effects + step.effects)
    return replace(step, effects=late.effects + step.effects)


def awaited(state: GroupState) -> Barrier | None:
    """Give the barrier that opens next; None once all are open."""
    if state.opened is None:
        return Barrier.ARMED
    following = _ORDER.index(state.opened) + 1
    return _ORDER[following] if following < len(_ORDER) else None


def _on_joined(state: GroupState, event: Joined, now: int) -> GroupStep:
    member = _member(state, event.saga)
    if member is None:
        return GroupStep(state, ignored="it is no member")
    if state.broken or member.fallen:
        out = Break(event.attempt, state.broken or member.fallen, (event.saga,))
        return GroupStep(state, (out,), ignored="it is out of the group")
    if event.attempt < state.attempt:
        stale = Break(event.attempt, "the group tries again", (event.saga,), again=True)
        return GroupStep(state, (stale,), ignored="it belongs to another attempt")
    if event.attempt > state.attempt:
        return _joined_ahead(state, event, now)
    if state.opened is not None and _reaches(state.opened, event.barrier):
        told = Open(state.attempt, event.barrier, (event.saga,))
        return GroupStep(state, (told,), ignored="the barrier is open")
    if event.barrier is not awaited(state):
        return GroupStep(state, ignored=f"{event.barrier} is not what comes next")
    if member.reached is event.barrier:
        return GroupStep(state, ignored="it waits there already")
    return _comes(state, member, event, now)


def _comes(state: GroupState, member: Member, event: Joined, now: int) -> GroupStep:
    """A member comes to the awaited barrier; one whose budget is spent by then holds nothing any more."""
    until = event.until if event.barrier is Barrier.HELD else member.until
    if until is not None and now >= until and event.barrier in (Barrier.HELD, Barrier.CAPTURED):
        return _falls(state, member, _BUDGET_SPENT, now)
    there = _with(state, replace(member, reached=event.barrier, until=until))
    return _opened_if_all_are_there(_waited_for(there, now), now)


def _joined_ahead(state: GroupState, event: Joined, now: int) -> GroupStep:
    """A member tries again, and the word of its failure was lost, or comes later."""
    if (
        state.opened is Barrier.PROVED
        or event.attempt > state.attempt + 1
        or event.barrier is not Barrier.ARMED
    ):
        out = Break(event.attempt, "the group does not try again", (event.saga,))
        return GroupStep(state, (out,), ignored="the group is not at that attempt")
    anew = _try_again(state, event.saga, f"{event.saga} tries again", now)
    joined = _on_joined(anew.state, event, now)
    return replace(joined, effects=anew.effects + joined.effects)


def _on_fell(state: GroupState, event: Fell, now: int) -> GroupStep:
    member = _member(state, event.saga)
    if member is None:
        return GroupStep(state, ignored="it is no member")
    if state.broken or member.fallen:
        return GroupStep(state, ignored="it is out of the group already")
    if state.opened is Barrier.PROVED:
        return GroupStep(state, ignored="the group is over")
    if not event.again:  # in whichever attempt: who is out is out
        return _falls(state, member, event.why, now)
    if event.attempt != state.attempt:
        return GroupStep(state, ignored="it belongs to another attempt")
    return _try_again(state, event.saga, f"{event.saga}: {event.why}", now)


def _on_time_passed(state: GroupState, _event: TimePassed, _now: int) -> GroupStep:
    return GroupStep(state, ignored="nobody is late")


def _late_ones_fall(state: GroupState, now: int) -> GroupStep:
    """Let those fall that the awaited barrier waited for in vain, and those that had to let go meanwhile."""
    following = awaited(state)
    if state.ended or following is None:
        return GroupStep(state)
    overdue = state.deadline is not None and now >= state.deadline
    effects: tuple[GroupEffect, ...] = ()
    for member in state.left:
        if following in (Barrier.HELD, Barrier.CAPTURED) and member.until is not None and now >= member.until:
            why = _BUDGET_SPENT
        elif overdue and member.reached is not following:
            why = f"it was not {following} in time"
        else:
            continue
        if state.broken:
            break
        step = _marked(state, member, why, now)
        state, effects = step.state, effects + step.effects
    if not effects or state.ended:
        return GroupStep(state, effects)
    opened = _opened_if_all_are_there(state, now)
    return replace(opened, effects=effects + opened.effects)


def _falls(state: GroupState, member: Member, why: str, now: int) -> GroupStep:
    step = _marked(state, member, why, now)
    if step.state.ended:
        return step
    opened = _opened_if_all_are_there(step.state, now)
    return replace(opened, effects=step.effects + opened.effects)


def _marked(state: GroupState, member: Member, why: str, now: int) -> GroupStep:
    """Mark a member as fallen, and break the group if that is its rule. Who fell is told to let go, too."""
    after = _with(state, replace(member, fallen=why))
    if state.rules.on_member_failure is OnMemberFailure.REST and after.left:
        return GroupStep(_waited_for(after, now), (Break(state.attempt, why, (member.saga,)),))
    broken = replace(after, broken=f"{member.saga}: {why}", deadline=None)
    others = tuple(other.saga for other in state.members if other.saga != member.saga)
    told = Break(state.attempt, broken.broken, others)
    return GroupStep(broken, (Break(state.attempt, why, (member.saga,)), told))


def _try_again(state: GroupState, saga: str, why: str, now: int) -> GroupStep:
    """Begin another attempt of all that are left."""
    again = tuple(m if m.fallen else replace(m, reached=None, until=None) for m in state.members)
    anew = replace(state, members=again, attempt=state.attempt + 1, opened=None, deadline=None)
    others = tuple(member.saga for member in state.left if member.saga != saga)
    told = (Break(state.attempt, why, others, again=True),) if others else ()
    return GroupStep(_waited_for(anew, now), told)


def _waited_for(state: GroupState, now: int) -> GroupState:
    """Give an attempt that somebody was heard of in its first deadline, so that it ends whoever else dies."""
    if state.deadline is not None or state.opened is not None:
        return state
    return replace(state, deadline=now + state.rules.armed_timeout_ms)


def _opened_if_all_are_there(state: GroupState, now: int) -> GroupStep:
    following = awaited(state)
    if following is None or not all(member.reached is following for member in state.left):
        return GroupStep(state)
    opened = replace(state, opened=following, deadline=_deadline(state, following, now))
    return GroupStep(opened, (Open(state.attempt, following, tuple(m.saga for m in state.left)),))


def _deadline(state: GroupState, opened: Barrier, now: int) -> int | None:
    """Say until when members have to come to the barrier after ``opened``."""
    match opened:
        case Barrier.ARMED:
            return now + state.rules.held_timeout_ms
        case Barrier.HELD:
            unsaid = now + state.rules.held_timeout_ms
            return min((m.until for m in state.left if m.until is not None), default=unsaid)
        case Barrier.CAPTURED:
            return now + state.rules.proved_timeout_ms
        case Barrier.PROVED:
            return None


def _member(state: GroupState, saga: str) -> Member | None:
    return next((member for member in state.members if member.saga == saga), None)


def _with(state: GroupState, changed: Member) -> GroupState:
    members = tuple(changed if member.saga == changed.saga else member for member in state.members)
    return replace(state, members=members)


def _reaches(opened: Barrier, barrier: Barrier) -> bool:
    return _ORDER.index(opened) >= _ORDER.index(barrier)


_HANDLERS: Mapping[type, Callable[[GroupState, Any, int], GroupStep]] = {
    Joined: _on_joined,
    Fell: _on_fell,
    TimePassed: _on_time_passed,
}
