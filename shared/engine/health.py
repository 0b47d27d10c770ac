"""How the app is: can it reach what it needs, is anything late, put aside, or turned away?

Cheap to ask: a report is kept for ``KEPT_MS``, every check is bounded, and none scans a table. Nothing here
raises: what fails is in the report, by the class of its error and not by its text, which may quote a request.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.compute.errors import ComputeError
from shared.engine.ack_counts import NAME, day_of
from shared.engine.housekeeping.views import housekeeping_attention, housekeeping_view
from shared.engine.lateness import Late, Lateness, look_for_late_sagas
from shared.engine.ports import Clock, Compute
from shared.engine.queue_names import ACKS, GROUPS, NOTICES, NOTICES_DEAD, POINTS, RUNS, STEPS
from shared.engine.views import moment
from shared.logs import logger
from shared.storage.counters import CounterTable
from shared.storage.findings import Finding, FindingKind, FindingTable
from shared.storage.housekeeping import HousekeepingTable
from shared.storage.ports import CountedQueues, ReloadableSagas
from shared.storage.runs import RunTable
from shared.version import VERSION

_log = logger("health")

KEPT_MS = 10_000
CHECK_WITHIN_S = 8.0

#: A saga that is overdue by more than this (ms) was not even mended by the sweep, which comes every minute.
TOO_LATE_MS = 300_000

#: Findings that are counted, which are two pages of their table at most.
FINDINGS_AT_MOST = 1_000

_DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Report:
    """How the app is; ``document`` is what the API shows."""

    healthy: bool
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a check came to: its value and how long it took (ms), or the class of the error."""

    value: Any
    ms: int
    error: str = ""

    def view(self) -> dict[str, Any]:
        return {"ok": not self.error, "ms": self.ms, **({"error": self.error} if self.error else {})}


class Health:
    """Looks at everything that the app rests on."""

    def __init__(
        self,
        *,
        runs: RunTable,
        sagas: ReloadableSagas,
        counters: CounterTable,
        queues: CountedQueues,
        guest_queues: CountedQueues,
        compute: Compute,
        clock: Clock,
        findings: FindingTable,
        passes: HousekeepingTable | None = None,
        drain: bool = False,
    ) -> None:
        self._findings = findings
        self._runs = runs
        self._sagas = sagas
        self._counters = counters
        self._queues = queues
        self._guest_queues = guest_queues
        self._compute = compute
        self._clock = clock
        self._passes = passes
        self._drain = drain
        self._looking = asyncio.Lock()
        self._last: tuple[int, Report] | None = None

    async def report(self) -> Report:
        """Say how the app is; an answer may be ``KEPT_MS`` old."""
        async with self._looking:
            now = self._clock()
            if self._last is None or now - self._last[0] >= KEPT_MS:
                self._last = (now, await self._look(now))
            return self._last[1]

    async def _look(self, now: int) -> Report:
        checks: dict[str, Awaitable[Any]] = {
            "tables": self._counters.read(NAME, day_of(now)),
            "queues": _counts(self._queues, (RUNS, STEPS, GROUPS, POINTS, NOTICES)),
            "guest_queues": _counts(self._guest_queues, (ACKS,)),
            "notices": _notices(self._queues),
            "arm": self._compute.reach(),
            "findings": _findings(self._findings),
            "overdue": look_for_late_sagas(self._runs, self._sagas, self._clock),
            "yesterday": self._counters.read(NAME, day_of(now - _DAY_MS)),
        }
        if self._passes is not None:
            checks["housekeeping"] = self._passes.passes()
        ended = await asyncio.gather(*(_seen(work) for work in checks.values()))
        seen = dict(zip(checks, ended, strict=True))
        for name, one in seen.items():
            if one.error:
                _log.warning("stillframe health: %s failed after %d ms: %s", name, one.ms, one.error)
        return _report(now, seen, drain=self._drain)


async def _seen(work: Awaitable[Any]) -> _Seen:
    """Await a check within its time; gathered, so that whatever it raises is a value."""
    time = asyncio.get_running_loop().time
    began = time()
    outcomes = await asyncio.gather(asyncio.wait_for(work, CHECK_WITHIN_S), return_exceptions=True)
    outcome: Any = outcomes[0]
    ms = round((time() - began) * 1000)
    if isinstance(outcome, Exception):
        return _Seen(None, ms, outcome.code if isinstance(outcome, ComputeError) else type(outcome).__name__)
    if isinstance(outcome, BaseException):
        raise outcome
    return _Seen(outcome, ms)


async def _counts(queues: CountedQueues, names: Sequence[str]) -> dict[str, int]:
    """Count the poison messages of some queues, which also shows that the queues can be reached."""
    poison = [f"{name}-poison" for name in names]
    return dict(zip(poison, await asyncio.gather(*(queues.count(name) for name in poison)), strict=True))


async def _notices(queues: CountedQueues) -> dict[str, int]:
    """Count the notices that are to be delivered, or tried again, and those that were given up."""
    waiting, dead = await asyncio.gather(queues.count(NOTICES), queues.count(NOTICES_DEAD))
    return {"waiting": waiting, "given_up": dead}


@dataclass(frozen=True, slots=True)
class _Found:
    """What does not agree between records and Azure; ``more``: there is more than was counted."""

    kinds: Mapping[str, int]
    oldest: Finding | None
    begun_at: int | None
    more: bool

    @property
    def count(self) -> int:
        return sum(self.kinds.values())


