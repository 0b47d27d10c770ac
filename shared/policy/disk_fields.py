"""Reading the section ``disks`` of a document."""

from typing import Any

from shared.policy.disks import DiskKind, DiskRule, DiskSelection
from shared.policy.fields import DocumentError, Fields

MOST_RULES = 20

#: Azure's largest VMs take 64 data disks, at the LUNs 0 to 63.
LARGEST_LUN = 63
MOST_LUNS = 64
MOST_NAMES = 64
LONGEST_NAME = 80
MOST_TAGS = 15

_MEMBERS = ("luns", "names", "kinds", "tags")


def read_disks(fields: Fields) -> DiskSelection:
    """Read the section of a document.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not fields.has("disks"):
        return DiskSelection()
    disks = Fields(fields.raw("disks"), fields.at("disks"), ("include", "exclude"))
    return DiskSelection(include=_rules(disks, "include"), exclude=_rules(disks, "exclude"))


def _rules(fields: Fields, name: str) -> tuple[DiskRule, ...]:
    given = fields.raw(name)
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MOST_RULES:
        raise DocumentError(fields.at(name), f"expected a list of at most {MOST_RULES} rules")
    return tuple(_rule(rule, f"{fields.at(name)}[{index}]") for index, rule in enumerate(given))


def _rule(data: Any, at: str) -> DiskRule:
    fields = Fields(data, at, _MEMBERS)
    rule = DiskRule(
        luns=fields.wholes("luns", (), most=MOST_LUNS, least=0, largest=LARGEST_LUN),
        names=_names(fields),
        kinds=_kinds(fields),
        tags=fields.table("tags", most=MOST_TAGS, longest=256),
    )
    if rule == DiskRule():
        raise DocumentError(at, f"expected at least one of {', '.join(_MEMBERS)} that is not empty")
    return rule


def _names(fields: Fields) -> tuple[str, ...]:
    names = fields.texts("names", most=MOST_NAMES, longest=LONGEST_NAME)
    for index, name in enumerate(names):
        if not name:
            raise DocumentError(f"{fields.at('names')}[{index}]", "expected a name, or a pattern as data-*")
    return names


def _kinds(fields: Fields) -> tuple[DiskKind, ...]:
    kinds = fields.texts("kinds", most=len(DiskKind), longest=16)
    for index, kind in enumerate(kinds):
        if kind not in list(DiskKind):
            raise DocumentError(f"{fields.at('kinds')}[{index}]", "expected one of " + ", ".join(DiskKind))
    return tuple(DiskKind(kind) for kind in kinds)
