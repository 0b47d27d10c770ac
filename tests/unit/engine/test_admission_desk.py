"""The desk where sagas are admitted: all that is needed or nothing, once, and given back."""

import asyncio
from dataclasses import replace

import pytest

from shared.compute.errors import Unavailable
from shared.compute.remaining import RemainingSeen
from shared.engine.admission import Desk, requests_of
from shared.engine.disk_notes import WINDOW_MS, DiskNotes
from shared.engine.places import Places
from shared.engine.request_budget import READS, WRITES, RequestBudget
from shared.policy.concurrency import AdmissionRules
from shared.policy.disks import DiskSelection
from shared.policy.snapshots import SnapshotSettings
from shared.saga.admitting import lease_until
from shared.saga.causes import Limit
from shared.saga.effects import Admit, Leave
from shared.saga.events import Admitted, MustWait
from shared.saga.facts import RecentSnapshot, VmFacts
from shared.saga.names import saga_id
from shared.saga.state import SagaState
from shared.storage.errors import ReservationsBusy
from shared.storage.memory import MemoryTables
from shared.storage.reservations import ReservationTable
from tests.unit.saga.build import T0, admitting, captured, quiesced

pytestmark = pytest.mark.asyncio


class Disks:
    """Reads a VM again; ``facts`` is what it then shows."""

    def __init__(self) -> None:
        self.facts: VmFacts | None = None
        self.reads = 0

    async def read_facts(self, vm_id: str, settings: SnapshotSettings, disks: DiskSelection) -> VmFacts:
        self.reads += 1
        if self.facts is None:
            raise Unavailable("NoAnswer", vm_id)
        return self.facts


class Office:
    """A desk over tables in memory; ``another`` is that of another instance."""

    def __init__(self, tables: MemoryTables | None = None) -> None:
        self.tables = tables or MemoryTables()
        self.now = T0
        self.disks = Disks()
        self.seen: dict[str, RemainingSeen] = {}
        self.desk = self.another()

    def another(self) -> Desk:
        table = ReservationTable(self.tables, pause=_no_pause)
        return Desk(table, self.disks, lambda: self.now, seen=lambda name: self.seen.pop(name, None))

    async def places(self) -> Places:
        return await self._row("held", Places())

    async def budget(self) -> RequestBudget:
        return await self._row("requests", RequestBudget())

    async def notes(self) -> DiskNotes:
        return await self._row("vm", DiskNotes())

    async def _row[S](self, kind: str, empty: S) -> S:
        names = {partition for partition, _ in self.tables._tables["reservations"]}
        [name] = [name for name in names if name.startswith(f"{kind}-")] or [f"{kind}-none"]
        return await ReservationTable(self.tables).row(name, empty).change(lambda row: (row, row))


async def _no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


def saga(number: int = 0, *, held: int = 0) -> SagaState:
    """A saga of a VM of its own that asks for admission."""
    state = admitting().state
    vm = f"{state.spec.vm_id}-{number}"
    rules = AdmissionRules(scope="policy-nightly", held=held)
    spec = replace(state.spec, vm_id=vm, saga_id=saga_id("run-1", vm), admission=rules)
    return replace(state, spec=spec)


def ask(generation: int = 1) -> Admit:
    return Admit(generation, T0 + 200_000)


async def test_without_limits_on_places_every_saga_is_admitted_at_once() -> None:
    office = Office()
    answers = await asyncio.gather(*(office.desk.admit(saga(number), ask()) for number in range(8)))

    assert answers == [Admitted(1)] * 8
    assert (await office.budget()).writes == WRITES - 8 * 3


async def test_an_ask_that_was_put_off_has_its_place_for_a_whole_hold_and_shortens_no_lease() -> None:
    office, late = Office(), saga(held=1)
    office.now = T0 + 600_000  # the message of a host that died, ten minutes later
    assert await office.desk.admit(late, ask()) == Admitted(1)
    [taken] = (await office.places()).taken
    assert taken.expires_at == lease_until(late, office.now) > office.now + late.spec.guest.longest_hold_ms

    longer = Admit(1, taken.expires_at + 60_000)
    await office.desk.admit(late, longer)
    await office.desk.admit(late, ask())
    assert (await office.places()).taken[0].expires_at == longer.expires_at


async def test_fifty_that_ask_at_once_on_three_instances_share_the_places_and_none_is_stuck() -> None:
    office = Office()
    desks = [office.another() for _ in range(3)]
    answers = await asyncio.gather(
        *(desks[number % 3].admit(saga(number, held=2), ask()) for number in range(50))
    )

    assert sum(isinstance(answer, Admitted) for answer in answers) == 2
    assert {answer.code for answer in answers if isinstance(answer, MustWait)} == {Limit.HELD}
    assert len((await office.places()).taken) == 2


