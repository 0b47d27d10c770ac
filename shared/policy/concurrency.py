"""How many VMs a run works on at once, how many of them are held at once, and who comes first."""

from dataclasses import dataclass
from enum import StrEnum

#: VMs that are worked on at once for each that may be held, where a policy limits only the latter: arming a
#: guest takes up to minutes, holding it seconds.
VMS_PER_HELD = 10

#: The longest wait for admission by default: thirty minutes.
ADMISSION_TIMEOUT_MS = 30 * 60_000


class Order(StrEnum):
    """In which order the VMs of a run begin."""

    LISTED = "listed"
    """As the policy or the request lists them; those that a selection adds come by their ids."""

    NAME = "name"
    """By the VM's name, then by its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """``vms`` may be worked on and ``held`` be held at the same time; 0 is no limit.

    ``held`` counts over all runs of a policy, or over one run without a policy. Who is not admitted to be
    held within ``admission_timeout_ms`` fails.
    """

    vms: int = 0
    held: int = 0
    order: Order = Order.LISTED
    admission_timeout_ms: int = ADMISSION_TIMEOUT_MS

    @property
    def vms_at_once(self) -> int:
        """How many VMs are worked on at once; 0 is no limit."""
        return self.vms or self.held * VMS_PER_HELD


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRules:
    """What a saga has to be admitted by before its guest is held.

    ``scope`` is whose places it shares: at most ``held`` guests of it are held at once; 0 is no limit.
    """

    scope: str
    held: int = 0
    timeout_ms: int = ADMISSION_TIMEOUT_MS
