"""The places of a scope: how many of its guests may be held at once, and who is next. Pure.

Who comes first is held first: a place that is free is for whoever waits longest, of those with the lowest
rank (all have the same where there are no priorities). Who waits for something else as well (requests, a
disk) keeps its turn and holds up nobody. When a place is given up, those whose turn has come are called; one
who hears nothing asks again at its time.

A group of VMs has all of its places or none: two groups with half of theirs each would wait for each other.
It goes by the lowest rank of its members that asked.
"""

from dataclasses import dataclass, replace

#: A turn is kept for this long after its saga was to ask again (ms); then its host is taken for dead.
TURN_KEPT_MS = 90_000
#: Turns that are kept. Who comes later is let in later, in no order among themselves.
MOST_WAITING = 500
#: Between two questions of who waits (ms), for a place or for requests.
SHORTEST_WAIT_MS, LONGEST_WAIT_MS = 1_000, 60_000
#: Who asks again within this time (ms) is not called.
SOON_MS = 500
#: How long a place is taken, before anybody gave one up (ms).
FIRST_GUESS_MS = 4_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A place that is taken. Times in ms since the epoch; the lease ends by itself at ``expires_at``."""

    saga: str
    generation: int
    since: int
    expires_at: int
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A saga, or a group, that waits since ``since`` and asks again at ``again_at``.

    ``elsewhere``: for something else. ``needs`` is how many places it waits for. ``run``, ``vm`` and
    ``member`` are those of the saga that asked and is called; one that an older version wrote down cannot be.
    """

    saga: str
    since: int
    again_at: int
    elsewhere: bool = False
    needs: int = 1
    run: str = ""
    vm: str = ""
    member: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Together:
    """The group that a saga asks with, and the sagas of its other members."""

    group: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Who is held and who waits. ``usual_ms`` is how long a place was taken lately."""

    taken: tuple[Taken, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    usual_ms: int = FIRST_GUESS_MS


@dataclass(frozen=True, slots=True)
class Asked:
    """What an ask came to: admitted, or come again at ``until``, with ``ahead`` others before."""

    until: int = 0
    ahead: int = 0

    @property
    def admitted(self) -> bool:
        """Whether the place is taken."""
        return not self.until


def ask(
    places: Places,
    wanted: Taken,
    most: int,
    now: int,
    *,
    together: Together | None = None,
    run: str = "",
    vm: str = "",
) -> tuple[Places, Asked]:
    """Take a place if there is one and nobody waits longer for it; else wait for it.

    A saga has one place: asking again renews it, for the newest generation that asked. ``together``: with it
    those of its group are taken that have none yet, for as long. ``run`` and ``vm`` are its, for its call.
    """
    places = _alive(places, now)
    mine = next((one for one in places.taken if one.saga == wanted.saga), None)
    there = {one.saga for one in places.taken}
    more = tuple(saga for saga in together.others if saga not in there) if together else ()
    who = together.group if together else wanted.saga
    others = tuple(one for one in places.waiting if one.saga != who)
    turn = next((one for one in places.waiting if one.saga == who), None)
    since, needs = turn.since if turn else now, 1 + len(more)
    rank = min(turn.rank, wanted.rank) if turn else wanted.rank
    ahead = sum(one.needs for one in others if _turn(one) < (rank, since, who) and not one.elsewhere)
    free = most - len(places.taken) - ahead
    if mine is not None or free >= needs:
        rest = tuple(one for one in places.taken if one is not mine)
        renewed = _renewed(mine, wanted) if mine else wanted
        along = tuple(replace(wanted, saga=saga) for saga in more) if free >= len(more) else ()
        return replace(places, taken=(*rest, renewed, *along), waiting=others), Asked()
    before = ahead + needs - 1 + len(places.taken) - most
    pause = (before + 1) * places.usual_ms // max(1, most)
    until = now + min(max(pause, SHORTEST_WAIT_MS), LONGEST_WAIT_MS)
    waits = Waiting(who, since, until, needs=needs, run=run, vm=vm, member=wanted.saga, rank=rank)
    return _queued(replace(places, waiting=others), waits), Asked(until, before)


def _renewed(mine: Taken, wanted: Taken) -> Taken:
    """Renew a place. An ask that comes again late shortens no lease."""
    newest = max(mine.generation, wanted.generation)
    return replace(wanted, generation=newest, expires_at=max(mine.expires_at, wanted.expires_at))


def step_back(places: Places, saga: str, until: int, now: int) -> Places:
    """Give the place back for now: something else is not to be had before ``until``. The turn is kept."""
    mine = next((one for one in places.taken if one.saga == saga), None)
    since = mine.since if mine else now
    rest = tuple(one for one in places.taken if one.saga != saga)
    others = tuple(one for one in places.waiting if one.saga != saga)
    turn = Waiting(saga, since, until, elsewhere=True, rank=mine.rank if mine else 0)
    return _queued(replace(places, taken=rest, waiting=others), turn)


def leave(places: Places, saga: str, generation: int, now: int, *, group: str = "") -> Places:
    """Give up the place of a generation or an earlier one, or the turn, its own or its group's.

    What is gone is gone.
    """
    mine = next((one for one in places.taken if one.saga == saga), None)
    if mine is not None and mine.generation > generation:
        return places
    usual = places.usual_ms
    if mine is not None:
        took = min(max(now - mine.since, 0), mine.expires_at - mine.since)
        usual = (3 * usual + took) // 4
    return Places(
        taken=tuple(one for one in places.taken if one.saga != saga),
        waiting=tuple(one for one in places.waiting if one.saga not in (saga, group)),
        usual_ms=max(usual, 1),
    )


def called(places: Places, most: int, now: int) -> tuple[Waiting, ...]:
    """Give those whose turn has come, and who would ask only later."""
    free, whose = most - sum(1 for one in places.taken if one.expires_at > now), []
    for one in places.waiting:
        if one.elsewhere or one.again_at + TURN_KEPT_MS <= now:
            continue
        if one.needs > free:
            break
        free -= one.needs
        if one.vm and one.again_at > now + SOON_MS:
            whose.append(one)
    return tuple(whose)


def _queued(places: Places, turn: Waiting) -> Places:
    waiting = sorted((*places.waiting, turn), key=_turn)
    return replace(places, waiting=tuple(waiting[:MOST_WAITING]))


def _turn(one: Waiting) -> tuple[int, int, str]:
    return (one.rank, one.since, one.saga)


def _alive(places: Places, now: int) -> Places:
    """Forget leases that have ended, and turns whose sagas ask no more."""
    return replace(
        places,
        taken=tuple(one for one in places.taken if one.expires_at > now),
        waiting=tuple(one for one in places.waiting if one.again_at + TURN_KEPT_MS > now),
    )
