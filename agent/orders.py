"""What a command orders: its body, checked and typed."""

from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from shared import protocol

#: For how long an agent answers repeated commands once its session is over, where `arm` does not say (ms).
DEFAULT_LINGER_MS = 15_000

#: No time in a command may be longer than a day (ms).
LONGEST_MS = 24 * 60 * 60 * 1000

ALL, NONE = "all", "none"

#: What `handlers` may name, and what stands for "whatever is found".
HANDLERS = ("postgresql", "mariadb", "mysql", "mongodb", "sqlserver", "services")
AUTO = "auto"
ANCHORS = ("vss", "btrfs", "lvm")

#: At most so many handlers make one quiesce: each is a process in the guest.
MOST_HANDLERS = 16


class ScriptSpec(NamedTuple):
    """A script in the guest: absolute path, arguments, time-out in ms."""

    path: str
    arguments: Tuple[str, ...]
    timeout_ms: int


class Arm(NamedTuple):
    """Be ready: the session ends by itself after ``session_ms``, or ``linger_ms`` after its last result."""

    budget_ms: int
    session_ms: int
    linger_ms: int


class HandlerSpec(NamedTuple):
    """An application to hold. ``mode`` "" is the handler's default.

    ``required``: quiescing fails without it; otherwise it is told of and left.
    """

    name: str
    mode: str = ""
    required: bool = True
    settings: Tuple[Tuple[str, str], ...] = ()


class AnchorSpec(NamedTuple):
    """An in-guest snapshot as the instant; it is deleted after ``lifetime_ms`` at the latest."""

    provider: str
    lifetime_ms: int
    settings: Tuple[Tuple[str, str], ...] = ()


class Quiesce(NamedTuple):
    """Make the applications hold still, within ``quiesce_timeout_ms``, for ``freeze_budget_ms`` at most.

    ``detect``: hold every application that is found, as far as that can be done.
    """

    quiesce_timeout_ms: int
    freeze_budget_ms: int
    pre_script: Optional[ScriptSpec]
    post_script: Optional[ScriptSpec]
    filesystems: str
    handlers: Tuple[HandlerSpec, ...] = ()
    detect: bool = False
    anchor: Optional[AnchorSpec] = None


class Resume(NamedTuple):
    """Let the applications go on."""

    why: str = ""


class Release(NamedTuple):
    """End the session; let go first whatever is still held."""

    why: str = ""


Details = Union[Arm, Quiesce, Resume, Release]


class Order(NamedTuple):
    """A command whose signature and body were found right."""

    kind: str
    saga: str
    generation: int
    sequence: int
    details: Details


def parse(command: protocol.Command) -> Order:
    """Check and type the body of ``command``.

    Raises:
        protocol.Malformed: a member is missing or of the wrong kind.
    """
    details = _PARSERS[command.kind](command.body)
    return Order(command.kind, command.saga, command.generation, command.sequence, details)


def _arm(body: Dict[str, Any]) -> Details:
    linger = _duration(body, "linger_ms") if "linger_ms" in body else DEFAULT_LINGER_MS
    return Arm(_duration(body, "budget_ms"), _duration(body, "session_ms"), linger)


def _quiesce(body: Dict[str, Any]) -> Details:
    filesystems = body.get("filesystems", ALL)
    if filesystems not in (ALL, NONE):
        raise protocol.Malformed("body.filesystems", "all or none")
    return Quiesce(
        _duration(body, "quiesce_timeout_ms"),
        _duration(body, "freeze_budget_ms"),
        _script(body, "pre_script"),
        _script(body, "post_script"),
        filesystems,
        *_handlers(body.get("handlers")),
        _anchor(body.get("anchor")),
    )


def _resume(_body: Dict[str, Any]) -> Details:
    return Resume()


def _release(body: Dict[str, Any]) -> Details:
    return Release(str(body.get("why", "")))


_PARSERS = {
    protocol.ARM: _arm,
    protocol.QUIESCE: _quiesce,
    protocol.RESUME: _resume,
    protocol.RELEASE: _release,
}


def _script(body: Dict[str, Any], name: str) -> Optional[ScriptSpec]:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise protocol.Malformed("body." + name, "a script or null")
    path, arguments = value.get("path"), value.get("arguments", [])
    if not isinstance(path, str) or not path or "\0" in path:
        raise protocol.Malformed("body." + name + ".path", "a path")
    if not isinstance(arguments, list) or any(not isinstance(a, str) or "\0" in a for a in arguments):
        raise protocol.Malformed("body." + name + ".arguments", "a list of texts")
    return ScriptSpec(path, tuple(arguments), _duration(value, "timeout_ms", "body." + name + "."))


def _handlers(value: Any) -> Tuple[Tuple[HandlerSpec, ...], bool]:
    """Read the handlers: a list, or "auto"."""
    if value is None:
        return (), False
    if value == AUTO:
        return (), True
    if not isinstance(value, list) or len(value) > MOST_HANDLERS:
        raise protocol.Malformed("body.handlers", "auto, or a list of at most {}".format(MOST_HANDLERS))
    return tuple(_handler(item, "body.handlers[{}]".format(i)) for i, item in enumerate(value)), False


def _handler(value: Any, where: str) -> HandlerSpec:
    if not isinstance(value, dict):
        raise protocol.Malformed(where, "a handler")
    name, mode = value.get("name"), value.get("mode", "")
    if name not in HANDLERS:
        raise protocol.Malformed(where + ".name", "one of " + ", ".join(HANDLERS))
    if not isinstance(mode, str):
        raise protocol.Malformed(where + ".mode", "a text")
    required = value.get("required", True)
    if not isinstance(required, bool):
        raise protocol.Malformed(where + ".required", "true or false")
    return HandlerSpec(name, mode, required, _settings(value, where))


def _anchor(value: Any) -> Optional[AnchorSpec]:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("provider") not in ANCHORS:
        raise protocol.Malformed("body.anchor.provider", "one of " + ", ".join(ANCHORS))
    lifetime = _duration(value, "lifetime_ms", "body.anchor.")
    return AnchorSpec(value["provider"], lifetime, _settings(value, "body.anchor"))


def _settings(value: Dict[str, Any], where: str) -> Tuple[Tuple[str, str], ...]:
    found = value.get("settings", {})
    texts = isinstance(found, dict) and all(isinstance(v, str) and "\0" not in v for v in found.values())
    if not texts:
        raise protocol.Malformed(where + ".settings", "an object of texts")
    return tuple(sorted(found.items()))


def _duration(body: Dict[str, Any], name: str, prefix: str = "body.") -> int:
    value = body.get(name)
    if type(value) is not int or not 0 < value <= LONGEST_MS:
        raise protocol.Malformed(prefix + name, "whole ms from 1 to {}".format(LONGEST_MS))
    return value
