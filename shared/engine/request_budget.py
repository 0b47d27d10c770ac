"""What is left of Azure Resource Manager's requests of one subscription and region. Pure.

A token bucket of our own, a little smaller than Azure's, from which a saga takes before its guest is held
what its snapshots will need, and gives back what they did not. What Azure itself says remains (in the headers
of any answer that any instance got) can only lower it; a 429 closes it for as long as Azure asks.

Who must wait has a turn: what comes is for those who came first, so that many who wait neither ask all at
once for what is enough for one, nor keep anybody out for ever. They are told to come when the refill alone
will have served all before them; who is served sooner by what others give back is called.

Sources: "Understand how Azure Resource Manager throttles requests" (Microsoft Learn): per subscription,
region and principal 200 writes, 10 more each second, and 250 reads, 25 more each second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.compute.remaining import RemainingSeen
from shared.engine.places import LONGEST_WAIT_MS, SHORTEST_WAIT_MS, SOON_MS

#: Of Azure's 200 and 10 a second: the rest is for starting agents, tagging and deleting.
WRITES, WRITES_PER_S = 150.0, 8.0
#: Of Azure's 250 and 25 a second: the rest is for preflights and background copies.
READS, READS_PER_S = 200.0, 20.0

#: Reads that one snapshot is taken to need: looked at every 250 ms, for two seconds.
READS_PER_SNAPSHOT = 8

#: What the compute provider holds, as seen in its answers; ``3Min`` in a name is how long that is for.
PROVIDER_BUCKETS: Mapping[str, int] = {
    "HighCostSnapshotCreateHydrate3Min": 1_000,
    "HighCostSnapshotCreateHydrate30Min": 8_000,
    "CreateRestorePoints3Min": 120,
    "CreateRestorePoints30Min": 600,
}
_MINUTES = {"30Min": 30, "3Min": 3}

#: A grant is remembered this long (ms), so that asking again for the same takes nothing.
GRANT_KEPT_MS = 10 * 60_000
#: A turn is kept for this long (ms) after its saga was to ask again: then its host is taken for dead.
TURN_KEPT_MS = 30_000
#: Turns that are kept. Who comes later comes again later, in no order among themselves.
MOST_WAITING = 200


@dataclass(frozen=True, slots=True)
class Grant:
    """What a generation of a saga took, and when (ms since the epoch)."""

    saga: str
    generation: int
    writes: int
    reads: int
    at: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A saga that waits, what it needs, and when it asks again; ``run`` and ``vm`` are for its call."""

    saga: str
    writes: float
    reads: float
    again_at: int
    run: str = ""
    vm: str = ""


@dataclass(frozen=True, slots=True)
class ProviderSeen:
    """What remained in a bucket of the provider, less what was granted since; and when that was (ms)."""

    name: str
    remaining: float
    at: int


@dataclass(frozen=True, slots=True)
class RequestBudget:
    """The budget at ``at`` (ms since the epoch); ``closed_until`` is the end of a 429."""

    writes: float = WRITES
    reads: float = READS
    at: int = 0
    closed_until: int = 0
    grants: tuple[Grant, ...] = ()
    provider: tuple[ProviderSeen, ...] = ()
    waiting: tuple[Turn, ...] = ()


def told(budget: RequestBudget, seen: RemainingSeen | None, now: int) -> RequestBudget:
    """Take in what Azure said. It never raises the budget: others' answers may be older than ours."""
    budget = _refilled(budget, now)
    if seen is None:
        return budget
    known = {one.name: one for one in budget.provider}
    for name, remaining in seen.provider.items():
        if name not in PROVIDER_BUCKETS:
            continue
        left = _provider_left(known[name], now) if name in known else float(remaining)
        known[name] = ProviderSeen(name, min(left, float(remaining)), now)
    return replace(
        budget,
        writes=_least(budget.writes, seen.writes),
        reads=_least(budget.reads, seen.reads),
        closed_until=max(budget.closed_until, seen.closed_until),
        provider=tuple(known[name] for name in sorted(known)),
    )


