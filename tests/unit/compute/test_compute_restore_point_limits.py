"""What stands in the way of a restore point: nothing that is allowed, and everything that is not."""

from dataclasses import replace

import pytest

from shared.compute.restore_point_limits import (
    HOUR_MS,
    RestorableDisk,
    SeenPoint,
    crash_obstacles,
    obstacles,
    platform_obstacles,
)

NOW = 1_800_000_000_000
DISK = RestorableDisk(name="d", sku="Premium_LRS", max_shares=1, write_accelerated=False)
POINT = SeenPoint(name="p", provisioning_state="Succeeded", created_at=NOW - 1, consistency="CrashConsistent")


def test_an_ordinary_vm_has_no_obstacle() -> None:
    assert list(obstacles([DISK], [POINT], confidential=False)) == []
    assert list(crash_obstacles([DISK], [POINT], NOW)) == []
    assert list(platform_obstacles([POINT], NOW)) == []


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        (replace(DISK, sku="PremiumV2_LRS"), "PremiumV2_LRS"),
        (replace(DISK, sku="UltraSSD_LRS"), "UltraSSD_LRS"),
        (replace(DISK, write_accelerated=True), "write-accelerated"),
    ],
)
def test_disks_that_no_crash_consistent_one_can_hold_are_named(disk: RestorableDisk, words: str) -> None:
    [sentence] = crash_obstacles([DISK, disk], [], NOW)
    assert words in sentence
    assert list(obstacles([disk], [], confidential=False)) == []


def test_shared_disks_and_confidential_vms_have_none_at_all() -> None:
    found = list(obstacles([replace(DISK, max_shares=3)], [], confidential=True))
    assert ["confidential" in found[0], "shared" in found[1]] == [True, True]


def test_one_that_is_being_made_stands_in_the_way_of_any_other() -> None:
    [sentence] = obstacles([DISK], [replace(POINT, provisioning_state="Creating")], confidential=False)
    assert "p of this VM is still being made" in sentence


def test_five_hundred_are_enough() -> None:
    assert list(obstacles([DISK], [POINT] * 499, confidential=False)) == []
    assert len(list(obstacles([DISK], [POINT] * 500, confidential=False))) == 1


@pytest.mark.parametrize("consistency", ["ApplicationConsistent", "FileSystemConsistent", ""])
def test_each_kind_has_an_hour_of_its_own(consistency: str) -> None:
    others = [replace(POINT, consistency=consistency)] * 3

    assert len(list(platform_obstacles(others, NOW))) == 1
    assert list(crash_obstacles([DISK], others, NOW)) == []
    assert list(platform_obstacles([POINT] * 3, NOW)) == []
    assert len(list(crash_obstacles([DISK], [POINT] * 3, NOW))) == 1


def test_what_is_older_than_an_hour_or_failed_does_not_count() -> None:
    old = replace(POINT, created_at=NOW - HOUR_MS)
    failed = replace(POINT, provisioning_state="Failed")
    assert list(crash_obstacles([DISK], [POINT, POINT, old, failed], NOW)) == []
    unknown = replace(POINT, created_at=None)
    assert len(list(crash_obstacles([DISK], [POINT, POINT, unknown], NOW))) == 1
