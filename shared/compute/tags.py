"""The tags that every snapshot of a recovery point carries."""

from collections.abc import Iterable

from shared.compute.names import Kind, ResourceId
from shared.saga.facts import DiskFacts, VmFacts

POLICY = "stillframe-policy"
RUN = "stillframe-run"
SAGA = "stillframe-saga"
GENERATION = "stillframe-generation"
GRADE = "stillframe-grade"
FREEZE_WINDOW_MS = "stillframe-freeze-window-ms"
EVIDENCE = "stillframe-evidence"
"""SHA-256 of the evidence, hex."""
WARNINGS = "stillframe-warnings"
"""How many warnings the saga has."""
LEFT_OUT = "stillframe-left-out"
"""Which disks of the VM are not in the recovery point: ``os`` and LUNs, with commas."""
OUTCOME = "stillframe-outcome"
"""Whether it came out as its policy asked (``succeeded``)."""
VM = "stillframe-vm"
"""Whose disks they are: ``<subscription>/<resource group>/<VM>``; an ARM id may be too long for a tag."""
RESTORE = "stillframe-restore"
"""What a restore has to know when the VM is gone: words ``name=value``, see `of_disk`."""

#: Characters of a tag's value ("Use tags to organize your Azure resources", Microsoft Learn).
LONGEST_VALUE = 256

GROUP = "stillframe-group"
GROUP_MEMBERS = "stillframe-group-members"
"""The names of the VMs that share the instant, or how many they are where a tag has no room for them."""
GROUP_SKEW_MS = "stillframe-group-skew-ms"
"""How far their snapshots lie apart; empty where no instant is shared."""
ONE_INSTANT = "stillframe-one-instant"

#: What the value of a tag may hold.
_LONGEST_VALUE = 256


def at_birth(*, policy: str, run: str, saga: str, generation: int) -> dict[str, str]:
    """Give the tags that a snapshot is created with: enough to find its saga, and to delete no other's."""
    return {POLICY: policy, RUN: run, SAGA: saga, GENERATION: str(generation)}


def of_disk(vm: VmFacts, disk: DiskFacts) -> dict[str, str]:
    """Give the tags by which the snapshot of a disk tells of its VM, and of its place in it.

    ``slots`` are those of all disks in the recovery point, so that a lost one is missed; ``disk`` is the
    disk's own slot. What Azure did not say is left out, and so is what does not fit, the least needed first.
    """
    shape = vm.shape
    words = {
        "slots": in_ranges(each.slot for each in vm.disks),
        "disk": disk.slot,
        "size": shape.size,
        "os": vm.os_type,
        "location": vm.location,
        "zone": shape.zone,
        "security": shape.security,
        "sku": disk.sku,
        "caching": disk.caching,
        "generation": shape.generation,
        "secure_boot": "1" if shape.secure_boot else "",
        "vtpm": "1" if shape.vtpm else "",
        "accelerated": "1" if disk.write_accelerated else "",
        "controller": shape.controller,
        "iops": str(disk.iops or ""),
        "mbps": str(disk.mbps or ""),
    }
    text = ""
    for name, value in words.items():
        longer = f"{text} {name}={value}".lstrip()
        if value and len(longer) <= LONGEST_VALUE:
            text = longer
    return {VM: vm_text(vm.vm_id), RESTORE: text}


def vm_text(vm_id: str) -> str:
    """Write the ARM id of a VM as a tag's value."""
    parts = vm_id.split("/")
    return f"{parts[2]}/{parts[4]}/{parts[8]}"


def vm_of(text: str) -> str | None:
    """Read the ARM id of a VM from a tag's value; None when it is none."""
    match text.split("/"):
        case [subscription, group, name] if subscription and group and name:
            return str(ResourceId(subscription, group, Kind.VM, name))
    return None


def words_of(text: str) -> dict[str, str]:
    """Read the words of `RESTORE`."""
    pairs = (word.partition("=") for word in text.split(" "))
    return {name: value for name, _, value in pairs if value}


def in_ranges(slots: Iterable[str]) -> str:
    """Write slots down shortly: ``os,0-3,7``."""
    given = list(slots)
    runs: list[tuple[int, int]] = []
    for lun in sorted(int(slot) for slot in given if slot != "os"):
        if runs and runs[-1][1] == lun - 1:
            runs[-1] = (runs[-1][0], lun)
        else:
            runs.append((lun, lun))
    luns = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ",".join((["os"] if "os" in given else []) + luns)


def slots_in(text: str) -> tuple[str, ...]:
    """Read what `in_ranges` wrote; what is none is left out, and 64 are the most LUNs there can be."""
    slots: list[str] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if part == "os":
            slots.append(part)
        elif first.isdecimal() and (last or first).isdecimal():
            slots += [str(lun) for lun in range(int(first), min(int(last or first), int(first) + 63) + 1)]
    return tuple(slots)


def when_graded(
    *,
    grade: str,
    freeze_window_ms: int | None,
    evidence: str,
    warnings: int,
    left_out: Iterable[str],
    outcome: str,
) -> dict[str, str]:
    """Give the tags that a kept snapshot gets; the freeze window (ms) is empty where nothing was held."""
    window = "" if freeze_window_ms is None else str(freeze_window_ms)
    return {
        GRADE: grade,
        FREEZE_WINDOW_MS: window,
        EVIDENCE: evidence,
        WARNINGS: str(warnings),
        LEFT_OUT: ",".join(left_out),
        OUTCOME: outcome,
    }


def of_group(*, group: str, members: Iterable[str], skew_ms: int | None, one_instant: bool) -> dict[str, str]:
    """Give the tags that say whether a kept snapshot shares its instant with those of other VMs (names)."""
    names = tuple(members)
    listed = ",".join(names)
    return {
        GROUP: group,
        GROUP_MEMBERS: listed if len(listed) <= _LONGEST_VALUE else f"{len(names)} VMs",
        GROUP_SKEW_MS: "" if skew_ms is None else str(skew_ms),
        ONE_INSTANT: str(one_instant).lower(),
    }
