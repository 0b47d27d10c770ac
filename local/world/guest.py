"""One guest: its places on this machine, its processes, and what its administrator settles for the agent."""

from __future__ import annotations

import configparser
import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.guests.applications import SYSTEMCTL, application_of
from local.world.specs import GuestSpec, folders_by_role

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]  # the folder that `local` is imported from
SCRIPTS = ROOT / "local" / "guests" / "scripts"


@dataclass(frozen=True)
class Guest:
    """A VM's inside on this machine. The runtime folder is on tmpfs and never frozen."""

    spec: GuestSpec
    runtime: Path

    @property
    def socket(self) -> Path:
        """The application's control socket: the argument of its pre- and post-script."""
        return self.runtime / "control.sock"

    @property
    def agent_state(self) -> Path:
        """The folder for the agent's state; as no two guests share it, it also marks their processes."""
        return self.runtime / "agent"

    @property
    def settings(self) -> Path:
        """What this guest's administrator settles for the agent."""
        return self.runtime / "agent.conf"

    @property
    def log(self) -> Path:
        """What the application says."""
        return self.runtime / "application.log"


def processes_of(guest: Guest) -> tuple[int, ...]:
    """Return the processes that run in a guest, by the state folder in their environment or where they work.

    A database server's processes write their names over their environment, but work in a folder of its disks.
    Those of a restored copy are in a mount namespace of their own, and not the guest's.
    """
    mark = f"STILLFRAME_STATE_DIR={guest.agent_state}".encode()
    disks = [disk.mount_point for disk in guest.spec.disks]
    here = Path("/proc/self/ns/mnt").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        # Gone meanwhile, or another user's.
        with contextlib.suppress(OSError):
            if not entry.name.isdigit():
                continue
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked or (_works_on(entry, disks) and (entry / "ns" / "mnt").readlink() == here):
                found.append(int(entry.name))
    return tuple(found)


def _works_on(process: Path, disks: list[Path]) -> bool:
    folder = (process / "cwd").readlink()
    return any(folder.is_relative_to(disk) for disk in disks)


def write_settings(guest: Guest) -> None:
    """Say where the application is, and allow its scripts and those that are put into the runtime folder."""
    sections: dict[str, Mapping[str, str]] = {
        "scripts": {"folders": os.pathsep.join(map(str, (SCRIPTS, guest.runtime)))}
    }
    if guest.spec.application:
        places = {disk.name: disk.mount_point for disk in guest.spec.disks}
        application = application_of(guest.spec.application)
        sections |= application.sections(guest.runtime, folders_by_role(guest.spec, places))
        _write_systemctl(guest)
    written = configparser.ConfigParser(interpolation=None)
    written.read_dict(sections)
    with guest.settings.open("x") as file:
        guest.settings.chmod(0o600)
        written.write(file)


def _write_systemctl(guest: Guest) -> None:
    """Write what stands for systemctl: it must know the guest, as no client of an agent has its marks."""
    words = ("exec", sys.executable, "-m", "local.guests.systemctl", str(guest.socket))
    path = guest.runtime / SYSTEMCTL
    path.write_text(f'#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(ROOT))}\n{shlex.join(words)} "$@"\n')
    path.chmod(0o700)
