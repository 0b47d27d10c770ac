"""What a VM's own tags (``stillframe:*``) say of it, where its policy lets them (``allow_tags``).

They lie over the policy's settings and overrides, and under those of a schedule. No tag brings a script, a
user or a path, none holds an application for longer than the policy does. One that cannot be used is told,
and the policy's own setting goes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from shared.policy.awareness import aware
from shared.policy.combinations import RULES, Rule
from shared.policy.guest_processing import ApplicationAware, GuestProcessing, OnGuestFailure
from shared.policy.layers import Changes, Layer, Tags, resolve

PREFIX = "stillframe:"

EXCLUDE = "exclude"
PRIORITY = "priority"

#: Who has no priority of its own has this one; 1 comes first.
USUAL_PRIORITY = 50
LAST_PRIORITY = 100

#: The bounds of ``freeze_budget_ms`` in a policy (ms).
_LEAST_BUDGET_MS, _MOST_BUDGET_MS = 2_000, 300_000

#: The longest part of a tag's value, at most 256 characters in Azure, that is told.
_LONGEST_TOLD = 60


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said of a tag. ``wrong``: whoever wrote it wanted something, and should look at it."""

    tag: str
    code: str
    sentence: str
    wrong: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """The guest processing of a VM, what its tags are told, and its priority."""

    guest: GuestProcessing
    remarks: tuple[Remark, ...] = ()
    priority: int = USUAL_PRIORITY


