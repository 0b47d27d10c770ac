"""Reading which VMs a document is for."""

import re
from typing import Any

from shared.policy.fields import DocumentError, Fields
from shared.policy.own_tags import OWN_TAGS
from shared.policy.selection import Selection, VmRule
from shared.policy.tag_expressions import read_tag_expression
from shared.policy.vm_ids import read_vm_ids

MOST_RULES = 64
MOST_SUBSCRIPTIONS = 100
MOST_PATTERNS = 100
LONGEST_PATTERN = 128

_SUBSCRIPTION = re.compile(r"(?ai:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_SYSTEMS = ("linux", "windows")
_CONDITIONS = ("subscriptions", "resource_groups", "names", "locations", "os", "tags")


def read_allowed_tags(fields: Fields) -> tuple[str, ...]:
    """Read ``allow_tags``: what a VM's own tags (``stillframe:*``) may decide. Nothing, where it is missing.

    Raises:
        DocumentError: names the item that is none.
    """
    allowed = fields.texts("allow_tags", most=len(OWN_TAGS))
    for index, name in enumerate(allowed):
        at = f"{fields.at('allow_tags')}[{index}]"
        if name not in OWN_TAGS:
            raise DocumentError(at, "expected one of " + ", ".join(OWN_TAGS))
        if name in allowed[:index]:
            raise DocumentError(at, f"{name} is named twice")
    return allowed


def read_selection(fields: Fields, *, by_tag: bool, by_priority: bool = False) -> Selection:
    """Read ``vms`` and ``selection`` of a document: the VMs of both, without those that are excluded.

    ``by_tag``: VMs may be left out by their own tag. ``by_priority``: they begin in the order of another one.

    Raises:
        DocumentError: names the field that is wrong, or says that no VM is named at all.
    """
    vms = read_vm_ids(fields, "vms")
    if not fields.has("selection"):
        if not vms:
            raise DocumentError("vms", "expected at least one VM, or a selection")
        return Selection(vms=vms, by_tag=by_tag, by_priority=by_priority)
    selection = Fields(fields.raw("selection"), fields.at("selection"), ("include", "exclude"))
    include = _rules(selection, "include", included=True)
    named = tuple(vm for rule in include for vm in rule.vms)
    if not vms and not include:
        raise DocumentError(selection.at("include"), "expected at least one rule, or vms beside it")
    return Selection(
        vms=tuple({vm.lower(): vm for vm in (*named, *vms)}.values()),
        include=tuple(rule for rule in include if not rule.vms),
        exclude=_rules(selection, "exclude", included=False),
        by_tag=by_tag,
        by_priority=by_priority,
    )


def read_group_selection(fields: Fields, *, most: int) -> Selection:
    """Read which of a document's VMs belong to a group: ``vms`` (at most ``most``) and ``selection``.

    Its rules need no subscriptions: they choose among VMs that are known already.

    Raises:
        DocumentError: names the field that is wrong.
    """
    vms = read_vm_ids(fields, "vms")
    if len(vms) > most:
        raise DocumentError(fields.at("vms"), f"expected at most {most} VMs in a group")
    if not fields.has("selection"):
        return Selection(vms=vms)
    selection = Fields(fields.raw("selection"), fields.at("selection"), ("include", "exclude"))
    include = _rules(selection, "include", included=False)
    exclude = _rules(selection, "exclude", included=False)
    for rule in (*include, *exclude):
        if rule.vms:
            raise DocumentError(f"{rule.at}.vms", "not here: a group names its VMs in its own vms")
    if not include:
        raise DocumentError(
            selection.at("include"), "expected at least one rule; without any, leave selection out"
        )
    return Selection(vms=vms, include=include, exclude=exclude)


def _rules(selection: Fields, name: str, *, included: bool) -> tuple[VmRule, ...]:
    value = selection.raw(name)
    if value is None:
        return ()
    at = selection.at(name)
    if not isinstance(value, list) or len(value) > MOST_RULES:
        raise DocumentError(at, f"expected a list of at most {MOST_RULES} JSON objects")
    return tuple(_rule(item, f"{at}[{index}]", included=included) for index, item in enumerate(value))


def _rule(value: Any, at: str, *, included: bool) -> VmRule:
    fields = Fields(value, at, ("vms", *_CONDITIONS))
    said = [name for name in _CONDITIONS if fields.has(name)]
    vms = read_vm_ids(fields, "vms")
    if vms and said:
        raise DocumentError(fields.at(said[0]), "not together with vms: ids say it all")
    if not vms and not said:
        raise DocumentError(at, "expected vms or a condition: a rule about every VM there is says nothing")
    rule = VmRule(
        at=at,
        vms=vms,
        subscriptions=_subscriptions(fields),
        resource_groups=_patterns(fields, "resource_groups"),
        names=_patterns(fields, "names"),
        locations=_patterns(fields, "locations"),
        os=_os(fields),
        tags=read_tag_expression(fields.raw("tags"), fields.at("tags")) if fields.has("tags") else None,
    )
    if included and not vms and not rule.subscriptions:
        problem = "expected the ids of the subscriptions to look in: none of them shall be left out unnoticed"
        raise DocumentError(fields.at("subscriptions"), problem)
    return rule


def _subscriptions(fields: Fields) -> tuple[str, ...]:
    ids = fields.texts("subscriptions", most=MOST_SUBSCRIPTIONS, longest=64)
    for index, each in enumerate(ids):
        if not _SUBSCRIPTION.fullmatch(each):
            raise DocumentError(f"{fields.at('subscriptions')}[{index}]", "expected the id of a subscription")
    if fields.has("subscriptions") and not ids:
        raise DocumentError(fields.at("subscriptions"), "expected at least one")
    return ids


def _patterns(fields: Fields, name: str) -> tuple[str, ...]:
    patterns = fields.texts(name, most=MOST_PATTERNS, longest=LONGEST_PATTERN)
    for index, each in enumerate(patterns):
        if not each.strip():
            problem = f"expected a text of 1 to {LONGEST_PATTERN} characters"
            raise DocumentError(f"{fields.at(name)}[{index}]", problem)
    if fields.has(name) and not patterns:
        raise DocumentError(fields.at(name), "expected at least one; without any, leave the member out")
    return patterns


def _os(fields: Fields) -> str:
    if not fields.has("os"):
        return ""
    if fields.raw("os") not in _SYSTEMS:
        raise DocumentError(fields.at("os"), "expected one of " + ", ".join(_SYSTEMS))
    return str(fields.raw("os"))
