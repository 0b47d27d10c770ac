"""How the applications of a VM are made to hold still, and what happens when they do not."""

from dataclasses import dataclass
from enum import StrEnum


class OnGuestFailure(StrEnum):
    """What a saga does when its guest could not be held, or the proof that it was held is missing."""

    FAIL = "fail"
    """Keep no recovery point that is less consistent than asked for."""

    CONTINUE = "continue"
    """Keep a less consistent recovery point, and say so."""


class Filesystems(StrEnum):
    """Which filesystems are frozen across the snapshots."""

    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Script:
    """A script in the guest: path, arguments and the time (ms) after which its process tree is killed."""

    path: str
    arguments: tuple[str, ...] = ()
    timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProcessing:
    """The guest processing of one VM in one run. All times in ms.

    ``freeze_budget_ms`` bounds the freeze window whatever dies: the guest's dead-man holds it.
    ``quiesce_timeout_ms`` bounds making the applications hold still, and lies inside the budget.
    ``attempts`` is how many generations a saga may try before ``on_guest_failure`` decides; only what may
    pass by itself is tried again, never a script that failed.
    """

    enabled: bool = True
    on_guest_failure: OnGuestFailure = OnGuestFailure.FAIL
    filesystems: Filesystems = Filesystems.ALL
    pre_script: Script | None = None
    post_script: Script | None = None
    freeze_budget_ms: int = 30_000
    quiesce_timeout_ms: int = 20_000
    arming_timeout_ms: int = 120_000
    resume_timeout_ms: int = 60_000
    attempts: int = 2

    @property
    def quiesces_applications(self) -> bool:
        """Whether applications are asked to hold still, not only filesystems."""
        return self.pre_script is not None
