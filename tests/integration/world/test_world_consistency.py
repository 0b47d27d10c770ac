"""Copies of several disks belong together only if all of them were held across all captures."""

from collections.abc import Callable
from typing import Any

import pytest

type Play = Callable[[str], dict[str, Any]]


@pytest.mark.world
def test_disks_captured_one_after_the_other_from_a_writing_application_are_broken(play: Play) -> None:
    verdicts = play("unheld")["verdicts"]

    assert len(verdicts) == 5
    assert any(not verdict["whole"] for verdict in verdicts)
    assert all("accounts ahead of journal" in v["reason"] for v in verdicts if not v["whole"])


@pytest.mark.world
def test_disks_captured_while_the_application_is_held_are_whole(play: Play) -> None:
    outcome = play("held")

    assert outcome["script_exit_codes"] == [0] * 10
    assert [(v["whole"], v["transfers"] > 0) for v in outcome["verdicts"]] == [(True, True)] * 5


@pytest.mark.world
def test_disks_captured_while_all_their_filesystems_are_frozen_are_whole(play: Play) -> None:
    verdicts = play("frozen_together")["verdicts"]

    assert [(v["whole"], v["transfers"] > 0) for v in verdicts] == [(True, True)] * 5


@pytest.mark.world
def test_freezing_each_disk_only_around_its_own_capture_does_not_help(play: Play) -> None:
    verdicts = play("frozen_one_by_one")["verdicts"]

    assert any(not verdict["whole"] for verdict in verdicts)


def test_folders_captured_while_the_application_is_held_are_whole_without_any_privilege(
    play_without_privileges: Play,
) -> None:
    outcome = play_without_privileges("held_in_folders")

    assert outcome["script_exit_codes"] == [0] * 10
    assert [v["whole"] for v in outcome["verdicts"]] == [True] * 5


@pytest.mark.world
def test_the_live_guest_goes_on_while_a_copy_of_it_is_restored(play: Play) -> None:
    outcome = play("live_guest_goes_on_during_a_restore")

    assert outcome["after"] > outcome["before"]


@pytest.mark.world
def test_a_garbled_snapshot_is_a_broken_copy_and_no_crash_of_the_check(play: Play) -> None:
    verdict = play("a_garbled_disk")

    assert not verdict["whole"]
    assert verdict["reason"].startswith("a disk does not mount")
