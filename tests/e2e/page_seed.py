"""A run of many VMs as it is stored, without the VMs: written by the repositories, for the page's tests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shared.policy.groups import Group
from shared.policy.selection import Selection
from shared.saga.codec import encode
from shared.saga.group import GroupRules, new_group
from shared.saga.history import HistoryEntry
from shared.saga.names import saga_id
from shared.saga.phases import pending
from shared.saga.state import Phase, SagaSpec
from shared.saga.timeline import timeline_of
from shared.storage.groups import GroupRecord, GroupTable
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables

RUN = "5eeded00f00d0400"
POLICY = "nightly-databases"
AGE_MS = 420_000
BUDGET_MS = 30_000

#: What a name, a sentence or a tag may hold that would be markup, code or a turned line in a careless page.
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)<script>',
    "javascript:alert(3)",
    "evil\u202egnp.exe",
    "{{constructor.constructor('alert(4)')()}}",
)


@dataclass(frozen=True)
class Seeded:
    """A run that was written; ``going_on`` are entries whose sagas go on, ``began`` ms since the epoch."""

    run: str
    began: int
    going_on: tuple[RunEntry, ...]


async def seed(tables: Tables, now: int, vms: int, subscription: str) -> Seeded:
    """Write a run of ``vms`` VMs: some late, some that failed, some going on, the others well."""
    runs, sagas, began = RunTable(tables), SagaTable(tables), now - AGE_MS
    prefix = (
        f"/subscriptions/{subscription}/resourceGroups/databases/providers/Microsoft.Compute/virtualMachines"
    )
    names = [f"sql-{number:03}" for number in range(vms - len(HOSTILE))] + list(HOSTILE)
    entries = [
        RunEntry(saga_id=saga_id(RUN, f"{prefix}/{name}"), vm_id=f"{prefix}/{name}", started_at=began)
        for name in names
    ]
    group = _group(entries)
    record = RunRecord(
        run_id=RUN,
        created_at=began,
        policy_name=POLICY,
        requested_by="schedule",
        vm_count=vms,
        settings={"groups": encode((Group(name=group.name, selection=Selection(vms=group.vms)),))},
    )
    await runs.create(record, entries)
    await GroupTable(tables).create(RUN, [group])
    going_on = []
    for number, entry in enumerate(entries):
        start = began + 400 * number
        if number % 40 == 7:
            await runs.end_entry(RUN, _failed(entry, start, f" ({HOSTILE[1]})" if number > 7 else ""))
        elif number == 3 or number % 5 == 2:
            await _going_on(sagas, entry, start, now, late=number == 3)
            going_on.append(entry)
        elif number % 23 != 5:
            await runs.end_entry(RUN, _well(entry, start, number))
    return Seeded(RUN, began, tuple(going_on))


def _group(entries: Sequence[RunEntry]) -> GroupRecord:
    """Give a group that broke, by a VM whose name is hostile."""
    members = (entries[0], entries[-1])
    state = new_group(GroupRules(), tuple(entry.saga_id for entry in members))
    broken = replace(state, broken=f"{members[1].saga_id}: its pre-script failed")
    return GroupRecord(name="shop", state=broken, vms=tuple(entry.vm_id for entry in members))


def ended_well(entry: RunEntry, began: int) -> RunEntry:
    """Give the entry of a VM that has ended well just now."""
    return _well(entry, began, 1)


def _well(entry: RunEntry, start: int, number: int) -> RunEntry:
    window = 900 + 37 * (number % 61) + (9_000 if number % 50 == 11 else 0)
    history = list(_history(start, window, disks=2 + number % 4, copy_ms=20_000 + 900 * (number % 97)))
    worse = number % 50 == 11
    return replace(
        entry,
        outcome="degraded" if worse else "succeeded",
        grade="filesystem" if worse else "application",
        freeze_window_ms=window,
        reason="the handler of mariadb did not answer" if worse else "everything was held until the order",
        problem="MariaDB on port 3306 did not hold still; the filesystems did." if worse else "",
        step="quiescing" if worse else "",
        what_to_do="Look at the error log of MariaDB; it may wait for a long transaction." if worse else "",
        started_at=start,
        ended_at=history[-1].at,
        timeline=timeline_of(history),
    )


def _failed(entry: RunEntry, start: int, said: str) -> RunEntry:
    """Give an entry that failed; ``said`` stands where whatever a guest printed could be, in the sentence."""
    history = [*_history(start, BUDGET_MS, disks=0, copy_ms=0, by="dead-man")][:6]
    end = HistoryEntry(
        at=history[-1].at + 900, event="Cleaned", from_phase="completing", to_phase="done", generation=1,
        effects=(), detail={},
    )  # fmt: skip
    return replace(
        entry,
        outcome="failed",
        reason="the snapshot of disk 1 did not succeed in time",
        problem="The snapshot of disk data1 was not there within the freeze budget of 30 s"
        f"{said}; there is no recovery point.",
        step="capturing",
        what_to_do="Look at the limits of the disk's type, and ask for fewer snapshots at once.",
        freeze_window_ms=BUDGET_MS,
        started_at=start,
        ended_at=end.at,
        timeline=timeline_of([*history, end]),
    )


async def _going_on(sagas: SagaTable, entry: RunEntry, start: int, now: int, *, late: bool) -> None:
    shift = start - now + 40_000 if not late else 0
    history = list(_history(start - shift, 2_000, disks=3, copy_ms=500_000))
    reached = history[: 2 if late else 2 + int(entry.saga_id[:4], 16) % 5]
    state = replace(
        pending(SagaSpec(saga_id=entry.saga_id, run_id=RUN, vm_id=entry.vm_id), reached[0].at),
        phase=Phase(reached[-1].to_phase),
        deadline=now - 95_000 if late else now + 600_000,
        generation=1,
        watch_number=1,
    )
    await sagas.create(state, cause="start", outbox=(), history=reached)


def _history(
    start: int, window: int, *, disks: int, copy_ms: int, by: str = "order"
) -> Iterator[HistoryEntry]:
    """Give a common path whose guest was held for ``window`` ms."""
    quiesce = min(500, window // 2)
    armed, held = start + 900, start + 9_000 + quiesce
    captured = held - quiesce + window - 80
    last, phases = "pending", ["preflight", "arming", "quiescing", "capturing", "resuming", "completing"]
    report = {"quiesce_ms": quiesce, "budget_left_ms": BUDGET_MS - quiesce, "anchored": False}
    captures = [{"time_created": held + 60 + 35 * disk} for disk in range(disks)]
    told = [
        (start, "Started", {}),
        (armed, "FactsRead", {}),
        (held - quiesce - 20, "AgentReady", {}),
        (held + 40, "Quiesced", {"generation": 1, "report": report}),
        (captured, "CaptureEnded", {"generation": 1, "captures": captures}),
        (captured + 160, "Resumed", {"generation": 1, "report": {"window_ms": window, "released_by": by}}),
        (captured + 160 + copy_ms, "CopiesSeen", {}),
        (captured + 1_200 + copy_ms, "Cleaned", {}),
    ]
    for (at, event, detail), phase in zip(told, [*phases, "cleaning", "done"], strict=True):
        yield HistoryEntry(
            at=at, event=event, from_phase=last, to_phase=phase, generation=1, effects=(), detail=detail
        )
        last = phase
