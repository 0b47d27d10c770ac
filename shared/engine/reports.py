"""From the bodies of acks to the saga's events. A body that does not fit is rejected by name of the field."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.protocol import (
    QUIESCE_FAILED,
    QUIESCED,
    READY,
    RELEASED,
    RESUMED,
    Ack,
    Malformed,
)
from shared.saga.events import AgentReady, Event, Quiesced, QuiesceFailed, Released, Resumed
from shared.saga.evidence import (
    GuestWarning,
    Held,
    HeldUntil,
    NotHeld,
    QuiesceReport,
    ResumeReport,
    ScriptReport,
)

#: Longer texts of a guest are cut: they end up in table rows and logs.
LONGEST_TEXT = 8 * 1024

#: No time or count of a guest is larger. Every JSON reader keeps such a number whole, and a 64-bit table
#: column holds it.
LARGEST_NUMBER = 2**53


def event_of(ack: Ack, queued_at: int) -> Event:
    """Turn an ack into the saga's event. ``queued_at`` is ms since the epoch by the queue service's clock.

    Raises:
        Malformed: the body lacks something or has it in a wrong form.
    """
    return _EVENTS[ack.kind](ack, queued_at)


def _ready(ack: Ack, _queued_at: int) -> Event:
    return AgentReady(
        generation=ack.generation,
        ack=ack.sequence,
        boot_id=_text(ack.body, "boot_id"),
        dead_man_armed=_flag(_object(ack.body, "dead_man"), "armed"),
        agent_version=_text(ack.body, "agent_version"),
        resident=_flag(ack.body, "resident") if "resident" in ack.body else False,
        key_version=_number(ack.body, "key_version") if "key_version" in ack.body else 1,
    )


def _quiesced(ack: Ack, queued_at: int) -> Event:
    body = ack.body
    report = QuiesceReport(
        boot_id=_text(body, "boot_id"),
        dead_man_armed=_flag(_object(body, "dead_man"), "armed"),
        held=tuple(
            Held(
                _text(item, "kind"),
                _text(item, "name"),
                _optional_text(item, "mode"),
                _optional_number(item, "took_ms"),
            )
            for item in _objects(body, "held")
        ),
        not_held=tuple(
            NotHeld(_text(item, "kind"), _text(item, "name"), _text(item, "reason"))
            for item in _objects(body, "not_held")
        ),
        quiesce_ms=_number(body, "quiesce_ms"),
        budget_left_ms=_number(body, "budget_left_ms"),
        script=_script(body, "script"),
        anchored=_flag(body, "anchored") if "anchored" in body else False,
        warnings=_warnings(body),
    )
    return Quiesced(ack.generation, ack.sequence, report, queued_at)


def _quiesce_failed(ack: Ack, _queued_at: int) -> Event:
    return QuiesceFailed(
        generation=ack.generation,
        ack=ack.sequence,
        reason=_text(ack.body, "reason"),
        detail=_text(ack.body, "detail"),
        released=_flag(ack.body, "released"),
        script=_script(ack.body, "script"),
        post_script=_script(ack.body, "post_script"),
        warnings=_warnings(ack.body),
    )


def _resumed(ack: Ack, _queued_at: int) -> Event:
    body = ack.body
    report = ResumeReport(
        boot_id=_text(body, "boot_id"),
        released_by=_text(body, "released_by"),
        held_until_order=_flag(body, "held_until_order"),
        held=tuple(
            HeldUntil(
                _text(item, "kind"),
                _text(item, "name"),
                _flag(item, "held_until_order"),
                _optional_text(item, "detail"),
                _optional_number(item, "held_ms"),
            )
            for item in _objects(body, "held")
        ),
        window_ms=_number(body, "window_ms"),
        script=_script(body, "script"),
        clock_jump_ms=_jump(body, "clock_jump_ms"),
        warnings=_warnings(body),
    )
    return Resumed(ack.generation, ack.sequence, report)


def _released(ack: Ack, _queued_at: int) -> Event:
    return Released(ack.generation, ack.sequence, _flag(ack.body, "was_held"))


def _warnings(body: Mapping[str, Any]) -> tuple[GuestWarning, ...]:
    """Read what a person should look at; an agent that knows of no warnings leaves the member out."""
    if "warnings" not in body:
        return ()
    return tuple(
        GuestWarning(
            _text(item, "kind"), _text(item, "name"), _text(item, "code"), _optional_text(item, "detail")
        )
        for item in _objects(body, "warnings")
    )


def _script(body: Mapping[str, Any], name: str) -> ScriptReport | None:
    if body.get(name) is None:
        return None
    script = _object(body, name)
    exit_code = script.get("exit_code")
    if exit_code is not None and type(exit_code) is not int:
        raise Malformed(f"{name}.exit_code", "a whole number or null")
    return ScriptReport(
        path=_text(script, "path"),
        exit_code=exit_code,
        timed_out=_flag(script, "timed_out"),
        duration_ms=_number(script, "duration_ms"),
        output=_text(script, "output"),
        attempts=_number(script, "attempts") if "attempts" in script else 1,
        reason=_text(script, "reason") if "reason" in script else None,
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Malformed(name, "a text")
    # Names of files need not be UTF-8, and what Python makes of such a name is no text to a table or a log.
    return value[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def _optional_text(body: Mapping[str, Any], name: str) -> str:
    return _text(body, name) if name in body else ""


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise Malformed(name, "true or false")
    return value


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise Malformed(name, f"a whole number from 0 to {LARGEST_NUMBER}")
    return value


def _optional_number(body: Mapping[str, Any], name: str) -> int | None:
    return _number(body, name) if name in body else None


def _jump(body: Mapping[str, Any], name: str) -> int:
    """Read by how much a clock moved, which may be back; 0 where the guest does not say."""
    value = body.get(name, 0)
    if type(value) is not int or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise Malformed(name, f"a whole number from {-LARGEST_NUMBER} to {LARGEST_NUMBER}")
    return value


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise Malformed(name, "a JSON object")
    return value


def _objects(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Malformed(name, "a list of JSON objects")
    return value


_EVENTS: Mapping[str, Callable[[Ack, int], Event]] = {
    READY: _ready,
    QUIESCED: _quiesced,
    QUIESCE_FAILED: _quiesce_failed,
    RESUMED: _resumed,
    RELEASED: _released,
}