async def test_fifty_that_ask_at_once_in_one_process_are_written_together() -> None:
    office = Office()
    await asyncio.gather(*(office.desk.admit(saga(number, held=2), ask()) for number in range(50)))
    before = office.tables._writes
    await asyncio.gather(*(office.desk.admit(saga(number, held=2), ask()) for number in range(50)))

    assert office.tables._writes - before < 10


async def test_a_place_is_given_back_when_the_requests_are_spent_and_the_turn_is_kept() -> None:
    office = Office()
    subscription = saga().spec.vm_id.split("/")[2]
    office.seen[subscription] = RemainingSeen(
        at=T0, writes=None, reads=None, closed_until=T0 + 9_000, provider={}
    )
    answer = await office.desk.admit(saga(held=2), ask())

    assert isinstance(answer, MustWait)
    assert (answer.code, answer.until) == (Limit.REQUESTS, T0 + 9_000)
    places = await office.places()
    assert places.taken == ()
    assert [one.elsewhere for one in places.waiting] == [True]
    assert (await office.notes()).notes == ()


async def test_what_one_instance_learned_of_a_429_keeps_the_sagas_of_all_waiting() -> None:
    office = Office()
    subscription = saga().spec.vm_id.split("/")[2]
    await office.desk.admit(saga(0), ask())
    office.seen[subscription] = RemainingSeen(at=T0, writes=0, reads=3, closed_until=T0 + 9_000, provider={})
    await office.desk.leave(saga(0), Leave(1, captured=True))

    answer = await office.another().admit(saga(1), ask())
    assert isinstance(answer, MustWait)
    assert answer.code == Limit.REQUESTS


async def test_asking_twice_reserves_once() -> None:
    office = Office()
    first = await office.desk.admit(saga(held=1), ask())
    budget, notes = await office.budget(), await office.notes()
    again = await office.another().admit(saga(held=1), ask())

    assert first == again == Admitted(1)
    assert (await office.budget()).grants == budget.grants
    assert (await office.notes()) == notes
    assert len((await office.places()).taken) == 1


async def test_leaving_gives_back_the_place_and_what_was_not_needed() -> None:
    office, state = Office(), saga(held=1)
    await office.desk.admit(state, ask())
    await office.desk.leave(state, Leave(1, captured=False))

    assert (await office.places()).taken == ()
    assert (await office.notes()).notes == ()
    assert ((await office.budget()).writes, (await office.budget()).reads) == (WRITES, READS)
    await office.desk.leave(state, Leave(1, captured=False))
    assert (await office.budget()).reads == READS


async def test_after_a_capture_the_note_stays_and_only_unused_reads_come_back() -> None:
    office, state = Office(), saga(held=1)
    await office.desk.admit(state, ask())
    walked = admitting().take(Admitted(1))
    walked.take(quiesced(at=walked.now)).take(captured(at=walked.now))
    done = replace(state, evidence=walked.state.evidence)
    await office.desk.leave(done, Leave(1, captured=True))

    writes, reads = requests_of(done.evidence)
    assert writes == 3
    assert len((await office.notes()).notes) == 1
    assert (await office.budget()).writes == WRITES - writes
    assert (await office.budget()).reads == READS - reads


async def test_a_disk_that_seems_full_is_looked_at_again_before_its_saga_waits() -> None:
    office, state = Office(), saga()
    assert state.facts is not None
    old = tuple(RecentSnapshot(f"s{number}", T0 - 1_000) for number in range(7))
    full = replace(state.facts, disks=tuple(replace(disk, recent=old) for disk in state.facts.disks))
    office.disks.facts = full
    answer = await office.desk.admit(replace(state, facts=full), ask())
    assert isinstance(answer, MustWait)
    assert (answer.code, answer.until) == (Limit.DISK, T0 - 1_000 + WINDOW_MS)

    office.disks.facts = state.facts  # somebody deleted them
    assert await office.desk.admit(replace(state, facts=full), ask()) == Admitted(1)
    assert office.disks.reads == 2


async def test_a_vm_that_cannot_be_read_again_is_judged_by_what_is_known() -> None:
    office, state = Office(), saga()
    assert state.facts is not None
    old = tuple(RecentSnapshot(f"s{number}", T0 - 1_000) for number in range(7))
    full = replace(state.facts, disks=tuple(replace(disk, recent=old) for disk in state.facts.disks))

    assert isinstance(await office.desk.admit(replace(state, facts=full), ask()), MustWait)


async def test_who_loses_every_race_is_told_to_come_soon() -> None:
    office = Office()

    async def lose(*_: object) -> None:
        raise ReservationsBusy("held")

    office.desk._place = lose  # type: ignore[method-assign,assignment]
    answer = await office.desk.admit(saga(held=1), ask())

    assert isinstance(answer, MustWait)
    assert answer.code == Limit.BUSY
    assert T0 < answer.until <= T0 + 3_000
