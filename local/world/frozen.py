"""Asking the kernel whether a filesystem is frozen, freezing for tests, and thawing what was left frozen.

There is no call that tells. But whoever wants to write to a frozen filesystem waits in the kernel, before
it takes any lock or changes anything; so a child process asks to remove a folder that does not exist
(rmdir takes write access first, then finds nothing), and where that child sleeps is the answer.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# <linux/fs.h>: _IOWR('X', 119, int) and _IOWR('X', 120, int).
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878

# Where mnt_want_write() sleeps while the superblock is frozen (kernel/locking/percpu-rwsem.c).
_WAITS_FOR_THAW = frozenset({"percpu_rwsem_wait", "__percpu_down_read", "percpu_down_read"})
_POLL_S = 0.002


class ProbeUndecidedError(Exception):
    """The probe neither ended nor was seen waiting for a thaw; `seconds` is how long it was watched."""

    def __init__(self, mount_point: Path, seconds: float) -> None:
        super().__init__(f"{mount_point}: a write neither ended nor waited for a thaw within {seconds:g} s")
        self.mount_point = mount_point
        self.seconds = seconds


def is_frozen(
    mount_point: Path, *, deadline_s: float = 10.0, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Say whether the filesystem at `mount_point` is frozen; neither waits for a thaw nor changes anything.

    A probe that waits for the thaw survives being killed; it ends with the thaw, and changes nothing then.
    Raises ProbeUndecidedError after `deadline_s` seconds without an answer (a very busy machine, or a
    kernel that hides where processes sleep).
    """
    probe = subprocess.Popen(
        ["rmdir", "--", str(mount_point / f".no-such-folder-{uuid.uuid4().hex}")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ends_at = clock() + deadline_s
    try:
        while probe.poll() is None:
            if _sleeps_at(probe.pid) in _WAITS_FOR_THAW:
                return True
            if clock() > ends_at:
                raise ProbeUndecidedError(mount_point, deadline_s)
            time.sleep(_POLL_S)
        return False
    finally:
        if probe.returncode is None:
            probe.send_signal(signal.SIGKILL)
            # Reaped whenever the thaw comes, without anybody waiting for it.
            threading.Thread(target=probe.wait, name="frozen-probe", daemon=True).start()


def thaw_everything(mount_points: Iterable[Path]) -> list[Path]:
    """Thaw each of these filesystems, and return those that were frozen.

    For emergencies: whoever froze them learns from its own thaw that the freeze did not hold.
    """
    return [mount_point for mount_point in mount_points if _thaw(mount_point)]


@contextmanager
def freezing(mount_points: Iterable[Path]) -> Iterator[None]:
    """Hold these filesystems frozen for the length of the block.

    Raises OSError when one cannot be frozen (EBUSY: it is already), with all others thawed again.
    """
    held: list[Path] = []
    try:
        for mount_point in mount_points:
            _order(mount_point, _FIFREEZE)
            held.append(mount_point)
        yield
    finally:
        thaw_everything(held)


def _thaw(mount_point: Path) -> bool:
    try:
        _order(mount_point, _FITHAW)
    except OSError as error:
        # EINVAL: not frozen. The others: not a mount any more, or of a kind that cannot be frozen.
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTTY):
            return False
        raise
    return True


def _order(mount_point: Path, request: int) -> None:
    fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, request, 0)
    finally:
        os.close(fd)


def _sleeps_at(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/wchan").read_text().strip("\0\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""
