"""The other members of a group, as one adversary: they come to a barrier, break, or fall silent, at any time.

What the group as a whole may answer to whom is checked with its real machine elsewhere
(``tests/unit/saga/test_group.py``, ``test_saga_party.py``); here the saga under test meets every answer that
it may get, whenever it may get it.
"""

from typing import NamedTuple

from shared.saga.events import BarrierOpened, GroupBroke
from shared.saga.group import Barrier
from shared.saga.state import Phase, SagaState
from tests.model.snapshots import Message

BARRIERS = tuple(Barrier)
ALL = len(BARRIERS)

#: A group tries again no more often than makes a difference to a saga with two attempts.
LAST_ATTEMPT = 3

OPENED, BROKE = "opened", "broke"


class Others(NamedTuple):
    """What the group knows. Barriers are counted from 1; ``joined`` and ``opened`` are of this ``attempt``.

    ``broken``: it gave up. ``left``: the saga under test said that it is out. ``silent``: it never says
    anything any more.
    """

    attempt: int = 1
    joined: int = 0
    opened: int = 0
    broken: bool = False
    left: bool = False
    silent: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing can come of it any more, or all has."""
        return self.broken or self.left or self.opened == ALL


def opens(others: Others) -> tuple[Others, Message] | None:
    """The others have come to where the saga waits."""
    if others.over or others.silent or others.joined != others.opened + 1:
        return None
    after = others._replace(opened=others.joined)
    return after, _opened(others.attempt, after.opened)


def breaks(others: Others) -> list[tuple[Others, Message]]:
    """One of the others fails: for now, or for good."""
    if others.over or others.silent:
        return []
    found = [(others._replace(broken=True), _broke(others.attempt, again=False))]
    if others.attempt < LAST_ATTEMPT:
        found.append((_next(others, others.attempt + 1), _broke(others.attempt, again=True)))
    return found


def falls_silent(others: Others) -> Others | None:
    """Nobody answers any more to a saga that waits."""
    waits = others.joined == others.opened + 1
    return others._replace(silent=True) if waits and not others.over and not others.silent else None


def joins(others: Others, number: int) -> tuple[Others, Message | None]:
    """The saga says that it came to a barrier."""
    generation, barrier = divmod(number, 10)
    if others.silent:
        return others, None
    if others.broken or others.left:
        return others, _broke(generation, again=False)
    if generation < others.attempt:
        return others, _broke(generation, again=True)
    if generation > others.attempt:
        ahead = generation == others.attempt + 1 and barrier == 1 and others.opened < ALL
        if not ahead:
            return others, _broke(generation, again=False)
        others = _next(others, generation)
    if barrier <= others.opened:
        return others, _opened(generation, barrier)
    return (others._replace(joined=barrier) if barrier == others.opened + 1 else others), None


def leaves(others: Others, generation: int, *, again: bool) -> Others:
    """The saga says that it fell."""
    if others.over:
        return others
    if not again:
        return others._replace(left=True)
    return _next(others, others.attempt + 1) if generation == others.attempt else others


def event_of(message: Message) -> BarrierOpened | GroupBroke:
    """Read what the group says."""
    generation, what = divmod(message.number, 10)
    if message.what == OPENED:
        return BarrierOpened(generation, BARRIERS[what - 1])
    return GroupBroke(generation, "another one failed", again=bool(what))


def may_matter(message: Message, state: SagaState) -> bool:
    """Whether a saga may do anything but ignore it."""
    event = event_of(message)
    if event.generation != state.generation:
        return event.generation > state.generation
    if isinstance(event, BarrierOpened):
        return state.phase is Phase(event.barrier)
    return not state.standing.out


def wrong_in_a_group(state: SagaState, others: Others, *, captures: bool) -> str:
    """Say what a saga does that its group has not opened the way to; ``captures``: held, of its snapshots."""
    generation = state.generation
    ahead = generation > others.attempt
    opened = others.opened if generation == others.attempt else 0
    if (
        captures
        and state.phase is Phase.CAPTURING
        and (ahead or (generation == others.attempt and opened < 2))
    ):
        return "snapshots are made before all others are held"
    fell = state.standing.out or state.standing.fell >= generation
    if state.phase is Phase.RESUMING and not fell and generation >= others.attempt and opened < 3:
        return "it lets go before all others have their snapshots, and did not say that it fell"
    if state.recovery_point and (others.opened < ALL or others.attempt != generation):
        return "it keeps a recovery point that its group did not prove"
    return ""


def wrong_at_the_end(state: SagaState, others: Others) -> str:
    """Say what a saga that is done left its group in."""
    if not others.over:
        return "the saga is done, and its group waits for it"
    if state.recovery_point and (others.broken or others.left):
        return "it keeps a recovery point, and is out of its group"
    return ""


def _next(others: Others, attempt: int) -> Others:
    return others._replace(attempt=attempt, joined=0, opened=0)


def _opened(generation: int, barrier: int) -> Message:
    return Message(OPENED, generation * 10 + barrier)


def _broke(generation: int, *, again: bool) -> Message:
    return Message(BROKE, generation * 10 + again)
