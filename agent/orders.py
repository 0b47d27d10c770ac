"""What a command orders: its body, checked and typed."""

import re
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from agent.fields import LONGEST_MS, Body, body_of
from shared import protocol

#: For how long an agent answers repeated commands once its session is over, where `arm` does not say (ms).
DEFAULT_LINGER_MS = 15_000

ALL, NONE = "all", "none"

#: What `handlers` may name, and what stands for "whatever is found".
HANDLERS = ("postgresql", "mariadb", "mysql", "mongodb", "sqlserver", "services")
AUTO = "auto"
ANCHORS = ("vss", "btrfs", "lvm")

#: At most so many handlers make one quiesce: each is a process in the guest.
MOST_HANDLERS = 16

#: What becomes of a script that writes to stderr.
IGNORE, WARN, FAIL = "ignore", "warn", "fail"

#: A script is run again this often at most.
MOST_RETRIES = 10

_PIN = re.compile("[0-9a-f]{64}")
#: The name of a delivered script: its extension says how it is run.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class ScriptSpec(NamedTuple):
    """A script: one at ``path`` in the guest, or one called ``name`` that is delivered.

    A delivered one comes as ``content``, or from ``url``; nothing of it is run unless its SHA-256 is
    ``sha256`` (hex). ``timeout_ms`` bounds each run, ``retries`` says how often it is run again after one
    that failed, each time after ``retry_delay_ms``. ``accepted`` exit codes are a success, those of
    ``warning`` one with a warning; with ``ignore_exit_codes`` every other one is too. ``run_as``: a user of
    the guest; "" for the agent's own.
    """

    path: str
    arguments: Tuple[str, ...]
    timeout_ms: int
    content: str = ""
    url: str = ""
    sha256: str = ""
    name: str = ""
    environment: Tuple[Tuple[str, str], ...] = ()
    retries: int = 0
    retry_delay_ms: int = 0
    accepted: Tuple[int, ...] = (0,)
    warning: Tuple[int, ...] = ()
    ignore_exit_codes: bool = False
    ignore_missing: bool = False
    stderr: str = IGNORE
    run_as: str = ""

    @property
    def label(self) -> str:
        """Name it for people and acks: by its path, or by its name where it is delivered."""
        return self.path or self.name

    @property
    def total_ms(self) -> int:
        """Give how long all of its runs and the pauses between them may take."""
        return self.timeout_ms + self.retries * (self.timeout_ms + self.retry_delay_ms)


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


def _arm(members: Dict[str, Any]) -> Details:
    body = body_of(members)
    linger = body.duration("linger_ms") if "linger_ms" in members else DEFAULT_LINGER_MS
    return Arm(body.duration("budget_ms"), body.duration("session_ms"), linger)


def _quiesce(members: Dict[str, Any]) -> Details:
    body = body_of(members)
    filesystems = members.get("filesystems", ALL)
    if filesystems not in (ALL, NONE):
        raise protocol.Malformed("body.filesystems", "all or none")
    return Quiesce(
        body.duration("quiesce_timeout_ms"),
        body.duration("freeze_budget_ms"),
        _script(body, "pre_script"),
        _script(body, "post_script"),
        filesystems,
        *_handlers(body),
        _anchor(body),
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


def _script(body: Body, name: str) -> Optional[ScriptSpec]:
    if not body.has(name):
        return None
    script = Body(body.get(name), body.at(name))
    spec = ScriptSpec(
        path=script.text("path"),
        arguments=script.texts("arguments"),
        timeout_ms=script.duration("timeout_ms"),
        content=script.text("content"),
        url=script.text("url"),
        sha256=script.text("sha256"),
        name=script.text("name"),
        environment=script.table("environment"),
        retries=script.whole("retries", 0, MOST_RETRIES),
        retry_delay_ms=script.whole("retry_delay_ms", 0, LONGEST_MS),
        accepted=script.numbers("accepted_exit_codes", (0,)),
        warning=script.numbers("warning_exit_codes", ()),
        ignore_exit_codes=script.flag("ignore_exit_codes"),
        ignore_missing=script.flag("ignore_missing"),
        stderr=script.choice("stderr", (IGNORE, WARN, FAIL), IGNORE),
        run_as=script.text("run_as"),
    )
    _check_source(script, spec)
    for variable, _ in spec.environment:
        if not _VARIABLE.fullmatch(variable):
            raise protocol.Malformed(script.at("environment"), "names of letters, digits and _")
    return spec


def _check_source(script: Body, spec: ScriptSpec) -> None:
    """Refuse a script that comes from nowhere or from several places, or without its pin."""
    if sum(map(bool, (spec.path, spec.content, spec.url))) != 1:
        raise protocol.Malformed(script.path, "one of path, content and url")
    if spec.path:
        return
    if not _PIN.fullmatch(spec.sha256):
        raise protocol.Malformed(script.at("sha256"), "64 hexadecimal digits")
    if not _NAME.fullmatch(spec.name):
        raise protocol.Malformed(script.at("name"), "a file's name of letters, digits, . _ -")


def _handlers(body: Body) -> Tuple[Tuple[HandlerSpec, ...], bool]:
    """Read the handlers: a list, or "auto"."""
    value = body.get("handlers")
    if value is None:
        return (), False
    if value == AUTO:
        return (), True
    if not isinstance(value, list) or len(value) > MOST_HANDLERS:
        raise protocol.Malformed("body.handlers", "auto, or a list of at most {}".format(MOST_HANDLERS))
    return tuple(_handler(Body(item, "body.handlers[{}]".format(i))) for i, item in enumerate(value)), False


def _handler(handler: Body) -> HandlerSpec:
    return HandlerSpec(
        name=handler.choice("name", HANDLERS, ""),
        mode=handler.text("mode"),
        required=handler.flag("required", default=True),
        settings=handler.table("settings"),
    )


def _anchor(body: Body) -> Optional[AnchorSpec]:
    if not body.has("anchor"):
        return None
    anchor = Body(body.get("anchor"), body.at("anchor"))
    provider = anchor.choice("provider", ANCHORS, "")
    return AnchorSpec(provider, anchor.duration("lifetime_ms"), anchor.table("settings"))
