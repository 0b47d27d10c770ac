"""The disk and the initramfs that a guest boots from: the base, and on it agent and ledger."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.vm.base import CACHE, ROOT, alone, base
from local.vm.capability import BUSYBOX
from local.vm.modules import in_order
from local.world.mounts import system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.vm.base import Base

GUEST = Path(__file__).with_name("guest")
#: Where the agent lies in every guest, see shared/compute/agent_start.py.
AGENT = "opt/stillframe/agent.pyz"
LEDGER = "opt/ledger"

_SYSTEM_DISK_MIB = 1024  # sparse: takes only what is written to it
_MODULES = ("virtio_pci", "virtio_blk", "ext4", "virtio_console", "virtio_rng", "virtio_net")
_FOLDERS = ("data/lun0", "data/lun1", "var/lib/ledger")


@dataclass(frozen=True)
class Image:
    """What QEMU boots: kernel and initramfs, and the content of the system's disk."""

    kernel: Path
    initramfs: Path
    disk: Path


def image(agent: Path, say: Callable[[str], None]) -> Image:
    """Return the image with this agent (a zipapp), made now if it is not there yet.

    Raises BaseUnavailableError.
    """
    found = base(say)
    payload = dict(_payload(agent))
    digest = hashlib.sha256(repr((found.key, _MODULES, _FOLDERS, _SYSTEM_DISK_MIB)).encode())
    digest.update((GUEST / "init").read_bytes())
    for path, source in sorted(payload.items()):
        digest.update(path.encode() + b"\0" + source.read_bytes())
    folder = CACHE / f"image-{digest.hexdigest()[:16]}"
    with alone():
        if not folder.exists():
            _make(folder, found, payload)
    return Image(found.kernel, folder / "initramfs", folder / "disk")


def _payload(agent: Path) -> Iterator[tuple[str, Path]]:
    """Give what lies in the guest beside Debian's packages: path there, file here."""
    yield AGENT, agent
    yield "bin/busybox", BUSYBOX
    yield "etc/inittab", GUEST / "inittab"
    for name in ("boot", "ledger", "network", "vm-agent"):
        yield f"etc/guest/{name}", GUEST / name
    yield "etc/stillframe/agent.conf", GUEST / "agent.conf"
    yield f"{LEDGER}/local/__init__.py", ROOT / "local" / "__init__.py"
    for source in (ROOT / "local" / "guests").rglob("*"):
        if source.suffix in {".py", ".sh"}:
            yield f"{LEDGER}/{source.relative_to(ROOT)}", source


def _make(folder: Path, found: Base, payload: dict[str, Path]) -> None:
    for older in CACHE.glob("image-*"):
        shutil.rmtree(older)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    _make_initramfs(found.modules, partial / "initramfs")
    for own in ("opt", "etc/guest", *_FOLDERS):  # of an earlier payload
        shutil.rmtree(found.tree / own, ignore_errors=True)
    for path in _FOLDERS:
        (found.tree / path).mkdir(parents=True)
    for path, source in payload.items():
        target = found.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    size = f"{_SYSTEM_DISK_MIB}M"
    system("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(found.tree), str(partial / "disk"), size)
    partial.rename(folder)


def _make_initramfs(modules: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        for name in ("bin", "dev", "modules", "system"):
            (top / name).mkdir()
        shutil.copy(BUSYBOX, top / "bin" / "busybox")
        shutil.copy(GUEST / "init", top / "init")
        for number, (name, content) in enumerate(in_order(modules, _MODULES)):
            (top / "modules" / f"{number:02}-{name}.ko").write_bytes(content)
        names = "\n".join(str(path.relative_to(top)) for path in sorted(top.rglob("*")))
        with target.open("wb") as archive:
            subprocess.run(
                ["cpio", "--quiet", "--create", "--format=newc"],
                cwd=top,
                input=names.encode(),
                stdout=archive,
                check=True,
            )
