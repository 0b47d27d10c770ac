"""Reading ``groups``: VMs of a document that are to share one instant.

What is known only at a run (which VMs a rule selects, which system one has) is seen there; what can be wrong
in every run is refused here.
"""

import re
from collections.abc import Sequence
from typing import Any

from shared.policy.concurrency import LONGEST_ADMISSION_MS, Concurrency
from shared.policy.fields import DocumentError, Fields
from shared.policy.groups import MOST_MEMBERS, Group
from shared.policy.guest_fields import LONGEST_FREEZE_MS
from shared.policy.selection import Selection
from shared.policy.selection_fields import read_group_selection
from shared.saga.group import GroupRules, OnMemberFailure

MOST_GROUPS = 32
LEAST_TIMEOUT_MS = 1_000
LONGEST_PROVED_MS = 1_800_000

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MEMBERS = (
    "name", "vms", "selection", "on_member_failure",
    "armed_timeout_ms", "held_timeout_ms", "proved_timeout_ms",
)  # fmt: skip


def read_groups(fields: Fields, vms: Sequence[str] | None) -> tuple[Group, ...]:
    """Read the member ``groups`` of a document over ``vms``, None where rules say which VMs these are.

    Raises:
        DocumentError: names the field that is wrong.
    """
    value, at = fields.raw("groups"), fields.at("groups")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_GROUPS:
        raise DocumentError(at, f"expected a list of at most {MOST_GROUPS} JSON objects")
    groups: list[Group] = []
    places: dict[str, str] = {}
    for index, item in enumerate(value):
        group = _group(item, f"{at}[{index}]", vms)
        if any(group.name == other.name for other in groups):
            raise DocumentError(f"{group.at}.name", "another group has this name")
        for number, vm in enumerate(group.selection.vms):
            if vm.lower() in places:
                problem = f"is in {places[vm.lower()]} already: a VM shares its instant with one group"
                raise DocumentError(f"{group.at}.vms[{number}]", problem)
            places[vm.lower()] = group.at
        groups.append(group)
    return tuple(groups)


def _group(value: Any, at: str, vms: Sequence[str] | None) -> Group:
    fields, usual = Fields(value, at, _MEMBERS), GroupRules()
    name = fields.text("name", longest=63)
    if not _NAME.fullmatch(name):
        problem = "expected a name of small letters, digits and hyphens, at most 63"
        raise DocumentError(fields.at("name"), problem)
    selection = read_group_selection(fields, most=MOST_MEMBERS)
    _check_members(selection, at, vms)
    rules = GroupRules(
        on_member_failure=fields.choice("on_member_failure", OnMemberFailure, usual.on_member_failure),
        armed_timeout_ms=_timeout(fields, "armed_timeout_ms", usual.armed_timeout_ms, LONGEST_ADMISSION_MS),
        held_timeout_ms=_timeout(fields, "held_timeout_ms", usual.held_timeout_ms, LONGEST_FREEZE_MS),
        proved_timeout_ms=_timeout(fields, "proved_timeout_ms", usual.proved_timeout_ms, LONGEST_PROVED_MS),
    )
    return Group(name=name, selection=selection, rules=rules, at=at)


def _timeout(fields: Fields, name: str, usual: int, most: int) -> int:
    return fields.whole(name, usual, least=LEAST_TIMEOUT_MS, most=most)


def _check_members(selection: Selection, at: str, vms: Sequence[str] | None) -> None:
    if not selection.include and len(selection.vms) < 2:
        raise DocumentError(
            f"{at}.vms", "expected at least two VMs, or a selection: one alone shares nothing"
        )
    known = None if vms is None else {vm.lower() for vm in vms}
    for index, vm in enumerate(selection.vms):
        if known is not None and vm.lower() not in known:
            raise DocumentError(f"{at}.vms[{index}]", "expected one of the document's own vms")


def refuse_lookups(groups: Sequence[Group]) -> None:
    """Refuse rules that Azure would have to be asked about: in a run of VMs that are named one by one.

    Raises:
        DocumentError: names the condition.
    """
    for group in groups:
        for kind in ("include", "exclude"):
            for index, rule in enumerate(getattr(group.selection, kind)):
                for name in ("locations", "os", "tags"):
                    if getattr(rule, name):
                        problem = (
                            "only in a policy: the VMs of a run without one are known by their ids alone"
                        )
                        raise DocumentError(f"{group.at}.selection.{kind}[{index}].{name}", problem)


def check_room(groups: Sequence[Group], concurrency: Concurrency) -> None:
    """Refuse groups that could never be held together: the limits let too few of their VMs do so.

    Raises:
        DocumentError: names the limit.
    """
    for group in groups:
        count = len(group.selection.vms)
        for name, limit in (("held", concurrency.held), ("vms", concurrency.vms)):
            if limit and count > limit:
                problem = f"expected at least {count}: the VMs of the group {group.name} are held together"
                raise DocumentError(f"concurrency.{name}", problem)
