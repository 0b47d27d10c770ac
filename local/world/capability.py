"""Whether this machine allows real disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = {
    "mkfs.xfs": "xfsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "umount": "mount",
    "unshare": "util-linux",
}
_LOOP_CONTROL = Path("/dev/loop-control")
_FILESYSTEMS = Path("/proc/filesystems")


@dataclass(frozen=True)
class Capability:
    """Yes, or no and why not, in one line that says what to do where something can be done."""

    ok: bool
    reason: str


def can_use_real_disks() -> Capability:
    """Say whether disks can be files behind loop devices on a reflink XFS, in private namespaces."""
    if os.geteuid() != 0:
        return Capability(ok=False, reason="real disks need root: mounts and loop devices are root's")
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            how = f"apt-get install {package} (make system-deps)"
            return Capability(ok=False, reason=f"{program} is missing: {how}")
    if not _LOOP_CONTROL.exists():
        return Capability(ok=False, reason=f"{_LOOP_CONTROL} is missing: this machine has no loop devices")
    for filesystem in ("xfs", "ext4"):
        if not _kernel_has(filesystem):
            return Capability(ok=False, reason=f"the kernel has no {filesystem}")
    return _may_make_namespaces()


def _kernel_has(filesystem: str) -> bool:
    if filesystem in _FILESYSTEMS.read_text().split():
        return True
    if modprobe := shutil.which("modprobe"):  # most distributions load it when it is first asked for
        subprocess.run([modprobe, "--quiet", filesystem], check=False)
    return filesystem in _FILESYSTEMS.read_text().split()


def _may_make_namespaces() -> Capability:
    trial = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "trial", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode:
        why = trial.stderr.strip().splitlines()[-1] if trial.stderr.strip() else "refused"
        return Capability(ok=False, reason=f"private mount and pid namespaces are not allowed here: {why}")
    return Capability(ok=True, reason="root, loop devices, xfs and ext4 are there")
