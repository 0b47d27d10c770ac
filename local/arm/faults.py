"""Rules that make the simulator misbehave, a given number of times each."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class InvalidFaultError(ValueError):
    """A fault rule cannot be used; `field` names the member."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name}: {reason}")
        self.field = field_name
        self.reason = reason


class Drop(StrEnum):
    """When the connection breaks: before the request took effect, or after it (only the answer is lost)."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a request that fits `method` and `path_contains` (None and "" fit all).

    `delay_ms` comes first. Then `drop`, or an answer with `status`, or the request goes on; if it starts an
    operation, `operation_fails` (code, message) makes that end as Failed with nothing done.
    """

    method: str | None = None
    path_contains: str = ""
    delay_ms: int = 0
    drop: Drop | None = None
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    operation_fails: tuple[str, str] | None = None

    def fits(self, method: str, path: str) -> bool:
        """Tell whether this rule is about the request; paths are compared without regard to case."""
        return self.method in {None, method} and self.path_contains.lower() in path.lower()


class FaultRules:
    """The rules of one world, tried in the order of their making; a used-up rule is gone."""

    def __init__(self) -> None:
        self._rules: list[tuple[Fault, int]] = []

    def add(self, fault: Fault, times: int = 1) -> None:
        """Let a fault happen to the next `times` requests that fit it."""
        self._rules.append((fault, times))

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault that fits the request and count it as used."""
        for index, (fault, times) in enumerate(self._rules):
            if fault.fits(method, path):
                self._rules[index : index + 1] = [(fault, times - 1)] if times > 1 else []
                return fault
        return None

    def remaining(self) -> int:
        """Return how many faults are still to happen."""
        return sum(times for _, times in self._rules)


_MEMBERS = {"match", "times", "delay_ms", "drop", "status", "body", "headers", "operation_fails"}


def fault_from_json(value: Any) -> tuple[Fault, int]:
    """Read a fault and its number of times; raises `InvalidFaultError`."""
    if not isinstance(value, dict):
        raise InvalidFaultError("fault", "must be an object")
    for name in value:
        if name not in _MEMBERS:
            raise InvalidFaultError(name, "is unknown")
    match = value.get("match", {})
    if not isinstance(match, dict) or not set(match) <= {"method", "path_contains"}:
        raise InvalidFaultError("match", "may have method and path_contains")
    headers = value.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(text, str) for text in headers.values()):
        raise InvalidFaultError("headers", "must have texts as values")
    fault = Fault(
        method=match.get("method"),
        path_contains=match.get("path_contains", ""),
        delay_ms=_number(value, "delay_ms", default=0, least=0) or 0,
        drop=_drop(value.get("drop")),
        status=_number(value, "status", default=None, least=200),
        body=value.get("body"),
        headers=headers,
        operation_fails=_failure(value.get("operation_fails")),
    )
    return fault, _number(value, "times", default=1, least=1) or 1


def _number(rule: dict[str, Any], name: str, *, default: int | None, least: int) -> int | None:
    number = rule.get(name, default)
    if number is not None and (not isinstance(number, int) or number < least):
        raise InvalidFaultError(name, f"must be a whole number of at least {least}")
    return number


def _drop(value: Any) -> Drop | None:
    if value is None:
        return None
    if value not in {"before", "after"}:
        raise InvalidFaultError("drop", "must be before or after")
    return Drop(value)


def _failure(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"code", "message"}:
        raise InvalidFaultError("operation_fails", "must have code and message")
    return str(value["code"]), str(value["message"])