async def _findings(table: FindingTable) -> _Found:
    """Count the findings of reconciliation, up to ``FINDINGS_AT_MOST``."""
    kinds: Counter[str] = Counter()
    oldest: Finding | None = None
    more = False
    async for finding in table.all():
        if kinds.total() == FINDINGS_AT_MOST:
            more = True
            break
        kinds[finding.kind.value] += 1
        if oldest is None or finding.first_seen < oldest.first_seen:
            oldest = finding
    return _Found(kinds, oldest, (await table.passes()).last, more)


def _report(now: int, seen: Mapping[str, _Seen], *, drain: bool) -> Report:
    lateness: Lateness | None = seen["overdue"].value
    poison = {**(seen["queues"].value or {}), **(seen["guest_queues"].value or {})}
    problems = [f"{_NAMES[name]}: {one.error}" for name, one in seen.items() if one.error and name in _NAMES]
    oldest = lateness.oldest if lateness else None
    if oldest is not None and oldest.overdue_ms > TOO_LATE_MS:
        problems.append(_late(oldest))
    attention = [f"{count} messages in {queue}" for queue, count in poison.items() if count]
    notices: dict[str, int] = seen["notices"].value or {}
    if notices.get("given_up"):
        attention.append(f"{notices['given_up']} notices could not be delivered: queue {NOTICES_DEAD}")
    if oldest is not None and oldest.overdue_ms <= TOO_LATE_MS:
        attention.append(_late(oldest))
    found: _Found | None = seen["findings"].value
    if found is not None and found.oldest is not None:
        attention.append(_disagree(found, found.oldest))
    if lateness is not None and lateness.unreadable:
        told = "sagas that a newer version of the app saved: they wait for it (docs/upgrade.md)"
        attention.append(f"{lateness.unreadable} {told}")
    if drain:
        attention.append(_drained(lateness))
    kept = seen.get("housekeeping")
    attention += housekeeping_attention(kept.value if kept else None, now)
    document = {
        "status": "unhealthy" if problems else "healthy",
        "problems": problems,
        "attention": attention,
        "version": VERSION,
        "draining": drain,
        "checked_at": moment(now),
        "storage": {name: seen[name].view() for name in ("tables", "queues", "guest_queues")},
        "arm": seen["arm"].view(),
        "overdue": _overdue(seen["overdue"], lateness),
        "poison": poison,
        "notices": {**seen["notices"].view(), **notices},
        "findings": _found(seen["findings"], found),
        "acks": {
            day_of(now): _acks(seen["tables"].value or {}),
            day_of(now - _DAY_MS): _acks(seen["yesterday"].value or {}),
        },
    }
    if kept is not None:
        document["last_housekeeping"] = kept.view() | housekeeping_view(kept.value)
    return Report(not problems, document)


_NAMES = {
    "tables": "the tables cannot be read",
    "queues": "the app's queues cannot be reached",
    "guest_queues": "the guests' queues cannot be reached",
    "arm": "Azure Resource Manager cannot be reached",
    "overdue": "it cannot be seen whether a saga is overdue",
}


def _late(late: Late) -> str:
    return f"saga {late.saga} of run {late.run} is overdue by {late.overdue_ms // 1000} s while {late.phase}"


def _disagree(found: _Found, oldest: Finding) -> str:
    count = f"more than {found.count}" if found.more else str(found.count)
    told = "finding" if count == "1" else "findings"
    since = f"the oldest since {moment(oldest.first_seen)}"
    return f"records and Azure do not agree: {count} {told} of reconciliation, {since}"


def _found(check: _Seen, found: _Found | None) -> dict[str, Any]:
    if found is None:
        return check.view()
    oldest = found.oldest
    return {
        **check.view(),
        "count": found.count,
        "complete": not found.more,
        "kinds": {kind.value: found.kinds.get(kind.value, 0) for kind in FindingKind},
        "oldest": oldest
        and {
            "finding": oldest.finding_id,
            "kind": oldest.kind.value,
            "resource": oldest.resource_id,
            "first_seen": moment(oldest.first_seen),
            "href": "/api/reconciliation",
        },
        "begun_at": moment(found.begun_at),
    }


def _drained(lateness: Lateness | None) -> str:
    if lateness is None:
        return "draining: no new run begins; it cannot be seen how many VMs of runs under way are left"
    if not lateness.looked_at:
        return "draining: no new run begins, and no VM of a run is left"
    more = "" if lateness.complete else "at least "
    return f"draining: no new run begins; {more}{lateness.looked_at} VMs of runs under way are left"


def _overdue(check: _Seen, lateness: Lateness | None) -> dict[str, Any]:
    if lateness is None:
        return check.view()
    oldest = lateness.oldest
    return {
        **check.view(),
        "count": len(lateness.late),
        "oldest": oldest
        and {
            "run": oldest.run,
            "saga": oldest.saga,
            "vm": oldest.vm,
            "phase": oldest.phase,
            "overdue_s": oldest.overdue_ms // 1000,
            "href": f"/api/runs/{oldest.run}/vms/{oldest.saga}",
        },
        "sagas_looked_at": lateness.looked_at,
        "complete": lateness.complete,
    }


def _acks(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Sort the day's counts: ``rejected_stranger`` under ``rejected``, and so on."""
    sorted_out: dict[str, dict[str, int]] = {"rejected": {}, "ignored": {}}
    for kind, count in sorted(counts.items()):
        group, _, reason = kind.partition("_")
        sorted_out.setdefault(group, {})[reason] = count
    return sorted_out
