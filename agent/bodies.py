"""The bodies of acks, as the app reads them: whole numbers, times in ms."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from agent.records import (
    Answer,
    Quiesced,
    QuiesceFailed,
    Ready,
    Released,
    Resumed,
    ScriptResult,
    Warning_,
)
from shared import protocol

#: At most so many warnings are told in an ack (a message holds 48 KiB).
_WARNINGS = 20


class Guest(NamedTuple):
    """What an agent says of its guest: the VM's ARM id, the boot, the system, the Python, itself.

    ``resident``: it is installed in the guest and waits for the next session by itself.
    """

    vm: str
    boot_id: str
    system: str
    python: str
    version: str
    resident: bool = False
    key_version: int = 1


def ack(answer: Answer, guest: Guest, sent_at: int) -> protocol.Ack:
    """Write an answer as an ack; ``sent_at`` in ms since the epoch."""
    return protocol.Ack(
        kind=answer.kind,
        vm=guest.vm,
        saga=answer.saga,
        generation=answer.generation,
        sequence=answer.sequence,
        answers=answer.answers,
        sent_at=sent_at,
        body=dict(_WRITERS[type(answer.facts)](answer.facts, guest), boot_id=guest.boot_id),
    )


def _ready(facts: Ready, guest: Guest) -> Dict[str, Any]:
    return {
        "agent_version": guest.version,
        "os": guest.system,
        "python": guest.python,
        "protocol": protocol.VERSION,
        "resident": guest.resident,
        "key_version": guest.key_version,
        "dead_man": {"armed": facts.armed, "locked": facts.locked},
    }


def _quiesced(facts: Quiesced, _guest: Guest) -> Dict[str, Any]:
    return {
        "dead_man": {"armed": True, "locked": facts.locked},
        "held": [_known(hold._asdict()) for hold in facts.held],
        "not_held": [dict(one._asdict()) for one in facts.not_held],
        "quiesce_ms": facts.quiesce_ms,
        "budget_left_ms": facts.budget_left_ms,
        "anchored": facts.anchored,
        "warnings": _warnings(facts.warnings, facts.script),
        "script": _script(facts.script),
    }


def _quiesce_failed(facts: QuiesceFailed, _guest: Guest) -> Dict[str, Any]:
    return {
        "reason": facts.failure.reason,
        "detail": facts.failure.detail,
        "released": facts.released,
        "window_ms": facts.window_ms,
        "script": _script(facts.script),
        "post_script": _script(facts.post_script),
        "warnings": _warnings(facts.warnings, facts.script, facts.post_script),
    }


def _resumed(facts: Resumed, _guest: Guest) -> Dict[str, Any]:
    return {
        "released_by": facts.released_by,
        "held_until_order": facts.held_until_order,
        "held": [
            _known(
                {
                    "kind": e.kind,
                    "name": e.name,
                    "held_until_order": e.whole,
                    "detail": e.detail,
                    "held_ms": e.held_ms,
                }
            )
            for e in facts.held
        ],
        "window_ms": facts.window_ms,
        "clock_jump_ms": facts.clock_jump_ms,
        "warnings": _warnings(facts.warnings, facts.script),
        "script": _script(facts.script),
    }


def _known(members: Mapping[str, Any]) -> Dict[str, Any]:
    """Leave out what nobody measured."""
    return {name: value for name, value in members.items() if value is not None}


def _released(facts: Released, _guest: Guest) -> Dict[str, Any]:
    return {"was_held": facts.was_held}


def _warnings(others: Tuple[Warning_, ...], *scripts: Optional[ScriptResult]) -> List[Dict[str, str]]:
    """Put what scripts gave cause for first: those are few."""
    of_scripts = [one for script in scripts if script is not None for one in script.warnings]
    return [dict(one._asdict()) for one in (*of_scripts, *others)[:_WARNINGS]]


def _script(result: Optional[ScriptResult]) -> Optional[Dict[str, Any]]:
    if result is None:
        return None
    return {
        "path": result.path,
        "exit_code": result.exit_code,
        "timed_out": result.timed_out,
        "duration_ms": result.duration_ms,
        "output": result.output,
        "reason": result.reason,
        "attempts": result.attempts,
    }


_WRITERS: Dict[type, Callable[[Any, Guest], Dict[str, Any]]] = {
    Ready: _ready,
    Quiesced: _quiesced,
    QuiesceFailed: _quiesce_failed,
    Resumed: _resumed,
    Released: _released,
}
