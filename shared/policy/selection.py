"""Which VMs a policy is for: rules that are matched against what Azure lists at each run.

A VM is selected by an id that names it or by a rule of ``include``, unless a rule of ``exclude`` is about it:
exclusions win, whatever the order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shared.policy.tag_expressions import TagExpression

#: The VM's own tag by which it can be left out, where the policy lets tags say so.
EXCLUDE_TAG = "stillframe:exclude"

#: What selects a VM that is named by its id.
BY_ID = "vms"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSummary:
    """What rules look at. ``tags`` are the VM's own; their names are compared without regard to case."""

    id: str
    name: str
    resource_group: str
    subscription: str
    location: str = ""
    os: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def by_tag(self) -> Mapping[str, str]:
        """The tags with their names in small letters."""
        return {name.lower(): value for name, value in self.tags}


def summary_of_id(vm_id: str) -> VmSummary:
    """Give all that the id of a VM says."""
    parts = vm_id.split("/")
    return VmSummary(id=vm_id, name=parts[8], resource_group=parts[4], subscription=parts[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRule:
    """VMs for which all is true: one of each list that is not empty, the system, the tags.

    Names and groups are patterns with ``*``, ``?`` and ``[...]``. No case matters but that of tags' values.
    ``at`` is where the rule stands in its document.
    """

    at: str
    vms: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    resource_groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    os: str = ""
    tags: TagExpression | None = None

    @property
    def needs_more_than_the_id(self) -> bool:
        """Whether Azure has to be asked before it is known what this rule is about."""
        return bool(self.locations or self.os or self.tags)

    def fits(self, vm: VmSummary) -> bool:
        """Whether the rule is about this VM."""
        return (
            _one_of(vm.id, self.vms)
            and _one_of(vm.subscription, self.subscriptions)
            and _fits_one(vm.resource_group, self.resource_groups)
            and _fits_one(vm.name, self.names)
            and _one_of(vm.location, self.locations)
            and (not self.os or vm.os.lower() == self.os)
            and (self.tags is None or self.tags.holds(vm.by_tag))
        )


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What is listed in one go: a subscription, or one resource group of it. Both in small letters."""

    subscription: str
    group: str = ""

    def text(self) -> str:
        """Give the path of the scope in Azure."""
        return f"/subscriptions/{self.subscription}" + (f"/resourceGroups/{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a VM is selected; ``rule`` is the place in the document that decided, empty when none did."""

    selected: bool
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The VMs named one by one (``vms``), those of a rule of ``include``, without those of ``exclude``.

    ``by_tag``: a VM may be left out by its own tag ``stillframe:exclude``. ``look_up``: more has to be known
    of the VMs that are named one by one than their ids, whatever selects them. ``by_priority``: their own tag
    ``stillframe:priority`` is needed, so Azure is asked about these, too.
    """

    vms: tuple[str, ...] = ()
    include: tuple[VmRule, ...] = ()
    exclude: tuple[VmRule, ...] = ()
    by_tag: bool = False
    look_up: bool = False
    by_priority: bool = False

    @property
    def is_a_list(self) -> bool:
        """Whether the document alone says which VMs these are."""
        return not self.include and not self._asks_about_named

    @property
    def _asks_about_named(self) -> bool:
        more = self.by_tag or self.look_up or self.by_priority
        return more or any(rule.needs_more_than_the_id for rule in self.exclude)

    def listed(self) -> tuple[str, ...]:
        """Give the VMs named one by one that no exclusion is about, as far as their ids say."""
        return tuple(vm for vm in self.vms if self.judge(summary_of_id(vm)).selected)

    def judge(self, vm: VmSummary) -> Verdict:
        """Say whether a VM is selected, and by what."""
        for rule in self.exclude:
            if rule.fits(vm):
                return Verdict(selected=False, rule=rule.at)
        if self.by_tag and excluded_by_tag(vm.by_tag):
            return Verdict(selected=False, rule=EXCLUDE_TAG)
        if vm.id.lower() in {named.lower() for named in self.vms}:
            return Verdict(selected=True, rule=BY_ID)
        for rule in self.include:
            if rule.fits(vm):
                return Verdict(selected=True, rule=rule.at)
        return Verdict(selected=False)

    def scopes(self, *, named: bool = False) -> tuple[Scope, ...]:
        """Give what has to be listed, in the order of the names: nothing twice, as little as is enough.

        ``named``: also what shows the tags of VMs that are named one by one.
        """
        wanted = {scope for rule in self.include for scope in _scopes_of(rule)}
        if named or self._asks_about_named:
            wanted |= {_scope_of_id(vm) for vm in self.vms}
        whole = {scope.subscription for scope in wanted if not scope.group}
        return tuple(sorted(scope for scope in wanted if not scope.group or scope.subscription not in whole))


def rule_number(selected_by: str) -> int:
    """Give the place among the rules of ``include`` by which a VM was selected; -1 where its id named it."""
    number = selected_by.removeprefix("selection.include[").removesuffix("]")
    return int(number) if number.isdecimal() else -1


def excluded_by_tag(tags: Mapping[str, str]) -> bool:
    """Whether tags (names in small letters) say that their VM is left out: ``stillframe:exclude`` is true."""
    return tags.get(EXCLUDE_TAG, "").lower() == "true"


def unclear_tag(tags: Mapping[str, str]) -> str:
    """Give the value of ``stillframe:exclude`` where it says neither true nor false; else nothing."""
    value = tags.get(EXCLUDE_TAG, "false")
    return "" if value.lower() in ("true", "false") else value or "(empty)"


def _scopes_of(rule: VmRule) -> Iterable[Scope]:
    """Give a rule's groups where it names them outright, its whole subscriptions where it does not."""
    plain = rule.resource_groups and not any(set(group) & set("*?[") for group in rule.resource_groups)
    for subscription in rule.subscriptions:
        for group in rule.resource_groups if plain else ("",):
            yield Scope(subscription.lower(), group.lower())


def _scope_of_id(vm_id: str) -> Scope:
    vm = summary_of_id(vm_id)
    return Scope(vm.subscription.lower(), vm.resource_group.lower())


def _one_of(value: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or value.lower() in {each.lower() for each in wanted}


def _fits_one(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value.lower(), pattern.lower()) for pattern in patterns)
