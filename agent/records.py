"""What session, dead-man and journal tell each other: frozen records, and their form in JSON.

Every record can be hashed and compared, so that the session can be checked exhaustively.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

SCRIPT, HANDLER, FILESYSTEM, VSS = "script", "handler", "filesystem", "vss"
PRE, POST = "pre", "post"
BY_ORDER, BY_DEAD_MAN, BY_AGENT, BY_RESTART = "order", "dead-man", "agent", "restart"


class Warning_(NamedTuple):  # noqa: N801 - the built-in has the name
    """What a person should see though nothing failed for it: a stable code, and a sentence."""

    kind: str
    name: str
    code: str
    detail: str


class ScriptResult(NamedTuple):
    """How a script ended. ``reason`` is "" where that is a success by its own rules, else a code.

    ``path``: where it lies in the guest, or the name of a delivered one. ``started`` is False where it was
    refused before anything ran. ``output`` is bounded, and the last run's; ``duration_ms`` is that of all
    ``attempts`` and the pauses between them.
    """

    path: str
    started: bool
    exit_code: Optional[int]
    timed_out: bool
    duration_ms: int
    output: str
    reason: str
    attempts: int = 1
    warnings: Tuple[Warning_, ...] = ()


class ScriptUser(NamedTuple):
    """A user of the guest as whom a script runs, found while nothing was held."""

    name: str
    uid: int
    gid: int
    groups: Tuple[int, ...]
    home: str
    shell: str


class Hold(NamedTuple):
    """Something that holds still: a script's or a handler's application, a filesystem, an anchor's volume.

    ``mode`` says what a handler's hold rests on (``frozen``, ``drained``, ``stopped``, ``halted``), and is
    ``anchor`` for what an in-guest snapshot covers. ``took_ms``: how long it took to hold it, where somebody
    measured it.
    """

    kind: str
    name: str
    mode: str = ""
    took_ms: Optional[int] = None


class NotHeld(NamedTuple):
    """Something that goes on writing, and the code of the reason."""

    kind: str
    name: str
    reason: str


class Evidence(NamedTuple):
    """What the release of one hold showed.

    ``whole``: it had been held without a gap until this release; for a filesystem the kernel says so (FITHAW
    succeeds only on one that is still frozen). ``released``: it holds no write any more. ``held_ms``: for how
    long it was held, where somebody measured it.
    """

    kind: str
    name: str
    whole: bool
    released: bool = True
    detail: str = ""
    held_ms: Optional[int] = None


class Failure(NamedTuple):
    """Why quiescing failed: a stable code, and a sentence for people."""

    reason: str
    detail: str


class Ready(NamedTuple):
    """Facts of a `ready` ack. ``locked``: the dead-man's memory cannot be swapped out."""

    armed: bool
    locked: bool


class Quiesced(NamedTuple):
    """Facts of a `quiesced` ack. ``anchored``: the instant lies in an anchor, and the applications go on."""

    locked: bool
    held: Tuple[Hold, ...]
    not_held: Tuple[NotHeld, ...]
    quiesce_ms: int
    budget_left_ms: int
    script: Optional[ScriptResult]
    anchored: bool = False
    warnings: Tuple[Warning_, ...] = ()


class QuiesceFailed(NamedTuple):
    """Facts of a `quiesce_failed` ack."""

    failure: Failure
    released: bool = True
    window_ms: int = 0
    script: Optional[ScriptResult] = None
    post_script: Optional[ScriptResult] = None
    warnings: Tuple[Warning_, ...] = ()


class Resumed(NamedTuple):
    """Facts of a `resumed` ack.

    ``clock_jump_ms``: how far the wall clock moved against the monotonic one between quiesce and release;
    negative if it was set back.
    """

    released_by: str
    held_until_order: bool = False
    held: Tuple[Evidence, ...] = ()
    window_ms: int = 0
    script: Optional[ScriptResult] = None
    clock_jump_ms: int = 0
    warnings: Tuple[Warning_, ...] = ()


class Released(NamedTuple):
    """Facts of a `released` ack."""

    was_held: bool


Facts = Union[Ready, Quiesced, QuiesceFailed, Resumed, Released]


class Answer(NamedTuple):
    """An ack before it is written: ``sequence`` is its own, ``answers`` the command's (0: unsolicited)."""

    kind: str
    saga: str
    generation: int
    sequence: int
    answers: int
    facts: Facts


class UnreadableRecord(Exception):
    """A stored record ``name`` is not one of this version's; ``detail`` says why."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__("record {!r}: {}".format(name, detail))
        self.name = name
        self.detail = detail


_TYPE = "_"


def types_of(module: Any) -> Dict[str, Any]:
    """Give the records that ``module`` knows, by name, for ``from_json``."""
    found = vars(module).items()
    return {name: value for name, value in found if isinstance(value, type) and hasattr(value, "_fields")}


def to_json(value: Any) -> Any:
    """Turn records, nested at will, into what ``json`` writes; a record keeps its type's name."""
    if hasattr(value, "_fields"):
        document = {name: to_json(getattr(value, name)) for name in value._fields}
        document[_TYPE] = type(value).__name__
        return document
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def from_json(value: Any, types: Dict[str, Any]) -> Any:
    """Turn back what ``to_json`` made, with records of ``types``.

    Raises:
        UnreadableRecord: a record is of an unknown type or has other members, as after an upgrade.
    """
    if isinstance(value, list):
        return tuple(from_json(item, types) for item in value)
    if not isinstance(value, dict):
        return value
    members = {key: from_json(item, types) for key, item in value.items() if key != _TYPE}
    name = str(value.get(_TYPE))
    if name not in types:
        raise UnreadableRecord(name, "no such record")
    try:
        return types[name](**members)
    except TypeError as error:
        raise UnreadableRecord(name, str(error)) from None
