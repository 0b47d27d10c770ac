"""Which filesystems of a Linux guest are frozen. Pure: reads the text of /proc/self/mountinfo (proc(5))."""

import os
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from agent.records import FILESYSTEM, NotHeld
from agent.system import MountChoice, MountUnusable

#: If set, exactly these mount points are frozen, in this order; separated like PATH. Empty: none.
MOUNTS_SETTING = "STILLFRAME_MOUNTS"
#: These mount points are left alone; separated like PATH.
SKIP_SETTING = "STILLFRAME_SKIP_MOUNTS"

#: Filesystems on block devices that implement FIFREEZE (``freeze_fs`` of their super operations).
FREEZABLE = frozenset(["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs"])

#: Filesystems that nobody can write to: they need no freeze.
_NEVER_WRITTEN = frozenset(["squashfs", "iso9660", "erofs", "cramfs", "romfs"])

#: Filesystems whose data lie on another machine, so on none of the VM's disks.
_NETWORK = frozenset(["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "glusterfs", "lustre"])

#: Filesystems that name no device though they lie on the VM's disks; they cannot be frozen.
_WITHOUT_DEVICE = frozenset(["zfs"])

#: Where the EFI system partition is mounted, always a FAT, which cannot be frozen: only updates of the boot
#: loader write to it (UEFI specification 2.10, section 13.3; systemd's file-hierarchy(7)).
_FIRMWARE_READS = frozenset(["/boot/efi", "/efi", "/boot"])

#: At most so many mounts are named in an ack (a message holds 48 KiB).
_NAMED = 50


class Mount(NamedTuple):
    """One line of mountinfo; ``root`` is what of the filesystem is mounted there."""

    device: str
    point: str
    kind: str
    source: str
    read_only: bool
    root: str = "/"


def parse(text: str) -> Tuple[Mount, ...]:
    """Read mountinfo. Lines that are not understood are left out."""
    mounts = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not dash or len(before) < 6 or len(after) < 3:
            continue
        options = before[5].split(",") + after[2].split(",")
        point, source, root = _plain(before[4]), _plain(after[1]), _plain(before[3])
        mounts.append(Mount(before[2], point, after[0], source, "ro" in options, root))
    return tuple(mounts)


def _plain(field: str) -> str:
    """Undo the escapes of mountinfo: space, tab, newline and backslash are octal."""
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, char)
    return field


def choose(mounts: Tuple[Mount, ...], environ: Mapping[str, str], state_device: str) -> MountChoice:
    """Choose the mounts to freeze; ``state_device`` (major:minor) carries the agent's state.

    Raises:
        MountUnusable: the administrator named a mount that cannot be frozen.
    """
    if MOUNTS_SETTING in environ:
        named = _paths(environ[MOUNTS_SETTING])
        return MountChoice(tuple(_named(path, mounts, state_device) for path in named), ())
    return _by_rule(mounts, _paths(environ.get(SKIP_SETTING, "")), state_device)


def _paths(setting: str) -> List[str]:
    return [os.path.normpath(path) for path in setting.split(os.pathsep) if path.strip()]


def _named(path: str, mounts: Tuple[Mount, ...], state_device: str) -> str:
    # The last one wins: it lies over the earlier ones of the same point.
    found = next((m for m in reversed(mounts) if m.point == path), None)
    if found is None:
        raise MountUnusable(path, "nothing is mounted there")
    if found.kind not in FREEZABLE:
        raise MountUnusable(path, "a {} filesystem cannot be frozen".format(found.kind))
    if found.device == state_device:
        raise MountUnusable(path, "the agent's state lies on it")
    return path


def _by_rule(mounts: Tuple[Mount, ...], skipped: List[str], state_device: str) -> MountChoice:
    """Take every local filesystem once, the one mounted last first, the root last.

    What is mounted later may lie on what was mounted earlier (a loop device's image), never the other way
    round: frozen in this order no freeze waits for a filesystem that is frozen already.
    """
    chosen, not_held = [], []
    for device, same in _by_device(mounts).items():
        first = same[0]
        reason = _reason(first, same, skipped, state_device)
        if reason is None:
            continue
        if reason:
            not_held.append(NotHeld(FILESYSTEM, first.point, reason))
        else:
            chosen.append((first.point == "/", -list(_by_device(mounts)).index(device), first.point))
    return MountChoice(tuple(point for _, _, point in sorted(chosen)), tuple(not_held[:_NAMED]))


def _by_device(mounts: Tuple[Mount, ...]) -> Dict[str, List[Mount]]:
    devices: Dict[str, List[Mount]] = {}
    for mount in mounts:
        devices.setdefault(mount.device, []).append(mount)
    return devices


def _reason(first: Mount, same: List[Mount], skipped: List[str], state_device: str) -> Optional[str]:
    """Say why a filesystem is not frozen; "" if it is, None if it has nothing to do with the VM's disks."""
    if first.kind in _NETWORK:
        return "network"
    if first.kind in _WITHOUT_DEVICE:
        return "read_only" if all(m.read_only for m in same) else "not_supported"
    if not first.source.startswith("/dev/") or first.kind in _NEVER_WRITTEN:
        return None
    if first.kind not in FREEZABLE:
        firmware = first.kind == "vfat" and first.point in _FIRMWARE_READS
        return "boot_partition" if firmware else "not_supported"
    if any(m.point in skipped for m in same):
        return "skipped_by_administrator"
    if all(m.read_only for m in same):
        return "read_only"
    return "holds_agent_state" if first.device == state_device else ""