def take(
    budget: RequestBudget, wanted: Grant, now: int, *, run: str = "", vm: str = ""
) -> tuple[RequestBudget, int]:
    """Take what a generation needs: gives 0, or until when (ms since the epoch) to wait with nothing taken.

    Who needs more than the bucket ever holds is let in when it is full. ``run`` and ``vm`` are the saga's.
    """
    budget = _refilled(budget, now)
    if any((one.saga, one.generation) == (wanted.saga, wanted.generation) for one in budget.grants):
        return budget, 0
    if budget.closed_until > now:
        return budget, budget.closed_until
    place = next(
        (at for at, one in enumerate(budget.waiting) if one.saga == wanted.saga), len(budget.waiting)
    )
    ahead, behind = budget.waiting[:place], budget.waiting[place + 1 :]
    mine = Turn(wanted.saga, min(wanted.writes, WRITES), min(wanted.reads, READS), now, run, vm)
    lacking_ms = _lacking_ms(budget, (*ahead, mine), now)
    if lacking_ms > 0:
        until = now + int(min(max(lacking_ms, SHORTEST_WAIT_MS), LONGEST_WAIT_MS)) + 1
        turns = (*ahead, replace(mine, again_at=until), *behind)
        return replace(budget, waiting=turns[:MOST_WAITING]), until
    provider = tuple(
        ProviderSeen(one.name, _provider_left(one, now) - wanted.writes, now) for one in budget.provider
    )
    taken = replace(
        budget,
        writes=budget.writes - mine.writes,
        reads=budget.reads - mine.reads,
        grants=(*budget.grants, replace(wanted, at=now)),
        provider=provider,
        waiting=(*ahead, *behind),
    )
    return taken, 0


def call(budget: RequestBudget, now: int) -> tuple[RequestBudget, tuple[Turn, ...]]:
    """Give those who could be served now and would ask only later; they are taken to ask at once."""
    if budget.closed_until > now:
        return budget, ()
    served = 0
    while served < len(budget.waiting) and _lacking_ms(budget, budget.waiting[: served + 1], now) <= 0:
        served += 1
    first, rest = budget.waiting[:served], budget.waiting[served:]
    called = tuple(one for one in first if one.vm and one.again_at > now + SOON_MS)
    turns = (*(replace(one, again_at=now) if one in called else one for one in first), *rest)
    return replace(budget, waiting=turns), called


def settle(
    budget: RequestBudget, saga: str, generation: int, now: int, *, writes: int, reads: int
) -> RequestBudget:
    """Give back what a generation took and did not use, once, and its turn."""
    budget = _refilled(budget, now)
    mine = [one for one in budget.grants if one.saga == saga and one.generation <= generation]
    back_writes = sum(max(0, one.writes - writes) for one in mine)
    back_reads = sum(max(0, one.reads - reads) for one in mine)
    return replace(
        budget,
        writes=min(WRITES, budget.writes + back_writes),
        reads=min(READS, budget.reads + back_reads),
        grants=tuple(one for one in budget.grants if one not in mine),
        waiting=tuple(one for one in budget.waiting if one.saga != saga),
    )


def _refilled(budget: RequestBudget, now: int) -> RequestBudget:
    """Let time pass. A clock that is behind that of whoever wrote last brings nothing, and takes nothing."""
    passed_s = max(0, now - budget.at) / 1_000 if budget.at else 0.0
    return replace(
        budget,
        writes=min(WRITES, budget.writes + passed_s * WRITES_PER_S),
        reads=min(READS, budget.reads + passed_s * READS_PER_S),
        at=max(budget.at, now),
        grants=tuple(one for one in budget.grants if one.at + GRANT_KEPT_MS > now),
        waiting=tuple(one for one in budget.waiting if one.again_at + TURN_KEPT_MS > now),
    )


def _least(own: float, seen: int | None) -> float:
    return own if seen is None else min(own, float(seen))


def _provider_left(seen: ProviderSeen, now: int) -> float:
    most = PROVIDER_BUCKETS[seen.name]
    passed_ms = max(0, now - seen.at)
    return min(float(most), seen.remaining + passed_ms * most / _window_ms(seen.name))


def _lacking_ms(budget: RequestBudget, turns: Sequence[Turn], now: int) -> float:
    """Say how long the refill takes to serve all of these; nothing or less where they can be served now."""
    writes, reads = sum(one.writes for one in turns), sum(one.reads for one in turns)
    return max(
        (writes - budget.writes) / WRITES_PER_S * 1_000,
        (reads - budget.reads) / READS_PER_S * 1_000,
        *(_provider_lacking_ms(one, writes, now) for one in budget.provider),
    )


def _provider_lacking_ms(seen: ProviderSeen, wanted: float, now: int) -> float:
    most = PROVIDER_BUCKETS[seen.name]
    return (min(wanted, most) - _provider_left(seen, now)) * _window_ms(seen.name) / most


def _window_ms(name: str) -> int:
    return next(minutes for suffix, minutes in _MINUTES.items() if name.endswith(suffix)) * 60_000