class _Unusable(Exception):
    """A value that says nothing; ``expected`` is what would."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class _Switch(StrEnum):
    ON = "on"
    OFF = "off"


class _Truth(StrEnum):
    TRUE = "true"
    FALSE = "false"


def _enabled(value: str, _settings: GuestProcessing) -> Changes:
    return Changes(enabled=_word(value, _Switch) is _Switch.ON)


def _aware(value: str, _settings: GuestProcessing) -> Changes:
    word = _word(value, ApplicationAware)
    required = word is ApplicationAware.REQUIRE
    return Changes(application_aware=word, on_guest_failure=OnGuestFailure.FAIL if required else None)


def _on_failure(value: str, _settings: GuestProcessing) -> Changes:
    return Changes(on_guest_failure=_word(value, OnGuestFailure))


def _budget(value: str, settings: GuestProcessing) -> Changes:
    """Shorten the freeze budget, and what making the applications hold still may take of it."""
    budget = _whole(value, _LEAST_BUDGET_MS, _MOST_BUDGET_MS)
    if budget > settings.freeze_budget_ms:
        raise _Unusable(f"at most {settings.freeze_budget_ms}: a tag can only shorten the freeze budget")
    quiesce = min(settings.quiesce_timeout_ms, budget * 2 // 3)
    return Changes(freeze_budget_ms=budget, quiesce_timeout_ms=quiesce)


#: The tags that change guest processing, in the order in which they are put on.
_CHANGES: Mapping[str, Callable[[str, GuestProcessing], Changes]] = {
    "guest-processing": _enabled,
    "application-aware": _aware,
    "on-guest-failure": _on_failure,
    "freeze-budget-ms": _budget,
}

#: What ``allow_tags`` may name.
OWN_TAGS = (EXCLUDE, *_CHANGES, PRIORITY)


def settle(
    base: GuestProcessing,
    layers: Sequence[Layer],
    os: str,
    tags: Tags,
    allowed: Sequence[str],
    *,
    rules: Sequence[Rule] = (),
    azure_can: bool = False,
) -> Settled:
    """Give the guest processing of a VM of this system (``linux``, ``windows``) with these tags.

    ``layers`` are those of this VM (``for_vm``), ``allowed`` the names that the policy's ``allow_tags`` has,
    ``rules`` what else must hold of this VM (``rules_of_members``), ``azure_can`` is that of ``aware``. A
    tag whose setting does not fit the others is left out, so that what comes of them always fits.
    """
    under = resolve(base, [layer for layer in layers if not layer.over_tags], os, tags)
    over = [layer for layer in layers if layer.over_tags]
    own = own_tags(tags)
    used: list[tuple[str, Changes]] = []
    remarks = list(_strange(own, allowed))

    def with_tags(changes: Sequence[tuple[str, Changes]]) -> GuestProcessing:
        settings = under
        for _, each in changes:
            settings = each.on(settings)
        return resolve(settings, over, os, tags)

    kept = [rule for rule in (*RULES, *rules) if not rule.broken(with_tags(()), os.lower())]
    for name, read in _CHANGES.items():
        if name not in own or name not in allowed:
            continue
        try:
            change = read(own[name], with_tags(used))
        except _Unusable as error:
            remarks.append(_bad(name, own[name], error.expected))
            continue
        problem = _broken(kept, with_tags([*used, (name, change)]), os)
        if problem:
            remarks.append(_unfit(name, own[name], problem))
        else:
            used.append((name, change))
    settings = with_tags(used)
    remarks += [
        _overruled(name, own[name], why) for name, change in used if (why := _why_overruled(change, settings))
    ]
    remarks += _misread(own, allowed)
    return Settled(
        aware(settings, azure_can=azure_can),
        tuple(remarks),
        priority_of(tags) if PRIORITY in allowed else USUAL_PRIORITY,
    )


def own_tags(tags: Tags) -> Mapping[str, str]:
    """Give the tags that are meant for this app, by their short names in small letters."""
    small = ((name.lower(), value) for name, value in tags)
    return {name.removeprefix(PREFIX): value for name, value in small if name.startswith(PREFIX)}


def priority_of(tags: Tags) -> int:
    """Give the priority of a VM with these tags: 1 comes first."""
    value = own_tags(tags).get(PRIORITY)
    try:
        return USUAL_PRIORITY if value is None else _whole(value, 1, LAST_PRIORITY)
    except _Unusable:
        return USUAL_PRIORITY


def _strange(own: Mapping[str, str], allowed: Sequence[str]) -> Iterator[Remark]:
    """Tell of tags that count for nothing: the policy does not let them, or nobody knows them."""
    for name in sorted(own):
        tag = PREFIX + name
        if name in allowed or (name == EXCLUDE and own[name].strip().lower() == _Truth.FALSE):
            continue
        if name in OWN_TAGS:
            sentence = f"its tag {tag} does not count: allow_tags of the policy does not have {name}"
            yield Remark(tag, "not_allowed", sentence, wrong=False)
        else:
            near = get_close_matches(name, OWN_TAGS, n=1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(OWN_TAGS)}"
            yield Remark(tag, "unknown_tag", f"its tag {tag[:_LONGEST_TOLD]} is none that is known; {hint}")


def _misread(own: Mapping[str, str], allowed: Sequence[str]) -> Iterator[Remark]:
    """Tell of values that say nothing, of tags that do not change guest processing."""
    kinds: Mapping[str, Callable[[str], object]] = {
        EXCLUDE: lambda value: _word(value, _Truth),
        PRIORITY: lambda value: _whole(value, 1, LAST_PRIORITY),
    }
    for name, read in kinds.items():
        if name in own and name in allowed:
            try:
                read(own[name])
            except _Unusable as error:
                yield _bad(name, own[name], error.expected)


def _why_overruled(change: Changes, settings: GuestProcessing) -> str:
    """Say why a tag that fits has no effect all the same; empty where it has."""
    if change.enabled is None and not settings.enabled:
        return "guest processing is off"
    return "" if change.on(settings) == settings else "the schedule of this run says otherwise"


def _broken(rules: Sequence[Rule], settings: GuestProcessing, os: str) -> str:
    for rule in rules:
        problem = rule.broken(settings, os.lower())
        if problem:
            return f"{rule.blamed}: {problem}" if rule.blamed else problem
    return ""


def _word[E: StrEnum](value: str, kind: type[E]) -> E:
    try:
        return kind(value.strip().lower())
    except ValueError:
        raise _Unusable("one of " + ", ".join(kind)) from None


def _whole(value: str, least: int, most: int) -> int:
    digits = value.strip()
    if not re.fullmatch(r"[0-9]{1,9}", digits) or not least <= int(digits) <= most:
        raise _Unusable(f"a whole number from {least} to {most}")
    return int(digits)


def _said(name: str, value: str) -> str:
    return f"its tag {PREFIX}{name} says {value[:_LONGEST_TOLD]!r}"


def _bad(name: str, value: str, expected: str) -> Remark:
    usual = "the VM stays in" if name == EXCLUDE else "what the policy says goes"
    return Remark(PREFIX + name, "bad_tag", f"{_said(name, value)}, expected {expected}; {usual}")


def _unfit(name: str, value: str, problem: str) -> Remark:
    sentence = f"{_said(name, value)}, which does not fit the rest ({problem}); what the policy says goes"
    return Remark(PREFIX + name, "tag_does_not_fit", sentence)


def _overruled(name: str, value: str, why: str) -> Remark:
    return Remark(
        PREFIX + name, "overruled", f"{_said(name, value)}, which has no effect: {why}", wrong=False
    )
