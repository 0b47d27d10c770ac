"""Settings that are right each by itself but not together, in every combination that can arise.

Which layers apply to a VM is known only when it is read: its tags decide. A rule looks at a few settings, and
what each of them comes to is said by the last layer that says it. So, whatever tags a VM has, one that has
only the tags of those few layers comes to the same. That leaves few enough sets of tags to try them all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from shared.policy.awareness import aware, kept_all_the_same, never_consistent
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import (
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    OnGuestFailure,
)
from shared.policy.layers import Layer

SYSTEMS = ("linux", "windows")


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer, and where its settings stand in the document."""

    at: str
    layer: Layer


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of ``settings`` together; ``broken`` says how it does not on a system, or nothing.

    ``blamed`` is the setting that the error names. It is broken only where something says each value of
    ``needs``, so that most documents need no look at their combinations.
    """

    settings: frozenset[str]
    blamed: str
    broken: Callable[[GuestProcessing, str], str]
    needs: tuple[tuple[str, object], ...] = ()

    def may_be_broken(self, base: GuestProcessing, layers: Sequence[Placed]) -> bool:
        """Whether the settings and layers have all that this takes."""
        said = (base, *(placed.layer.changes for placed in layers))
        return all(any(getattr(one, name) == value for one in said) for name, value in self.needs)


def _times(settings: GuestProcessing, _os: str) -> str:
    if settings.quiesce_timeout_ms < settings.freeze_budget_ms:
        return ""
    default = GuestProcessing().quiesce_timeout_ms
    hint = f" (by default {default})" if settings.quiesce_timeout_ms == default else ""
    return f"must be less than freeze_budget_ms ({settings.freeze_budget_ms}){hint}"


def _scripts(settings: GuestProcessing, _os: str) -> str:
    if settings.pre_script and not settings.post_script:
        return "missing: what the pre-script stops must be started"
    return ""


def _resuming(settings: GuestProcessing, _os: str) -> str:
    """The guest says that it has resumed when its post-script has ended: later, nobody listens."""
    post = settings.post_script
    if post is None or post.total_ms < settings.resume_timeout_ms:
        return ""
    return (
        f"must be more than post_script may take with its retries ({post.total_ms}): the guest says only "
        "then that it was held until the order"
    )


def _something(settings: GuestProcessing, _os: str) -> str:
    settings = aware(settings)
    holds = settings.pre_script or settings.handlers or settings.detect_handlers or settings.anchor
    if settings.enabled and settings.filesystems is Filesystems.NONE and not holds:
        return "nothing would be held: no filesystem, script, handler or anchor; set enabled to false instead"
    return ""


#: ``handlers`` stands for ``detect_handlers`` too: whoever says the one says the other.
_HOLDING = frozenset({"enabled", "filesystems", "pre_script", "handlers", "anchor", "application_aware"})
_REQUIRED = (("application_aware", ApplicationAware.REQUIRE),)

RULES = (
    Rule(frozenset({"quiesce_timeout_ms", "freeze_budget_ms"}), "quiesce_timeout_ms", _times),
    Rule(frozenset({"pre_script", "post_script"}), "post_script", _scripts),
    Rule(frozenset({"post_script", "resume_timeout_ms"}), "resume_timeout_ms", _resuming),
    Rule(_HOLDING, "filesystems", _something, needs=(("filesystems", Filesystems.NONE),)),
    Rule(
        frozenset({"enabled", "application_aware", "on_guest_failure"}),
        "on_guest_failure",
        kept_all_the_same,
        needs=(*_REQUIRED, ("on_guest_failure", OnGuestFailure.CONTINUE)),
    ),
    Rule(_HOLDING, "application_aware", never_consistent, needs=_REQUIRED),
)


def check(at: str, base: GuestProcessing, layers: Sequence[Placed], vms: Sequence[str]) -> None:
    """Check the settings at ``at`` in a document, with all their layers, for every one of ``vms``.

    Raises:
        DocumentError: names the setting, where the last layer stands that made it so.
    """
    rules = [rule for rule in RULES if rule.may_be_broken(base, layers)]
    for names in dict.fromkeys(rule.settings for rule in rules):
        of_these = [rule for rule in rules if rule.settings == names]
        for os, applied in _combinations(names, layers, vms):
            settings = base
            for placed in applied:
                settings = placed.layer.changes.on(settings)
            for rule in of_these:
                problem = rule.broken(settings, os)
                if problem:
                    raise DocumentError(*_told(at, rule, os, applied, problem))


def first_broken(
    rule: Rule, base: GuestProcessing, layers: Sequence[Placed], vms: Sequence[str], system: str
) -> str:
    """Say how a rule is broken for some VM of this system, and by which layers; empty where it is not."""
    for os, applied in _combinations(rule.settings, layers, vms):
        settings = base
        for placed in applied:
            settings = placed.layer.changes.on(settings)
        problem = rule.broken(settings, os) if os == system else ""
        if problem and applied:
            return f"{problem} (for a VM with {os}, by {', '.join(each.at for each in applied)})"
        if problem:
            return problem
    return ""


def _combinations(
    settings: frozenset[str], layers: Sequence[Placed], vms: Sequence[str]
) -> Iterator[tuple[str, tuple[Placed, ...]]]:
    """Give each system with the layers that change the settings, in every way that they can come together."""
    touching = [placed for placed in layers if placed.layer.changes.settings & settings]
    seen: set[tuple[str, tuple[int, ...]]] = set()
    for vm in vms or ("",):
        mine = [number for number, placed in enumerate(touching) if placed.layer.fits_vm(vm)]
        for os in SYSTEMS:
            here = tuple(number for number in mine if touching[number].layer.os in ("", os))
            if (os, here) not in seen:
                seen.add((os, here))
                for chosen in _sets([touching[number] for number in here], len(settings)):
                    yield os, chosen


def _sets(placed: Sequence[Placed], most: int) -> Iterator[tuple[Placed, ...]]:
    """Give the layers that apply together to some VM, for the tags of up to ``most`` of them."""
    wants = [{(name.lower(), value) for name, value in each.layer.tags} for each in placed]
    given: set[tuple[Placed, ...]] = set()
    for size in range(min(most, len(placed)) + 1):
        for some in combinations([want for want in wants if want], size):
            tags = set[tuple[str, str]]().union(*some)
            if len({name for name, _ in tags}) < len(tags):
                continue  # no VM has two values of one tag
            applied = tuple(each for each, want in zip(placed, wants, strict=True) if want <= tags)
            if applied not in given:
                given.add(applied)
                yield applied


def _told(at: str, rule: Rule, os: str, applied: Sequence[Placed], problem: str) -> tuple[str, str]:
    if not applied:
        return f"{at}.{rule.blamed}", problem
    *others, last = [each.at for each in applied]
    together = f", together with {', '.join(others)}" if others else ""
    return f"{last}.{rule.blamed}", f"{problem} (for a VM with {os}{together})"
