"""What is stored of runs: what each was asked to do, how far its selection is, and its VMs."""

from dataclasses import dataclass
from typing import Any

from shared.saga.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of Azure (``scope``, its path) that a selection could not read, and the error."""

    scope: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelection:
    """How far the selection of a run's VMs is. ``looked_at`` (ms since the epoch) is when it last went on.

    ``excluded`` is the number of VMs that were listed and left out by a rule.
    """

    done: bool
    looked_at: int
    excluded: int = 0
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a run was asked to do. ``created_at`` is ms since the epoch, ``settings`` JSON.

    ``selection`` is None where the VMs were named one by one; while it is not done, ``vm_count`` is that of
    the VMs known so far.
    """

    run_id: str
    created_at: int
    policy_name: str
    requested_by: str
    vm_count: int
    settings: dict[str, Any]
    cancel_requested: bool = False
    selection: RunSelection | None = None

    @property
    def selecting(self) -> bool:
        """Whether Azure is still being asked which VMs these are."""
        return self.selection is not None and not self.selection.done


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One VM of a run. ``outcome`` is empty while its saga goes on. Times in ms since the epoch.

    ``selected_by`` is the place in the policy's document by which it was selected, where one was. ``group``
    is the name of the group that it is to share an instant with. ``priority`` is what the VM's own tag said
    then, where it counts; 0 where it does not.

    ``problem`` is the sentence on what went wrong, ``step`` the phase that it went wrong in, ``what_to_do``
    the advice. ``timeline`` is None where it was not kept: the saga's history has it.

    ``place`` is the VM's in the order of a run that takes its VMs in turns, from 1; 0 in all others. A VM
    that is tried again has an entry for each try; those of earlier ones are ``retried``. For one that is yet
    to come ``started_at`` says when.
    """

    saga_id: str
    vm_id: str
    outcome: str = ""
    grade: str = ""
    freeze_window_ms: int | None = None
    reason: str = ""
    problem: str = ""
    step: str = ""
    what_to_do: str = ""
    warnings: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    timeline: Timeline | None = None
    place: int = 0
    try_number: int = 1
    retried: bool = False
    selected_by: str = ""
    group: str = ""
    priority: int = 0
