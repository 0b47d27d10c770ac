"""From a saga's orders to the commands that its agent gets."""

from typing import Any

from shared.policy.guest_processing import Script
from shared.protocol import ARM, QUIESCE, RELEASE, RESUME, Command, encode_command, session_key, vm_key
from shared.saga.effects import Order
from shared.saga.phases import GRACE_MS
from shared.saga.state import SagaState

#: How long an agent that was started for one session stays to answer repeated commands.
LINGER_MS = 15_000


class Keys:
    """Session keys, derived from the master secret and never stored."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def of_vm(self, vm_id: str) -> bytes:
        """Give the key of a VM, 32 bytes."""
        return vm_key(self._master, vm_id)

    def of_session(self, vm_id: str, saga_id: str) -> bytes:
        """Give the key of a saga's session, 32 bytes."""
        return session_key(self.of_vm(vm_id), saga_id)


def signed_command(state: SagaState, order: Order, keys: Keys) -> str:
    """Write an order as the signed command that carries it.

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
        body=_BODIES[order.kind](state),
    )
    return encode_command(command, keys.of_session(spec.vm_id, spec.saga_id))


def session_ms(state: SagaState) -> int:
    """Give how long an agent's session may last at most, in ms: every generation to its last deadline."""
    guest = state.spec.guest
    phases = (
        guest.arming_timeout_ms,
        guest.quiesce_timeout_ms + GRACE_MS,
        guest.freeze_budget_ms + GRACE_MS,
        max(guest.resume_timeout_ms, guest.freeze_budget_ms + GRACE_MS),
    )
    return sum(phases) * max(1, guest.attempts) + LINGER_MS


def _arm(state: SagaState) -> dict[str, Any]:
    return {
        "budget_ms": state.spec.guest.freeze_budget_ms,
        "session_ms": session_ms(state),
        "linger_ms": LINGER_MS,
    }


def _quiesce(state: SagaState) -> dict[str, Any]:
    guest = state.spec.guest
    return {
        "quiesce_timeout_ms": guest.quiesce_timeout_ms,
        "freeze_budget_ms": guest.freeze_budget_ms,
        "pre_script": _script(guest.pre_script),
        "post_script": _script(guest.post_script),
        "filesystems": guest.filesystems.value,
    }


def _script(script: Script | None) -> dict[str, Any] | None:
    if script is None:
        return None
    return {"path": script.path, "arguments": list(script.arguments), "timeout_ms": script.timeout_ms}


def _resume(_state: SagaState) -> dict[str, Any]:
    return {}


def _release(_state: SagaState) -> dict[str, Any]:
    return {"why": "the saga goes on without this guest"}


_BODIES = {
    ARM: _arm,
    QUIESCE: _quiesce,
    RESUME: _resume,
    RELEASE: _release,
}
