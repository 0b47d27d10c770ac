"""Guests: what stands for a VM's inside. Its disks are mounted, its application writes, its agent can run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.guests.applications import PID_FILE, application_of
from local.world.frozen import thaw_everything
from local.world.guest import ROOT, Guest, processes_of, write_settings
from local.world.specs import BadGuestError, folder_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.world.disks import Disks
    from local.world.specs import GuestSpec

LONGEST_SOCKET_PATH = 107 - len(".new")  # bytes, unix(7); it first listens under that name

_START_DEADLINE_S = 120.0  # a database is made first
_STOP_DEADLINE_S = 30.0
_POLL_S = 0.01
_LOG_TAIL_BYTES = 2_000


class UnknownVmError(Exception):
    """There is no guest for this VM."""

    def __init__(self, vm_name: str) -> None:
        super().__init__(f"there is no guest {vm_name}")
        self.vm_name = vm_name


class VmNotRunningError(Exception):
    """The guest is there, but stopped."""

    def __init__(self, vm_name: str) -> None:
        super().__init__(f"guest {vm_name} is not running")
        self.vm_name = vm_name


class ApplicationStartError(Exception):
    """The application did not come up; `log` is the end of what it said."""

    def __init__(self, vm_name: str, log: str) -> None:
        super().__init__(f"guest {vm_name}: the application did not start: {log or 'it said nothing'}")
        self.vm_name = vm_name
        self.log = log


class StillRunningError(Exception):
    """Processes of a stopped guest did not end, not even killed."""

    def __init__(self, vm_name: str, pids: tuple[int, ...]) -> None:
        super().__init__(f"guest {vm_name}: processes {', '.join(map(str, pids))} do not end")
        self.vm_name = vm_name
        self.pids = pids


class Guests:
    """All guests of one stack."""

    def __init__(
        self, disks: Disks, runtime_root: Path, *, agent: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep guests' runtime folders below `runtime_root` (tmpfs); `agent` is the agent's zipapp."""
        self._disks = disks
        self._runtime_root = runtime_root
        self._agent = agent
        self._clock = clock
        self._guests: dict[str, Guest] = {}
        self._applications: dict[str, subprocess.Popen[bytes]] = {}
        self._running: set[str] = set()

    def add(self, spec: GuestSpec) -> Guest:
        """Make a VM's disks and mount them; nothing runs yet.

        Raises BadGuestError, and what Disks.create raises.
        """
        guest = Guest(spec, self._runtime_root / spec.vm_name)
        self._check(guest)
        guest.agent_state.mkdir(parents=True, mode=0o700)
        write_settings(guest)
        for disk in spec.disks:
            self._disks.create(disk.name, disk.size_mib, disk.mount_point)
        self._guests[spec.vm_name] = guest
        return guest

    def get(self, vm_name: str) -> Guest:
        """Return a guest.

        Raises UnknownVmError.
        """
        if vm_name not in self._guests:
            raise UnknownVmError(vm_name)
        return self._guests[vm_name]

    def is_running(self, vm_name: str) -> bool:
        """Say whether the VM was started and not stopped since."""
        return self.get(vm_name).spec.vm_name in self._running

    async def start(self, vm_name: str) -> None:
        """Start a VM: when this returns its application, if it has one, is writing.

        Raises UnknownVmError, ApplicationStartError. Starting what runs changes nothing.
        """
        guest = self.get(vm_name)
        if vm_name in self._running:
            return
        self._running.add(vm_name)
        if guest.spec.application:
            self._applications[vm_name] = self._start_application(guest, guest.spec.application)
            try:
                await self._until_it_listens(guest)
            except BaseException:  # a cancelled start, too, must leave nothing running
                await self.stop(vm_name)
                raise

    async def stop(self, vm_name: str) -> None:
        """Stop a VM: thaw its disks, end its application, kill whatever else runs in it, the agent included.

        Raises UnknownVmError, StillRunningError. Stopping what does not run changes nothing.
        """
        guest = self.get(vm_name)
        if self._disks.are_real:  # a process that waits for a thaw cannot end
            thaw_everything(disk.mount_point for disk in guest.spec.disks)
        application = self._applications.pop(vm_name, None)
        if application is not None:
            application.terminate()
            await asyncio.to_thread(_wait_or_kill, application)
        await self._kill_processes(guest)
        self._running.discard(vm_name)

    def agent_environment(self, vm_name: str) -> dict[str, str]:
        """Return the environment in which the guest's agent and its scripts run.

        STILLFRAME_MOUNTS names the only filesystems that the agent may freeze there: the guest's own, and
        none where disks are folders, which lie on a filesystem of the machine.
        """
        guest = self.get(vm_name)
        freezable = [str(disk.mount_point) for disk in guest.spec.disks] if self._disks.are_real else []
        return {
            "STILLFRAME_AGENT": str(self._agent),
            "STILLFRAME_STATE_DIR": str(guest.agent_state),
            "STILLFRAME_CONFIG": str(guest.settings),
            "STILLFRAME_MOUNTS": os.pathsep.join(freezable),
            "STILLFRAME_PYTHON": sys.executable,
        }

    async def close(self) -> None:
        """Stop all guests and delete their runtime folders; the disks are their owner's to close.

        Raises StillRunningError after having tried all of them.
        """
        still: list[StillRunningError] = []
        for vm_name, guest in self._guests.items():
            try:
                await self.stop(vm_name)
            except StillRunningError as error:
                still.append(error)
            shutil.rmtree(guest.runtime, ignore_errors=True)
        self._guests.clear()
        if still:
            raise still[0]

    def _check(self, guest: Guest) -> None:
        spec = guest.spec
        if spec.vm_name in self._guests:
            raise BadGuestError(spec.vm_name, "it exists already")
        if "/" in spec.vm_name or spec.vm_name in {"", ".", ".."}:
            raise BadGuestError(spec.vm_name, "this cannot be a VM's name")
        if len(os.fsencode(guest.socket)) > LONGEST_SOCKET_PATH:
            raise BadGuestError(spec.vm_name, f"{guest.socket} is too long for a socket")
        for disk in spec.disks:
            _check_mount_point(spec.vm_name, disk.mount_point)
        if spec.application is None:
            return
        folder_arguments(spec, {disk.name: disk.mount_point for disk in spec.disks})
        application = application_of(spec.application)
        if application.needs_real_disks and not self._disks.are_real:
            raise BadGuestError(
                spec.vm_name, f"{application.name} needs real disks: root, loop devices, xfsprogs"
            )
        if obstacle := application.obstacle():
            raise BadGuestError(spec.vm_name, obstacle)

    def _start_application(self, guest: Guest, name: str) -> subprocess.Popen[bytes]:
        application = application_of(name)
        folders = folder_arguments(guest.spec, {disk.name: disk.mount_point for disk in guest.spec.disks})
        load = [
            "--clients",
            str(guest.spec.clients),
            "--seed",
            guest.spec.vm_name,
            *application.serve_options,
        ]
        command = [sys.executable, "-m", application.module, "serve", *folders, *load]
        with guest.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--socket", str(guest.socket), "--with-parent"],
                cwd=guest.runtime,
                env={**os.environ, **self.agent_environment(guest.spec.vm_name), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (guest.runtime / PID_FILE).write_text(str(process.pid))
        return process

    async def _until_it_listens(self, guest: Guest) -> None:
        application = self._applications[guest.spec.vm_name]
        ends_at = self._clock() + _START_DEADLINE_S
        while not guest.socket.exists():
            if application.poll() is not None or self._clock() > ends_at:
                said = await asyncio.to_thread(guest.log.read_bytes)
                raise ApplicationStartError(
                    guest.spec.vm_name, said[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
                )
            await asyncio.sleep(_POLL_S)

    async def _kill_processes(self, guest: Guest) -> None:
        ends_at = self._clock() + _STOP_DEADLINE_S
        while pids := processes_of(guest):
            if self._clock() > ends_at:
                raise StillRunningError(guest.spec.vm_name, pids)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)


def _check_mount_point(vm_name: str, mount_point: Path) -> None:
    """Refuse to cover anything: a folder in use, and the machine's root above all."""
    if not mount_point.is_absolute() or mount_point.resolve() == Path("/"):
        raise BadGuestError(vm_name, f"{mount_point} cannot be a mount point")
    if mount_point.exists() and (not mount_point.is_dir() or any(mount_point.iterdir())):
        raise BadGuestError(vm_name, f"{mount_point} is in use")


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
