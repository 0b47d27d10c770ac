from dataclasses import replace

import pytest

from shared.compute.limits import SeenDisk, SeenSnapshot, obstacles, passing_obstacles, recent
from shared.saga.facts import RecentSnapshot

NOW = 1_800_000_000_000
MINUTE = 60_000
DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/data"


def disk(*, sku: str = "Premium_LRS", percent: float | None = 100.0, shares: int = 1) -> SeenDisk:
    return SeenDisk(disk_id=DISK, name="data", sku=sku, completion_percent=percent, max_shares=shares)


def snapshot(
    *,
    disk_id: str = DISK,
    state: str = "Succeeded",
    age_ms: int | None = 60 * MINUTE,
    percent: float | None = 100.0,
) -> SeenSnapshot:
    return SeenSnapshot(
        disk_id=disk_id,
        provisioning_state=state,
        created_at=None if age_ms is None else NOW - age_ms,
        completion_percent=percent,
    )


def found(seen: SeenDisk, *snapshots: SeenSnapshot) -> list[str]:
    return [*obstacles([seen], snapshots), *passing_obstacles([seen], snapshots, NOW)]


def test_an_ordinary_disk_is_no_obstacle() -> None:
    assert found(disk(), *[snapshot()] * 100) == []


def test_a_disk_that_does_not_say_how_full_it_is_is_full() -> None:
    assert found(disk(percent=None)) == []


def test_a_disk_that_is_still_being_filled_is_an_obstacle() -> None:
    assert found(disk(percent=42.5)) == ["disk data is still being filled (42.5 %)"]


def test_a_shared_disk_is_an_obstacle() -> None:
    assert found(disk(shares=3)) == [
        "disk data can be shared with 2 more VMs, which nothing would hold still"
    ]


@pytest.mark.parametrize(("count", "obstructed"), [(6, False), (7, True)])
def test_seven_snapshots_within_five_minutes_are_an_obstacle(count: int, *, obstructed: bool) -> None:
    assert bool(found(disk(), *[snapshot(age_ms=MINUTE)] * count)) is obstructed


def test_snapshots_older_than_five_minutes_no_longer_count_for_the_rate() -> None:
    assert found(disk(), *[snapshot(age_ms=MINUTE)] * 6, snapshot(age_ms=5 * MINUTE)) == []


def test_a_snapshot_that_is_just_being_made_counts_for_the_rate() -> None:
    assert found(disk(), *[snapshot(age_ms=MINUTE)] * 6, snapshot(state="Updating", age_ms=None)) != []


def test_failed_snapshots_and_those_of_other_disks_do_not_count() -> None:
    failed = [snapshot(state="Failed", age_ms=MINUTE)] * 7
    others = [snapshot(disk_id=DISK + "2", age_ms=MINUTE)] * 7

    assert found(disk(), *failed, *others) == []


def test_disks_are_recognised_in_any_case() -> None:
    assert found(disk(), *[snapshot(disk_id=DISK.upper(), age_ms=MINUTE)] * 7) != []


def test_only_limits_that_are_over_soon_pass_by_waiting() -> None:
    young, flying = snapshot(age_ms=MINUTE), snapshot(percent=99.0)
    lasting = [*obstacles([disk(percent=42.5, shares=2)], [snapshot()] * 500)]
    ultra = disk(sku="UltraSSD_LRS")

    assert len(lasting) == 3
    assert len([*passing_obstacles([ultra], [*[young] * 7, *[flying] * 3], NOW)]) == 2
    assert [*obstacles([ultra], [*[young] * 7, *[flying] * 3])] == []


def test_snapshots_of_the_last_minutes_and_those_in_flight_are_told_by_name() -> None:
    seen = [
        replace(snapshot(age_ms=MINUTE), name="young"),
        replace(snapshot(percent=40.0), name="flying"),
        replace(snapshot(state="Updating", age_ms=None), name="new"),
        replace(snapshot(state="Failed", age_ms=MINUTE), name="failed"),
        replace(snapshot(), name="old"),
        replace(snapshot(disk_id=DISK + "2", age_ms=MINUTE), name="another's"),
    ]

    assert recent(DISK.upper(), seen, NOW) == (
        RecentSnapshot("young", NOW - MINUTE),
        RecentSnapshot("flying", NOW - 60 * MINUTE, in_flight=True),
        RecentSnapshot("new", NOW, in_flight=True),
    )


@pytest.mark.parametrize(("count", "obstructed"), [(499, False), (500, True)])
def test_five_hundred_snapshots_of_a_disk_are_an_obstacle(count: int, *, obstructed: bool) -> None:
    assert bool(found(disk(), *[snapshot()] * count)) is obstructed


@pytest.mark.parametrize("sku", ["PremiumV2_LRS", "UltraSSD_LRS"])
@pytest.mark.parametrize(
    "flying", [snapshot(percent=99.0), snapshot(state="Updating", age_ms=None, percent=None)]
)
def test_three_snapshots_in_flight_are_an_obstacle_where_copies_are_made(
    sku: str, flying: SeenSnapshot
) -> None:
    assert found(disk(sku=sku), flying, flying) == []
    assert found(disk(sku=sku), flying, flying, flying) == [
        f"disk data ({sku}) has 3 snapshots in flight, and 3 are allowed"
    ]
    assert found(disk(sku="Premium_LRS"), flying, flying, flying) == []
