"""What somebody asks for when asking for a run: its VMs, what is to be done with them, and their order."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.engine.run_settings import RunSettings
from shared.policy.concurrency import Order
from shared.policy.documents import RunDocument
from shared.policy.groups import group_of, together
from shared.policy.selection import VmSummary, summary_of_id
from shared.saga.codec import encode
from shared.saga.names import saga_id
from shared.storage.run_records import RunEntry


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that somebody asks for with the document ``asked``, and what that means today.

    ``idempotency_key`` is empty when a repetition shall be a new run. ``groups`` has the names of the groups
    that VMs belong to, by the VMs' ids in small letters.
    """

    asked: RunDocument
    vm_ids: tuple[str, ...]
    settings: RunSettings
    requested_by: str
    idempotency_key: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over what is asked for, hex: the same key with something else is refused.

        Not over what it means today: a policy may be changed between a request and its repetition.
        """
        what = json.dumps(encode(self.asked), sort_keys=True)
        kind = "rehearsal\n" if self.settings.rehearsal else ""
        return hashlib.sha256(f"{kind}{what}".encode()).hexdigest()


def groups_of(
    settings: RunSettings, vm_ids: Sequence[str], known: Mapping[str, VmSummary] | None = None
) -> dict[str, str]:
    """Give the groups of a run's VMs by their ids in small letters; ``known`` has what Azure said of them.

    Where rules select the run's VMs, what is decided by more than an id is decided when the VMs are listed.
    """
    groups = [group for group in settings.groups if settings.selection is None or group.is_a_list]
    found = known or {}
    names = {
        vm_id.lower(): group_of(groups, found.get(vm_id.lower()) or summary_of_id(vm_id)) for vm_id in vm_ids
    }
    return {vm_id: name for vm_id, name in names.items() if name}


def vms_at_once(settings: RunSettings) -> int:
    """Give how many VMs of a run are worked on at once; 0 where it does not take them in turns."""
    return settings.concurrency.vms_at_once if settings.concurrency else 0


def entries_of(run_id: str, request: RunRequest, now: int) -> list[RunEntry]:
    """Make the index of a run, in the order in which its VMs are to begin."""
    limits, vm_ids = request.settings.concurrency, list(request.vm_ids)
    if limits is not None and limits.order is Order.NAME:
        vm_ids.sort(key=lambda vm_id: (vm_id.rpartition("/")[2].lower(), vm_id.lower()))
    groups = request.groups
    vm_ids = together(vm_ids, lambda vm_id: groups.get(vm_id.lower(), ""))
    # The places of those that rules select are given when all are known.
    in_turns = vms_at_once(request.settings) > 0 and request.settings.selection is None
    return [
        RunEntry(
            saga_id=saga_id(run_id, vm_id),
            vm_id=vm_id,
            started_at=now,
            place=place if in_turns else 0,
            group=groups.get(vm_id.lower(), ""),
        )
        for place, vm_id in enumerate(vm_ids, 1)
    ]
