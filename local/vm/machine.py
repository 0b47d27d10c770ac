"""One virtual machine: QEMU without KVM, its drives raw images, its only way out the storage's queues."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.vm.capability import BUSYBOX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from local.vm.image import Image

_STOP_DEADLINE_S = 10.0
#: An emulated processor has but one thread, and an agent that starves would prove nothing.
_NICE = "-10"
_KERNEL = "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off"


class MachineEndedError(Exception):
    """A virtual machine ended, or never came up; `console` is the end of what it said."""

    def __init__(self, name: str, console: str) -> None:
        super().__init__(f"virtual machine {name}: {console or 'it said nothing'}")
        self.name = name
        self.console = console


@dataclass(frozen=True)
class Drives:
    """The images of a machine's disks; data drives in the order of their LUNs."""

    system: Path
    data: Sequence[Path]


@dataclass(frozen=True)
class Machine:
    """A running virtual machine. Its folder holds the console's log and the VM agent's socket."""

    name: str
    folder: Path
    process: asyncio.subprocess.Process

    @property
    def vm_agent(self) -> Path:
        """The socket behind which the guest's VM agent is."""
        return self.folder / "vm-agent.sock"

    @property
    def running(self) -> bool:
        """Whether QEMU runs."""
        return self.process.returncode is None

    def console(self) -> str:
        """Return what was said on the serial console, and by QEMU itself, so far."""
        texts = [self.folder / "console.log", self.folder / "qemu.log"]
        return "".join(text.read_text(errors="replace") for text in texts if text.exists())

    def ended(self) -> MachineEndedError:
        """Give the error that says how it ended."""
        return MachineEndedError(self.name, self.console().strip()[-1000:])


@contextlib.asynccontextmanager
async def machine(
    name: str, image: Image, drives: Drives, folder: Path, *, storage_port: int | None = None
) -> AsyncIterator[Machine]:
    """Run a virtual machine; it is switched off at the end, as by a power cut.

    With the port of the storage's queues on this machine's loopback it boots as a guest with the ledger at
    work; without one, and without any network, it checks the ledger that it finds, says the verdict on its
    console and ends.
    """
    log_path = folder / "qemu.log"
    await asyncio.to_thread(folder.mkdir, parents=True)
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(name, image, drives, folder, storage_port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await asyncio.to_thread(_put_session_ahead, process.pid)
        yield Machine(name, folder, process)
    finally:
        await _switch_off(process)


def _put_session_ahead(pid: int) -> None:
    """Put the whole session ahead: with autogroups a niceness counts only inside of one (sched(7))."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        Path(f"/proc/{pid}/autogroup").write_text(_NICE)


async def _switch_off(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_DEADLINE_S)
    # The session's rest: a relay of a connection that QEMU started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _command(name: str, image: Image, drives: Drives, folder: Path, storage_port: int | None) -> list[str]:
    mode = "guest.check" if storage_port is None else f"guest.storage={storage_port}"
    return [
        *("nice", "-n", _NICE),
        *("qemu-system-x86_64", "-name", name, "-machine", "pc,accel=tcg", "-m", "384", "-smp", "1"),
        *("-nodefaults", "-no-reboot", "-display", "none", "-rtc", "base=utc,clock=host"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", f"{_KERNEL} {mode}"),
        *("-serial", f"file:{folder / 'console.log'}"),
        *("-device", "virtio-rng-pci"),
        *_drive("system", drives.system),
        *(part for lun, path in enumerate(drives.data) for part in _drive(f"lun{lun}", path)),
        *(_outside(folder, storage_port) if storage_port is not None else []),
    ]


def _drive(serial: str, path: Path) -> list[str]:
    """Attach a drive. A write that the guest knows done is in the image, for whoever copies it."""
    return [
        *("-drive", f"if=none,id={serial},file={path},format=raw,cache=writeback"),
        *("-device", f"virtio-blk-pci,drive={serial},serial={serial}"),
    ]


def _outside(folder: Path, storage_port: int) -> list[str]:
    """Let the guest reach the storage, by one process per connection, and its VM agent be reached."""
    relay = f"cmd:{BUSYBOX} nc 127.0.0.1 {storage_port}"
    return [
        *("-netdev", f"user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:80-{relay}"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-serial"),
        *("-chardev", f"socket,id=vm-agent,path={folder / 'vm-agent.sock'},server=on,wait=off"),
        *("-device", "virtserialport,chardev=vm-agent,name=org.qemu.guest_agent.0"),
    ]
