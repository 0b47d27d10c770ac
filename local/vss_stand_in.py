r"""A stand-in for diskshadow.exe and vssadmin.exe, by the name that it is started under.

It prints what the real ones print (the form is that of Microsoft's reference and of published recordings),
and keeps its shadow copies in a file, ``VSS_STAND_IN``: a JSON object with ``volumes``, ``sets``, ``fault``,
``writers`` (name -> [state, status, failure code]), ``room`` (volume -> [used, at most]), ``calls``, and
``slow_delete_s``: how long a deletion takes (``deleting`` counts those that were begun).
"""

import io
import json
import os
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

BANNER = "Microsoft DiskShadow version 1.0\r\nCopyright (C) 2013 Microsoft Corporation\r\n"
ADMIN_BANNER = (
    "vssadmin 1.1 - Volume Shadow Copy Service administrative command-line tool\r\n"
    "(C) Copyright 2001-2013 Microsoft Corp.\r\n"
)
WRITERS = {
    "System Writer": [1, "VSS_WS_WAITING_FOR_BACKUP_COMPLETE", 0],
    "SqlServerWriter": [1, "VSS_WS_WAITING_FOR_BACKUP_COMPLETE", 0],
    "Registry Writer": [5, "VSS_WS_STABLE", 0],
}


class Failed(Exception):
    """diskshadow ends with this HRESULT."""


