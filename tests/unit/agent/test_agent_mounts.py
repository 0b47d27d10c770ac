"""Which filesystems are frozen: by mountinfo, settings and rule."""

import pytest

from agent import mounts
from agent.records import NotHeld
from agent.system import MountUnusable

INFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw shared:7 - sysfs sysfs rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,discard
28 27 8:15 / /boot/efi rw - vfat /dev/sda15 rw
29 27 0:25 / /run rw - tmpfs tmpfs rw
30 27 8:17 / /data rw - xfs /dev/sdb1 rw
31 27 8:17 /sub /srv/with\040space rw - xfs /dev/sdb1 rw
32 30 7:0 / /data/image rw - ext4 /dev/loop0 rw
33 27 0:40 / /backup rw - nfs4 server:/export rw
34 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
35 27 8:33 / /archive ro - ext4 /dev/sdc1 ro
36 27 0:50 / /pool rw - btrfs /dev/sdd1 rw,subvol=/
37 27 0:60 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
38 27 8:49 / /state rw - ext4 /dev/sde1 rw
broken line
"""
MOUNTS = mounts.parse(INFO)


def test_local_filesystems_are_frozen_once_the_last_mounted_first_and_the_root_last() -> None:
    choice = mounts.choose(MOUNTS, {}, state_device="8:49")

    assert choice.chosen == ("/pool", "/data/image", "/data", "/")


def test_what_goes_on_writing_is_named_with_its_reason_and_pseudo_filesystems_are_not() -> None:
    choice = mounts.choose(MOUNTS, {mounts.SKIP_SETTING: "/pool"}, state_device="8:49")

    assert choice.not_held == (
        NotHeld("filesystem", "/boot/efi", "boot_partition"),
        NotHeld("filesystem", "/backup", "network"),
        NotHeld("filesystem", "/archive", "read_only"),
        NotHeld("filesystem", "/pool", "skipped_by_administrator"),
        NotHeld("filesystem", "/state", "holds_agent_state"),
    )


def test_a_zfs_which_names_no_device_is_told_as_one_that_goes_on_writing() -> None:
    found = mounts.parse("40 27 0:50 / /tank rw - zfs tank rw")

    assert mounts.choose(found, {}, "8:49").not_held == (NotHeld("filesystem", "/tank", "not_supported"),)


def test_named_mounts_are_frozen_exactly_and_in_their_order() -> None:
    choice = mounts.choose(MOUNTS, {mounts.MOUNTS_SETTING: "/data:/srv/with space/:/pool"}, "8:49")

    assert choice == (("/data", "/srv/with space", "/pool"), ())


def test_an_empty_list_of_mounts_means_none() -> None:
    assert mounts.choose(MOUNTS, {mounts.MOUNTS_SETTING: ""}, "8:49") == ((), ())


@pytest.mark.parametrize("path", ["/nowhere", "/boot/efi", "/state", "/proc"])
def test_a_named_mount_that_cannot_be_frozen_is_an_error(path: str) -> None:
    with pytest.raises(MountUnusable) as raised:
        mounts.choose(MOUNTS, {mounts.MOUNTS_SETTING: path}, "8:49")

    assert raised.value.path == path
