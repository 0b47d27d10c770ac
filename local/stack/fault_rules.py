"""Rules for the fault proxy: which requests are meant, and what happens to them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What happens to a request. Messages are put by POST; LOSE and HOLD are for those alone."""

    LOSE = "lose"
    """Answered as if the message were in the queue; it never gets there."""

    HOLD = "hold"
    """Answered as if the message were in the queue; it gets there when it is released."""

    DELAY = "delay"
    """Goes on after ``delay_s``."""

    DUPLICATE = "duplicate"
    """Goes on twice; the second answer counts."""

    REFUSE = "refuse"
    """Answered with ``status``, and does not go on."""

    RESET = "reset"
    """The connection breaks before the request goes on."""

    REFUSE_AFTER = "refuse-after"
    """Goes on, and is answered with ``status`` all the same."""

    RESET_AFTER = "reset-after"
    """Goes on, and the connection breaks before its answer comes."""

    TRUNCATE = "truncate"
    """Goes on, and the connection breaks in the middle of its answer's body."""


_AFTER = frozenset({Fault.REFUSE_AFTER, Fault.RESET_AFTER, Fault.TRUNCATE})
_INSTEAD_OF_PUTTING = frozenset({Fault.LOSE, Fault.HOLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a rule is about; what is left empty fits all.

    ``path`` is a part of the path, such as a queue's name. ``members`` are members of a message's JSON: of
    the one that is put, or, for what happens after the request, of one that is received.
    """

    method: str = ""
    path: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, method: str, path: str, messages: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a request is meant."""
        if self.method not in ("", method) or self.path not in path:
            return False
        return not self.members or any(self.members.items() <= message.items() for message in messages)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """Lets ``fault`` happen to the next ``times`` requests that fit (None: to all), each with ``chance``.

    A refusal has ``status``, and the header Retry-After if ``retry_after_s`` is given.
    """

    match: Match
    fault: Fault
    times: int | None = 1
    chance: float = 1.0
    delay_s: float = 0.0
    status: int = 503
    retry_after_s: int | None = None


class FaultRules:
    """The rules that act now, tried in the order of their making; a used-up rule is gone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._left: dict[Rule, int | None] = {}

    def add(self, rule: Rule) -> None:
        """Let a rule act from now on."""
        self._left[rule] = rule.times

    def remove(self, rule: Rule) -> None:
        """Take a rule back, if it is not used up."""
        self._left.pop(rule, None)

    def take(
        self, method: str, path: str, messages: Sequence[Mapping[str, Any]], *, after: bool
    ) -> Rule | None:
        """Give the first rule that fits, and count it as used; ``after``: the request has gone on already."""
        for rule, left in self._left.items():
            if (rule.fault in _AFTER) is not after or not rule.match.fits(method, path, messages):
                continue
            if rule.fault in _INSTEAD_OF_PUTTING and method != "POST":
                continue
            if self._random.random() >= rule.chance:
                continue
            if left == 1:
                del self._left[rule]
            elif left is not None:
                self._left[rule] = left - 1
            return rule
        return None