class Machine:
    """The volumes and shadow copies of one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: dict[str, Any] = json.loads(path.read_text())
        self.state.setdefault("sets", {})
        self.state.setdefault("calls", [])
        self.pending: list[tuple[str, str]] = []
        self.excluded: set[str] = set()

    def save(self) -> None:
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(self.state))
        fresh.replace(self.path)

    def fault(self, name: str) -> bool:
        """Say whether a fault is ordered; one that is ordered n times is counted down."""
        left = self.state.get("fault", {}).get(name, 0)
        if left > 0:
            self.state["fault"][name] = left - 1
            self.save()
        return bool(left)

    def writers(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.state.get("writers", WRITERS)
        return found


def say(text: str = "") -> None:
    """Print a line as Windows ends it."""
    sys.stdout.write(text + "\r\n")
    sys.stdout.flush()


def diskshadow(machine: Machine, script: Path) -> int:
    """Do what a script says; returns the exit code."""
    sys.stdout.write(BANNER)
    say("On computer:  VM1,  11/26/2026 7:05:02 PM\r\n")
    for line in script.read_text(encoding="utf-8").splitlines():
        say("-> " + line)
        try:
            _command(machine, line)
        except Failed as failure:
            say('\r\nCOM call "(*vssObject)->DoSnapshotSet" failed.\r\nThe last operation failed.')
            say(f"\t- Returned HRESULT= {failure.args[0]:x}\r\n\t- Error text: VSS_E_OF_THE_STAND_IN")
            return 1
    say("->")
    return 0


def _command(machine: Machine, line: str) -> None:
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
    match words:
        case ["set", "metadata", path]:
            machine.state["metadata"] = path
        case ["writer", "exclude", name]:
            machine.excluded.add(name)
        case ["add", "volume", volume, "alias", alias]:
            if volume not in machine.state["volumes"]:
                raise Failed(0x80042308)
            machine.pending.append((volume, alias))
        case ["create"]:
            _create(machine)
        case ["list", "writers", "status"]:
            _list_writers(machine)
        case ["list", "shadows", "set", identity]:
            _list_set(machine, identity)
        case ["delete", "shadows", "set", identity]:
            _delete(machine, identity)
        case _ if (
            line not in ("set context persistent", "begin backup", "end backup") and words[0] != "writer"
        ):
            raise Failed(0x80070057)


def _delete(machine: Machine, identity: str) -> None:
    if machine.fault("delete"):
        raise Failed(0x8004230F)
    slow_s = machine.state.get("slow_delete_s", 0)
    if slow_s:
        machine.state["deleting"] = machine.state.get("deleting", 0) + 1
        machine.save()
        time.sleep(slow_s)
        machine.state = json.loads(machine.path.read_text())
    deleted = machine.state["sets"].pop(identity.lower(), {})
    machine.save()
    say(f"Number of shadow copies deleted: {len(deleted)}")


def _create(machine: Machine) -> None:
    for name in list(machine.state.get("fault", {})):
        if name.startswith("create:") and machine.fault(name):
            raise Failed(int(name.partition(":")[2], 16))
    if machine.fault("hang"):
        time.sleep(600)
    identity = f"{{{uuid.uuid4()}}}"
    copies = {volume: f"{{{uuid.uuid4()}}}" for volume, _ in machine.pending}
    machine.state["sets"][identity] = copies
    if machine.state.get("metadata"):
        Path(machine.state["metadata"]).write_bytes(b"MSCF")
    machine.save()
    for volume, alias in machine.pending:
        say(f"Alias {alias} for shadow ID {copies[volume]} set as environment variable.")
    say(f"Alias VSS_SHADOW_SET for shadow set ID {identity} set as environment variable.")
    say(f"Inserted file BCDocument.xml into .cab file {Path(machine.state.get('metadata', '')).name}\r\n")
    _list_set(machine, identity, dict(machine.pending))
    if machine.fault("hang after creating"):
        time.sleep(600)
    if machine.fault("linger"):
        time.sleep(2)


def _list_set(machine: Machine, identity: str, aliases: dict[str, str] | None = None) -> None:
    copies = machine.state["sets"].get(identity.lower(), {})
    say(f"\r\nQuerying all shadow copies with the shadow copy set ID {identity}\r\n")
    for number, (volume, copy) in enumerate(copies.items(), 1):
        alias, of_set = (f"\t\t%{aliases[volume]}%", "\t%VSS_SHADOW_SET%") if aliases else ("", "")
        writers = " No_Writers" if machine.state.get("fault", {}).get("no writers") else ""
        say(f"\t* Shadow copy ID = {copy}{alias}")
        say(f"\t\t- Shadow copy set: {identity}{of_set}")
        say(f"\t\t- Original count of shadow copies = {len(copies)}")
        device = f"\\\\?\\Volume{{351b4712-0000-0000-0000-60220000000{number}}}\\"
        say(f"\t\t- Original volume name: {device} [{volume}\\]")
        say("\t\t- Creation time: 11/26/2026 7:05:04 PM")
        say(f"\t\t- Shadow copy device name: \\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy{number}")
        say("\t\t- Originating machine: VM1\r\n\t\t- Service machine: VM1\r\n\t\t- Not exposed")
        say("\t\t- Provider ID: {b5946137-7b9f-4925-af80-51abd60b20d5}")
        say(f"\t\t- Attributes:  No_Auto_Release Persistent{writers} Differential\r\n")
    say(f"Number of shadow copies listed: {len(copies)}" if copies else "No shadow copies found.")


def _list_writers(machine: Machine) -> None:
    say("\r\nListing writer status ...")
    for name, (_, status, code) in machine.writers().items():
        if name in machine.excluded:
            continue
        say(f'* WRITER "{name}"')
        say(f"\t- Status: 5 ({status})")
        say(f"\t- Writer Failure code: 0x{code:08x} ({'S_OK' if not code else 'VSS_E_WRITERERROR'})")
        say(f"\t- Writer ID: {{{uuid.uuid4()}}}\r\n\t- Instance ID: {{{uuid.uuid4()}}}\r\n")


def vssadmin(machine: Machine, arguments: list[str]) -> int:
    """List writers or room; returns the exit code."""
    say(ADMIN_BANNER)
    if arguments == ["list", "writers"]:
        for name, (state, _, _) in machine.writers().items():
            say(f"Writer name: '{name}'\r\n   Writer Id: {{{uuid.uuid4()}}}")
            say(f"   Writer Instance Id: {{{uuid.uuid4()}}}\r\n   State: [{state}] Stable")
            say("   Last error: No error\r\n")
    if arguments == ["list", "shadowstorage"]:
        for volume, (used, most) in machine.state.get("room", {}).items():
            named = f"({volume})\\\\?\\Volume{{{uuid.uuid4()}}}\\"
            say(f"Shadow Copy Storage association\r\n   For volume: {named}")
            say(f"   Shadow Copy Storage volume: {named}")
            say(f"   Used Shadow Copy Storage space: {used} (1%)")
            say(f"   Allocated Shadow Copy Storage space: {used} (1%)")
            say(f"   Maximum Shadow Copy Storage space: {most} (10%)\r\n")
    return 0


def main(name: str, arguments: list[str]) -> int:
    """Be the program ``name``; returns the exit code."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(newline="")  # lines end as they are said, on every system
    machine = Machine(Path(os.environ["VSS_STAND_IN"]))
    machine.state["calls"].append([name, *arguments])
    machine.save()
    if name == "vssadmin":
        return vssadmin(machine, arguments)
    assert arguments[0] == "/s", arguments
    return diskshadow(machine, Path(arguments[1]))
