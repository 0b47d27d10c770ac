"""What may be frozen, how one sees it, and that a guest ends when it is told to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.world.disks import DiskTooSmallError, FolderDisks
from local.world.guests import Guests, UnknownVmError
from local.world.places import places
from local.world.restore import MissingSnapshotError, restore_and_check
from local.world.shelves import BadNameError, NameTakenError, NoSuchDiskError
from local.world.specs import BadGuestError, GuestDisk, GuestSpec, three_disk_guest

type Play = Callable[[str], dict[str, Any]]


@pytest.mark.world
def test_the_kernel_tells_which_filesystem_is_frozen_and_nothing_is_changed_by_asking(play: Play) -> None:
    assert play("the_kernel_is_asked") == {
        "before": False,
        "during": True,
        "neighbour": False,
        "after": False,
        "nothing_changed": True,
        "thawed_when_not_frozen": 0,
        "thawed_when_frozen": 3,
    }


@pytest.mark.world
def test_a_guest_whose_writers_hang_on_frozen_disks_can_be_stopped(play: Play) -> None:
    assert play("closing_while_frozen") == {"running": False}


@pytest.mark.world
def test_the_agent_may_freeze_the_guests_own_filesystems_and_no_folder_of_the_machine(play: Play) -> None:
    assert play("agent_may_freeze") == {"real": 3, "own_devices": True, "folders": ""}


@pytest.mark.world
def test_a_guests_script_is_waited_for_its_children_are_not_and_stopping_the_vm_ends_them(play: Play) -> None:
    assert play("stopping_a_vm") == {
        "exit_code": 4,
        "output": "hello\n",
        "error": "oops\n",
        "lived_on": True,
        "alive_after_stop": False,
    }


@pytest.mark.world
def test_150_disks_can_be_made_captured_and_taken_down(play: Play) -> None:
    assert play("many_disks")["mounted"] == 150


@pytest.fixture
def guests(tmp_path: Path) -> Guests:
    return Guests(FolderDisks(tmp_path / "store"), tmp_path / "run", agent=tmp_path / "agent.pyz")


@pytest.mark.parametrize("mount_point", [Path("/"), Path("relative"), Path("/proc/.."), Path("/etc")])
def test_a_guest_cannot_be_given_a_mount_point_that_is_in_use(guests: Guests, mount_point: Path) -> None:
    spec = GuestSpec("vm1", (GuestDisk("os", None, 64, mount_point),), application=None)

    with pytest.raises(BadGuestError) as refused:
        guests.add(spec)

    assert refused.value.vm_name == "vm1"


def test_the_ledger_needs_two_data_disks(guests: Guests, tmp_path: Path) -> None:
    spec = GuestSpec("vm1", (GuestDisk("os", None, 64, tmp_path / "os"),))

    with pytest.raises(BadGuestError) as refused:
        guests.add(spec)

    assert refused.value.reason == "the ledger needs 2 data disks"


def test_a_guest_that_was_never_added_is_unknown(guests: Guests) -> None:
    with pytest.raises(UnknownVmError):
        guests.agent_environment("stranger")


@pytest.mark.parametrize("name", ["", ".", "..", "../escape", "a/b"])
def test_a_disk_name_that_would_leave_the_store_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadNameError):
        FolderDisks(tmp_path / "store").create(name, 64, None)


async def test_a_snapshot_name_is_taken_once_and_its_disk_must_exist(tmp_path: Path) -> None:
    disks = FolderDisks(tmp_path / "store")
    disks.create("disk", 64, None)
    await disks.capture("disk", "snapshot")

    with pytest.raises(NameTakenError):
        await disks.capture("disk", "snapshot")
    with pytest.raises(NoSuchDiskError):
        await disks.capture("stranger", "another")


async def test_a_discarded_snapshot_is_gone_and_discarding_it_again_is_no_error(tmp_path: Path) -> None:
    disks = FolderDisks(tmp_path / "store")
    disks.create("disk", 64, None)
    await disks.capture("disk", "snapshot")

    await disks.discard("snapshot")
    await disks.discard("snapshot")

    assert await disks.capture("disk", "snapshot") == 0


def test_a_disk_without_room_for_a_filesystem_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskTooSmallError) as refused:
        FolderDisks(tmp_path / "store").create("disk", 1, None)

    assert refused.value.size_mib == 1


async def test_a_vm_is_not_restored_with_a_disk_missing(tmp_path: Path) -> None:
    disks = FolderDisks(tmp_path / "store")

    with pytest.raises(MissingSnapshotError) as refused:
        await restore_and_check(disks, three_disk_guest("vm1", tmp_path), {"vm1-os": "s"})

    assert refused.value.disk_name == "vm1-journal"


@pytest.mark.parametrize(("available_kib", "place"), [(8 * 1024 * 1024, "memory"), (1024 * 1024, "disk")])
def test_the_store_lies_in_memory_only_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available_kib: int, place: str
) -> None:
    memory, disk, meminfo = tmp_path / "memory", tmp_path / "disk", tmp_path / "meminfo"
    memory.mkdir()
    disk.mkdir()
    meminfo.write_text(f"MemTotal: 16777216 kB\nMemAvailable: {available_kib} kB\n")
    for name, path in (("_MEMORY", memory), ("_DISK", disk), ("_MEMINFO", meminfo)):
        monkeypatch.setattr(f"local.world.places.{name}", path)

    with places() as where:
        assert where.store.parent == tmp_path / place
        assert where.runtime.is_relative_to(memory)

    assert [*memory.iterdir(), *disk.iterdir()] == []


def test_deleting_the_places_spares_what_somebody_left_at_a_mount_point(tmp_path: Path) -> None:
    with places() as where:
        kept = where.mounts / "vm1" / "file"
        kept.parent.mkdir(parents=True)
        kept.write_text("data")

    assert kept.read_text() == "data"
    shutil.rmtree(where.mounts.parent)
