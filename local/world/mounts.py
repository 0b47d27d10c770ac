"""Mounting and unmounting, and the file clone that stands for a snapshot."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FICLONE = 0x40049409  # <linux/fs.h>: _IOW(0x94, 9, int)
_UNMOUNT_RETRY_S = 0.02
_MOUNTINFO_MINIMUM = 10  # fields of a line of /proc/self/mountinfo, see proc(5)


class SystemCommandError(Exception):
    """A program of the system refused: `arguments`, `exit_code` and what it said on standard error."""

    def __init__(self, arguments: Sequence[str], exit_code: int, error: str) -> None:
        super().__init__(f"{' '.join(arguments)}: exit code {exit_code}: {error.strip()}")
        self.arguments = tuple(arguments)
        self.exit_code = exit_code
        self.error = error


class StillMountedError(Exception):
    """A filesystem stayed busy for `seconds`."""

    def __init__(self, mount_point: Path, seconds: float, error: str) -> None:
        super().__init__(f"{mount_point} is still busy after {seconds:g} s: {error.strip()}")
        self.mount_point = mount_point
        self.seconds = seconds


@dataclass(frozen=True)
class Mount:
    """One mounted filesystem, as the kernel lists it."""

    mount_id: int
    mount_point: Path
    filesystem: str
    source: str


def system(*arguments: str) -> None:
    """Run a program of the system.

    Raises SystemCommandError when it does not end with 0.
    """
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise SystemCommandError(arguments, done.returncode, done.stderr)


def mount_image(image: Path, mount_point: Path, filesystem: str, options: str = "noatime") -> None:
    """Mount a disk image; mount(8) sets the loop device to disappear with its last mount (autoclear).

    Raises SystemCommandError.
    """
    mount_point.mkdir(parents=True, exist_ok=True)
    system("mount", "-t", filesystem, "-o", f"loop,{options}", str(image), str(mount_point))


def unmount(
    mount_point: Path, *, within_s: float = 10.0, clock: Callable[[], float] = time.monotonic
) -> None:
    """Unmount, trying again while it is busy: loop devices above it clear asynchronously.

    Raises StillMountedError after `within_s` seconds.
    """
    ends_at = clock() + within_s
    while True:
        try:
            system("umount", str(mount_point))
        except SystemCommandError as error:
            if clock() > ends_at:
                raise StillMountedError(mount_point, within_s, error.error) from error
            time.sleep(_UNMOUNT_RETRY_S)
        else:
            return


def clone_file(source: Path, target: Path) -> int:
    """Make `target` a copy of `source` that shares its blocks: one FICLONE, atomic against writers.

    Returns the file's size in bytes. Raises FileExistsError, FileNotFoundError, or OSError where the
    filesystem cannot do it; then there is no `target`.
    """
    source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.ioctl(target_fd, _FICLONE, source_fd)
        except OSError:
            target.unlink()
            raise
        finally:
            os.close(target_fd)
        return os.fstat(source_fd).st_size
    finally:
        os.close(source_fd)


def mounts_in(mountinfo: str) -> list[Mount]:
    """Read the text of a `mountinfo` file (proc(5)); octal escapes in paths are resolved."""
    found = []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) < _MOUNTINFO_MINIMUM:
            continue
        after = fields.index("-")
        found.append(
            Mount(int(fields[0]), Path(_unescape(fields[4])), fields[after + 1], _unescape(fields[after + 2]))
        )
    return found


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    head, *rest = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
