"""Whether this machine can make and run a virtual machine."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from local.world.capability import Capability, can_use_real_disks

_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "debootstrap": "debootstrap",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "cpio": "cpio",
    "mke2fs": "e2fsprogs",
}
BUSYBOX = Path("/bin/busybox")
_PT_INTERP = 3  # elf(5): the program header that names a dynamic loader


def can_run_vms() -> Capability:
    """Say whether a guest can be built of Debian packages and run by QEMU, with real disks."""
    disks = can_use_real_disks()
    if not disks.ok:
        return disks
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            return _missing(program, package)
    if not BUSYBOX.exists() or not _is_static(BUSYBOX):
        return _missing(f"a static {BUSYBOX}", "busybox-static")
    return Capability(ok=True, reason="QEMU, debootstrap and real disks are there")


def _is_static(program: Path) -> bool:
    """Say whether an ELF program of 64 bits needs no dynamic loader, as nothing of it is in the initramfs."""
    content = program.read_bytes()
    at, size, count = struct.unpack_from("<Q14xHH", content, 32)  # e_phoff, e_phentsize, e_phnum
    return all(struct.unpack_from("<I", content, at + size * n)[0] != _PT_INTERP for n in range(count))


def _missing(what: str, package: str) -> Capability:
    how = f"apt-get install {package} (make system-deps)"
    return Capability(ok=False, reason=f"{what} is missing: {how}")
