"""Restores a virtual machine: a second one boots from clones of the snapshots, and checks itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import TYPE_CHECKING

from local.vm.machine import Drives, machine
from local.world.restore import CheckFailedError, Verdict, cloned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.vm.image import Image
    from local.world.disks import Disks

_MARK = "VERDICT "
_CHECK_DEADLINE_S = 300.0  # emulated, and on a busy machine; 10 to 20 s are usual


async def boot_and_check(disks: Disks, image: Image, folder: Path, snapshots: Sequence[str]) -> Verdict:
    """Boot a VM from the snapshots of its disks (the system's first, then by LUN); give its own verdict.

    Only kernel and initramfs come from here: root filesystem, application and data are the snapshots'.
    Raises NoSuchSnapshotError, CheckFailedError.
    """
    name = f"restored-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        system, *data = [
            await asyncio.to_thread(stack.enter_context, cloned(disks, snapshot)) for snapshot in snapshots
        ]
        async with machine(name, image, Drives(system, data), folder / name) as restored:
            try:
                await asyncio.wait_for(restored.process.wait(), _CHECK_DEADLINE_S)
            except TimeoutError as late:
                raise CheckFailedError(name, f"no verdict within {_CHECK_DEADLINE_S:g} s") from late
            return verdict_in(name, restored.console())


def verdict_in(name: str, console: str) -> Verdict:
    """Read the verdict out of a console's text.

    Raises CheckFailedError where there is none: then nothing is known of the copy.
    """
    for line in console.splitlines():
        _, mark, text = line.partition(_MARK)
        if not mark:
            continue
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(text)
            return Verdict(whole=said["whole"], reason=said["reason"], transfers=said["transfers"])
    raise CheckFailedError(name, console.strip()[-1000:] or "it said nothing")
