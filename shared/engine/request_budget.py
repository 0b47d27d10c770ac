"""What is left of Azure Resource Manager's requests of one subscription and region. Pure.

A token bucket of our own, a little smaller than Azure's, from which a saga takes before its guest is held
what its snapshots will need, and gives back what they did not. What Azure itself says remains (in the headers
of any answer that any instance got) can only lower it; a 429 closes it for as long as Azure asks.

Sources: "Understand how Azure Resource Manager throttles requests" (Microsoft Learn): per subscription,
region and principal 200 writes, 10 more each second, and 250 reads, 25 more each second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.compute.remaining import RemainingSeen

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
SHORTEST_WAIT_MS, LONGEST_WAIT_MS = 1_000, 60_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a generation of a saga took, and when (ms since the epoch)."""

    saga: str
    generation: int
    writes: int
    reads: int
    at: int


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


def take(budget: RequestBudget, wanted: Grant, now: int) -> tuple[RequestBudget, int]:
    """Take what a generation needs: gives 0, or until when (ms since the epoch) to wait with nothing taken.

    Who needs more than the bucket ever holds is let in when it is full.
    """
    budget = _refilled(budget, now)
    if any((one.saga, one.generation) == (wanted.saga, wanted.generation) for one in budget.grants):
        return budget, 0
    if budget.closed_until > now:
        return budget, budget.closed_until
    writes, reads = min(wanted.writes, WRITES), min(wanted.reads, READS)
    lacking_ms = max(
        (writes - budget.writes) / WRITES_PER_S * 1_000,
        (reads - budget.reads) / READS_PER_S * 1_000,
        *(_lacking_ms(one, wanted.writes, now) for one in budget.provider),
    )
    if lacking_ms > 0:
        return budget, now + int(min(max(lacking_ms, SHORTEST_WAIT_MS), LONGEST_WAIT_MS)) + 1
    provider = tuple(
        ProviderSeen(one.name, _provider_left(one, now) - wanted.writes, now) for one in budget.provider
    )
    taken = replace(
        budget,
        writes=budget.writes - writes,
        reads=budget.reads - reads,
        grants=(*budget.grants, replace(wanted, at=now)),
        provider=provider,
    )
    return taken, 0


def settle(
    budget: RequestBudget, saga: str, generation: int, now: int, *, writes: int, reads: int
) -> RequestBudget:
    """Give back what a generation took and did not use; once."""
    budget = _refilled(budget, now)
    mine = [one for one in budget.grants if one.saga == saga and one.generation <= generation]
    back_writes = sum(max(0, one.writes - writes) for one in mine)
    back_reads = sum(max(0, one.reads - reads) for one in mine)
    return replace(
        budget,
        writes=min(WRITES, budget.writes + back_writes),
        reads=min(READS, budget.reads + back_reads),
        grants=tuple(one for one in budget.grants if one not in mine),
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
    )


def _least(own: float, seen: int | None) -> float:
    return own if seen is None else min(own, float(seen))


def _provider_left(seen: ProviderSeen, now: int) -> float:
    most = PROVIDER_BUCKETS[seen.name]
    passed_ms = max(0, now - seen.at)
    return min(float(most), seen.remaining + passed_ms * most / _window_ms(seen.name))


def _lacking_ms(seen: ProviderSeen, wanted: int, now: int) -> float:
    most = PROVIDER_BUCKETS[seen.name]
    return (min(wanted, most) - _provider_left(seen, now)) * _window_ms(seen.name) / most


def _window_ms(name: str) -> int:
    return next(minutes for suffix, minutes in _MINUTES.items() if name.endswith(suffix)) * 60_000
