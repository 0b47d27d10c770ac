"""How many VMs a run works on at once, how many of them are held at once, and who comes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.policy.fields import DocumentError, Fields
from shared.policy.own_tags import PRIORITY

#: VMs that are worked on at once for each that may be held, where a policy limits only the latter: arming a
#: guest takes up to minutes, holding it seconds.
VMS_PER_HELD = 10

#: The largest numbers of VMs that a policy may name.
MOST_AT_ONCE = 10_000

#: The longest wait for admission that a policy may allow: four hours.
LONGEST_ADMISSION_MS = 4 * 3_600_000

#: The longest wait for admission by default: thirty minutes.
ADMISSION_TIMEOUT_MS = 30 * 60_000


class Order(StrEnum):
    """In which order the VMs of a run begin."""

    LISTED = "listed"
    """As the policy or the request lists them; those that a selection adds come by their ids."""

    NAME = "name"
    """By the VM's name, then by its id."""

    RULES = "rules"
    """Those that ids name, then those of the first rule of ``include``, and so on; then by their ids."""

    PRIORITY = "priority"
    """By the VM's own tag ``stillframe:priority``, then by its id."""


#: Orders that a run without a policy cannot have: it has neither rules nor ``allow_tags``.
OF_POLICIES = (Order.RULES, Order.PRIORITY)


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
    ``in_turns``: only so many VMs of its run are worked on at once, and its end lets the next one begin.
    ``rank``: among those that wait for a place the lowest is next.
    """

    scope: str
    held: int = 0
    timeout_ms: int = ADMISSION_TIMEOUT_MS
    in_turns: bool = False
    rank: int = 0


def read_concurrency(fields: Fields, *, allowed_tags: Sequence[str] | None = None) -> Concurrency:
    """Read the member ``concurrency``; missing means no limit.

    ``allowed_tags`` are those of a policy; None in a document that is none.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not fields.has("concurrency"):
        return Concurrency()
    known = ("vms", "held", "order", "admission_timeout_ms")
    own, usual = Fields(fields.raw("concurrency"), fields.at("concurrency"), known), Concurrency()
    vms = own.whole("vms", 0, least=1, most=MOST_AT_ONCE) if own.has("vms") else 0
    held = own.whole("held", 0, least=1, most=MOST_AT_ONCE) if own.has("held") else 0
    if vms and held > vms:
        problem = f"expected at most {vms}: who is held is one of the VMs that are worked on at once (vms)"
        raise DocumentError(own.at("held"), problem)
    order = own.choice("order", Order, usual.order)
    if allowed_tags is None and order in OF_POLICIES:
        raise DocumentError(own.at("order"), f"expected listed or name: only a policy can have {order}")
    if order is Order.PRIORITY and PRIORITY not in (allowed_tags or ()):
        problem = "priority is that of the VMs' own tags, which count only with priority in allow_tags"
        raise DocumentError(own.at("order"), problem)
    return Concurrency(
        vms=vms,
        held=held,
        order=order,
        admission_timeout_ms=own.whole(
            "admission_timeout_ms", usual.admission_timeout_ms, least=1_000, most=LONGEST_ADMISSION_MS
        ),
    )
