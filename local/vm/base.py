"""What every guest is made of: a Debian root folder and a Debian kernel, made once and kept in build/vm."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.world.mounts import SystemCommandError, system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "vm"

SUITE = "bookworm"
#: python3-minimal lacks ssl, ctypes and xml, which the agent needs; the guest agent stands for Azure's.
PACKAGES = ("python3", "qemu-guest-agent")
MIRROR = "http://deb.debian.org/debian"
MIRROR_SETTING = "STILLFRAME_DEBIAN_MIRROR"

_KERNEL = "linux-image-cloud-amd64"  # depends on the current kernel of its series
_NOT_NEEDED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")


class BaseUnavailableError(Exception):
    """The guest's packages cannot be had; the text is one line that says what to do."""


@dataclass(frozen=True)
class Base:
    """A root folder and a kernel; `key` names what they were made of."""

    key: str
    tree: Path
    kernel: Path
    modules: Path


def base(say: Callable[[str], None]) -> Base:
    """Return the base, made now (minutes) if it is not there yet; `say` hears what takes long.

    Raises BaseUnavailableError.
    """
    kernel = _newest_kernel()
    key = hashlib.sha256(repr((SUITE, PACKAGES, _NOT_NEEDED, kernel)).encode()).hexdigest()[:16]
    folder = CACHE / f"base-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with alone():
        if not folder.exists():
            _make(folder, kernel, say)
    return Base(
        key=key,
        tree=folder / "tree",
        kernel=next((folder / "kernel" / "boot").glob("vmlinuz-*")),
        modules=next(path for path in (folder / "kernel").glob("**/lib/modules") if path.is_dir()),
    )


def _make(folder: Path, kernel: str, say: Callable[[str], None]) -> None:
    for older in CACHE.glob("base-*"):  # of other packages, or broken off
        shutil.rmtree(older)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    try:
        say(f"fetching {kernel}")
        _unpack_kernel(kernel, partial)
        say(f"making a Debian {SUITE} with {', '.join(PACKAGES)} by debootstrap: once, some minutes")
        mirror = os.environ.get(MIRROR_SETTING) or MIRROR
        packages = f"--include={','.join(PACKAGES)}"
        system("debootstrap", "--variant=minbase", packages, SUITE, str(partial / "tree"), mirror)
    except SystemCommandError as error:
        # debootstrap tells its reasons on standard output, as its last line in a log of its own.
        log = partial / "tree" / "debootstrap" / "debootstrap.log"
        said = log.read_text(errors="replace") if log.exists() else error.error
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        program = error.arguments[0]
        raise BaseUnavailableError(f"{program} failed: {last} ({MIRROR_SETTING} names a mirror)") from error
    for unwanted in _NOT_NEEDED:
        shutil.rmtree(partial / "tree" / unwanted, ignore_errors=True)
    partial.rename(folder)


def _newest_kernel() -> str:
    """Return the name of the package with the current cloud kernel; asks apt's lists, not the network."""
    answer = subprocess.run(
        ["apt-cache", "depends", _KERNEL], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"Depends: (linux-image-[^\s<>]+-cloud-amd64)", answer)
    if found is None:
        raise BaseUnavailableError(f"apt knows no {_KERNEL}: run apt-get update (Debian amd64 is needed)")
    return found[1]


def _unpack_kernel(package: str, folder: Path) -> None:
    """Unpack the kernel's package without installing it."""
    done = subprocess.run(
        ["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BaseUnavailableError(f"apt-get download {package}: {last}")
    [archive] = folder.glob("*.deb")
    system("dpkg-deb", "-x", str(archive), str(folder / "kernel"))
    archive.unlink()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep others from making the same at the same time; the lock ends with the process."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
