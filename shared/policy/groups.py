"""Groups of VMs that are to share one instant: which of a document's VMs, and by which rules.

How such a group is held is the business of ``shared.saga.group``; this says who is meant.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.policy.selection import Selection, VmSummary
from shared.saga.group import GroupRules

#: VMs of one group. All of them are held while the slowest of them is still being held.
MOST_MEMBERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of a document: the VMs of ``selection`` that its run is over. ``at`` is where it stands."""

    name: str
    selection: Selection
    rules: GroupRules = field(default_factory=GroupRules)
    at: str = ""

    @property
    def is_a_list(self) -> bool:
        """Whether its members are named one by one, and nothing has to be known of them."""
        return not self.selection.include

    @property
    def needs_more_than_the_id(self) -> bool:
        """Whether Azure has to be asked before it is known who belongs to it."""
        return any(rule.needs_more_than_the_id for rule in (*self.selection.include, *self.selection.exclude))


def group_of(groups: Iterable[Group], vm: VmSummary) -> str:
    """Give the name of the group that a VM belongs to: the first that selects it; empty for none."""
    return next((group.name for group in groups if group.selection.judge(vm).selected), "")


def together[T](items: Sequence[T], name_of: Callable[[T], str]) -> list[T]:
    """Put the items of one group beside each other, where the first of them stands.

    VMs that begin in turns need that: a group waits for its last member, so none of another group may come
    between them. ``name_of`` gives the group of an item, empty for none.
    """
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        first.setdefault(name_of(item), index)
    ranked = sorted(
        enumerate(items), key=lambda each: (first[name] if (name := name_of(each[1])) else each[0], each[0])
    )
    return [item for _, item in ranked]
