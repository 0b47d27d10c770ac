"""From a saga's orders to the commands that its agent gets."""

from collections.abc import Mapping
from typing import Any

from shared.policy.guest_processing import Anchor, Handler, Script
from shared.protocol import ARM, QUIESCE, RELEASE, RESUME, Command, encode_command, session_key, vm_key
from shared.saga.barriers import armed_wait_ms
from shared.saga.effects import Order
from shared.saga.phases import GRACE_MS
from shared.saga.script_values import expanded, values
from shared.saga.state import SagaState

#: How long an agent that was started for one session stays to answer repeated commands.
LINGER_MS = 15_000

#: No agent takes a longer time than this for meant (``agent/fields.py``).
LONGEST_SESSION_MS = 24 * 3_600_000


class Keys:
    """Session keys, derived from the master secret and never stored. ``version`` is their rotation."""

    def __init__(self, master: bytes, version: int = 1) -> None:
        self._master = master
        self.version = version

    def of_vm(self, vm_id: str) -> bytes:
        """Give the key of a VM, 32 bytes."""
        return vm_key(self._master, vm_id, self.version)

    def of_session(self, vm_id: str, saga_id: str) -> bytes:
        """Give the key of a saga's session, 32 bytes."""
        return session_key(self.of_vm(vm_id), saga_id)


def signed_command(
    state: SagaState, order: Order, keys: Keys, script_urls: Mapping[str, str] | None = None
) -> str:
    """Write an order as the signed command that carries it.

    ``script_urls`` says where stored scripts can be read, by their pins; only ``quiesce`` needs them.

    Raises:
        TooLarge: scripts and arguments do not fit a queue message.
    """
    spec = state.spec
    command = Command(
        kind=order.kind,
        vm=spec.vm_id.lower(),
        saga=spec.saga_id,
        generation=order.generation,
        sequence=order.sequence,
        expires_at=order.expires_at,
        body=_quiesce(state, script_urls or {}) if order.kind == QUIESCE else _BODIES[order.kind](state),
    )
    return encode_command(command, keys.of_session(spec.vm_id, spec.saga_id))


def session_ms(state: SagaState) -> int:
    """Give how long an agent's session may last at most, in ms: every generation to its last deadline."""
    guest = state.spec.guest
    phases = (
        guest.arming_timeout_ms,
        state.spec.admission.timeout_ms if state.spec.admission else 0,
        armed_wait_ms(state.spec.group.rules if state.spec.group else None),
        guest.quiesce_timeout_ms + GRACE_MS,
        guest.longest_hold_ms + GRACE_MS,
        max(guest.resume_timeout_ms, guest.longest_hold_ms + GRACE_MS),
    )
    return min(LONGEST_SESSION_MS, sum(phases) * max(1, guest.attempts) + LINGER_MS)


def _arm(state: SagaState) -> dict[str, Any]:
    return {
        "budget_ms": state.spec.guest.longest_hold_ms,
        "session_ms": session_ms(state),
        "linger_ms": LINGER_MS,
    }


def _quiesce(state: SagaState, script_urls: Mapping[str, str]) -> dict[str, Any]:
    guest, value_of = state.spec.guest, values(state)

    def script(one: Script | None) -> dict[str, Any] | None:
        return None if one is None else _script(expanded(one, value_of), script_urls)

    body: dict[str, Any] = {
        "quiesce_timeout_ms": guest.quiesce_timeout_ms,
        "freeze_budget_ms": guest.freeze_budget_ms,
        "pre_script": script(guest.pre_script),
        "post_script": script(guest.post_script),
        "filesystems": guest.filesystems.value,
    }
    if guest.handlers or guest.detect_handlers:
        body["handlers"] = "auto" if guest.detect_handlers else [_handler(each) for each in guest.handlers]
    if guest.anchor is not None:
        body["anchor"] = _anchor(guest.anchor)
    return body


#: Members of a script that are left out while they are as in a script that says nothing of them.
_RULES = (
    "retries",
    "accepted_exit_codes",
    "warning_exit_codes",
    "ignore_exit_codes",
    "ignore_missing",
    "stderr",
    "run_as",
)


def _script(script: Script, script_urls: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = _source(script, script_urls)
    body |= {
        "arguments": list(script.arguments),
        "environment": dict(script.environment),
        "timeout_ms": script.timeout_ms,
    }
    for name in _RULES:
        value, silent = getattr(script, name), getattr(_SILENT, name)
        if value != silent:
            body[name] = list(value) if isinstance(value, tuple) else value
    if script.retries:
        body["retry_delay_ms"] = script.retry_delay_ms
    return body


_SILENT = Script()


def _source(script: Script, script_urls: Mapping[str, str]) -> dict[str, str]:
    if script.path:
        return {"path": script.path}
    source = {"url": script_urls[script.sha256]} if script.stored else {"content": script.content}
    return source | {"sha256": script.sha256, "name": script.name}


def _handler(handler: Handler) -> dict[str, Any]:
    return {
        "name": handler.name.value,
        "mode": handler.mode,
        "required": handler.required,
        "settings": dict(handler.settings),
    }


def _anchor(anchor: Anchor) -> dict[str, Any]:
    return {
        "provider": anchor.provider.value,
        "lifetime_ms": anchor.lifetime_ms,
        "settings": dict(anchor.settings),
    }


def _resume(_state: SagaState) -> dict[str, Any]:
    return {}


def _release(_state: SagaState) -> dict[str, Any]:
    return {"why": "the saga goes on without this guest"}


_BODIES = {
    ARM: _arm,
    RESUME: _resume,
    RELEASE: _release,
}
