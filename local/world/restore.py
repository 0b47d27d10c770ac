"""Restores a VM from snapshots beside the live one, and asks its application whether the copy is whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.guests.applications import application_of
from local.world.guest import ROOT
from local.world.specs import folder_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from local.world.disks import Disks
    from local.world.specs import GuestSpec

CHECK_DEADLINE_S = 180.0  # a database recovers first

_DOES_NOT_MOUNT = 70  # the script's own exit code, which no application uses
_IN_PRIVATE_NAMESPACES = (
    *("unshare", "--mount", "--pid", "--ipc", "--net", "--uts", "--fork", "--kill-child"),
    *("--mount-proc", "--propagation", "private"),
)
# Pairs of image and mount point, then "--" and the command. Mounting replays ext4's own journal; /run is
# empty, as after a boot.
_MOUNT_AND_EXECUTE = f"""
mount -t tmpfs -o mode=0755 run /run || exit {_DOES_NOT_MOUNT}
while [ "$1" != -- ]; do
    mount -t ext4 -o loop,noatime "$1" "$2" || exit {_DOES_NOT_MOUNT}
    shift 2
done
shift
exec "$@"
"""


class MissingSnapshotError(Exception):
    """A VM cannot be restored without a snapshot of each of its disks."""

    def __init__(self, vm_name: str, disk_name: str) -> None:
        super().__init__(f"{vm_name} has a disk {disk_name}, of which no snapshot was given")
        self.vm_name = vm_name
        self.disk_name = disk_name


class CheckFailedError(Exception):
    """The check itself did not come to a verdict; `reason` says why."""

    def __init__(self, vm_name: str, reason: str) -> None:
        super().__init__(f"the restored {vm_name} could not be checked: {reason}")
        self.vm_name = vm_name
        self.reason = reason


@dataclass(frozen=True)
class Verdict:
    """What the restored application says of itself. `transfers` counts what it holds after recovery."""

    whole: bool
    reason: str
    transfers: int


@dataclass(frozen=True)
class _Finished:
    exit_code: int
    output: str
    error: str


async def check_disks(disks: Disks, spec: GuestSpec, restored: Mapping[str, str]) -> Verdict:
    """Check the application of a VM on disks that were made of its snapshots (disk name -> restored disk).

    They are mounted at the original paths in namespaces of their own, as the original VM may still be there.
    Raises MissingSnapshotError, NoSuchDiskError, CheckFailedError.
    """
    for disk in spec.disks:
        if disk.name not in restored:
            raise MissingSnapshotError(spec.vm_name, disk.name)
    images = {disk.name: disks.image(restored[disk.name]) for disk in spec.disks}
    return await _checked(disks, spec, images)


async def restore_and_check(disks: Disks, spec: GuestSpec, snapshots: Mapping[str, str]) -> Verdict:
    """Restore a VM from `snapshots` (disk name -> snapshot name), check its application, throw it away.

    Where disks are real the restored VM has namespaces of its own, in which clones are mounted at the
    original paths; the live guest goes on meanwhile. Folders are checked where they were copied to.
    Raises MissingSnapshotError, NoSuchSnapshotError, CheckFailedError.
    """
    for disk in spec.disks:
        if disk.name not in snapshots:
            raise MissingSnapshotError(spec.vm_name, disk.name)
    with contextlib.ExitStack() as stack:
        clones = {
            disk.name: await asyncio.to_thread(stack.enter_context, cloned(disks, snapshots[disk.name]))
            for disk in spec.disks
        }
        return await _checked(disks, spec, clones)


async def _checked(disks: Disks, spec: GuestSpec, images: Mapping[str, Path]) -> Verdict:
    if disks.are_real:
        places: Mapping[str, Path] = {disk.name: disk.mount_point for disk in spec.disks}
        pairs = [str(path) for disk in spec.disks for path in (images[disk.name], disk.mount_point)]
        prefix = [*_IN_PRIVATE_NAMESPACES, "sh", "-c", _MOUNT_AND_EXECUTE, "restored", *pairs, "--"]
    else:
        places, prefix = images, []
    return _verdict(spec, await _run(spec.vm_name, [*prefix, *_check_command(spec, places)]))


@contextlib.contextmanager
def cloned(disks: Disks, snapshot_name: str) -> Iterator[Path]:
    """Have a writable copy of a snapshot for the length of the block.

    Raises NoSuchSnapshotError.
    """
    clone = disks.clone(snapshot_name, f"{snapshot_name}-{uuid.uuid4().hex}")
    try:
        yield clone
    finally:
        disks.drop_clone(clone)


def _check_command(spec: GuestSpec, places: Mapping[str, Path]) -> list[str]:
    if spec.application is None:
        return ["true"]
    application = application_of(spec.application)
    return [sys.executable, "-m", application.module, "check", *folder_arguments(spec, places)]


def _verdict(spec: GuestSpec, finished: _Finished) -> Verdict:
    if finished.exit_code == _DOES_NOT_MOUNT:
        first_line = finished.error.strip().partition("\n")[0]
        return Verdict(whole=False, reason=f"a disk does not mount: {first_line}", transfers=0)
    if spec.application is None:
        return Verdict(whole=finished.exit_code == 0, reason="every disk mounts", transfers=0)
    try:
        said = json.loads(finished.output)
    except ValueError as error:
        why = finished.error.strip() or f"exit code {finished.exit_code}"
        raise CheckFailedError(spec.vm_name, why) from error
    return Verdict(whole=said["whole"], reason=said["reason"], transfers=said["transfers"])


async def _run(vm_name: str, command: Sequence[str]) -> _Finished:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        output, error = await asyncio.wait_for(process.communicate(), CHECK_DEADLINE_S)
    except TimeoutError as late:
        raise CheckFailedError(vm_name, f"no answer within {CHECK_DEADLINE_S:g} s") from late
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _Finished(process.returncode or 0, output.decode(errors="replace"), error.decode(errors="replace"))
