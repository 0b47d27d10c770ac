"""What is noted of a VM's disks, so that neither 7 snapshots in 5 minutes nor 3 in flight are exceeded."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.engine.disk_notes import COPYING_PAUSE_MS, WINDOW_MS, DiskNotes, ended, forget, note
from shared.saga.facts import DiskFacts, RecentSnapshot
from shared.saga.names import snapshot_name
from tests.unit.saga.build import disk

NOW = 1_800_000_000_000
OS, DATA = disk(None), disk(0)


def with_snapshots(one: DiskFacts, *ages_ms: int, in_flight: bool = False) -> DiskFacts:
    found = tuple(
        RecentSnapshot(f"other-{number}", NOW - age, in_flight) for number, age in enumerate(ages_ms)
    )
    return replace(one, recent=found)


def test_the_seventh_snapshot_is_admitted_and_the_eighth_when_the_oldest_no_longer_counts() -> None:
    six = with_snapshots(DATA, *range(10_000, 70_000, 10_000))
    notes, met = note(DiskNotes(), "a", 1, [OS, six], NOW)
    assert met is None

    _, met = note(notes, "b", 1, [OS, six], NOW)
    assert met is not None
    assert met.until == NOW - 60_000 + WINDOW_MS
    assert met.why == f"disk {DATA.name} got 7 incremental snapshots within 5 minutes, and 7 are allowed"
    assert note(notes, "b", 1, [OS, six], met.until)[1] is None


def test_a_snapshot_that_azure_shows_and_that_is_noted_counts_once() -> None:
    notes, _ = note(DiskNotes(), "a", 1, [DATA], NOW - 5_000)
    mine = RecentSnapshot(snapshot_name("a", 1, DATA.slot), NOW - 4_000)
    seen = with_snapshots(DATA, *range(10_000, 60_000, 10_000))

    assert note(notes, "b", 1, [replace(seen, recent=(*seen.recent, mine))], NOW)[1] is None


def test_asking_again_notes_nothing_more() -> None:
    notes, _ = note(DiskNotes(), "a", 1, [DATA], NOW)

    assert note(notes, "a", 1, [DATA], NOW + 10) == (notes, None)


def test_a_generation_that_made_nothing_is_forgotten() -> None:
    notes, _ = note(DiskNotes(), "a", 1, [DATA], NOW)

    assert forget(notes, "a", 2) == notes
    assert forget(notes, "a", 1) == DiskNotes()


def test_what_had_ended_before_the_disks_were_read_is_in_azures_list_or_was_deleted() -> None:
    notes = DiskNotes()
    for number in range(7):
        notes, _ = note(notes, f"saga-{number}", 1, [DATA], NOW)
    for number in range(6):
        notes = ended(notes, f"saga-{number}", 1, NOW + 1_000)

    assert note(notes, "next", 1, [DATA], NOW + 2_000, read_at=NOW + 500)[1] is not None
    assert note(notes, "next", 1, [DATA], NOW + 2_000, read_at=NOW + 1_500)[1] is None
    assert ended(notes, "saga-0", 1, NOW + 9_000) == notes


def test_three_in_flight_keep_a_copied_disk_waiting_and_no_other() -> None:
    three = with_snapshots(DATA, 3_600_000, 3_600_001, 3_600_002, in_flight=True)
    ultra = replace(three, sku="UltraSSD_LRS")

    assert note(DiskNotes(), "a", 1, [three], NOW)[1] is None
    _, met = note(DiskNotes(), "a", 1, [ultra], NOW)
    assert met is not None
    assert met.until == NOW + COPYING_PAUSE_MS
    assert met.why == f"disk {DATA.name} (UltraSSD_LRS) has 3 snapshots in flight, and 3 are allowed"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 120_000), min_size=1, max_size=60))
def test_no_five_minutes_ever_have_more_than_seven_whoever_asks(pauses: list[int]) -> None:
    notes, now, admitted = DiskNotes(), NOW, list[int]()
    for number, pause in enumerate(pauses):
        now += pause
        notes, met = note(notes, f"saga-{number}", 1, [DATA], now)
        if met is None:
            admitted.append(now)
        else:
            assert met.until > now

    assert all(later - first >= WINDOW_MS for first, later in zip(admitted, admitted[7:], strict=False))
