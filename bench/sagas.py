"""Starts runs and waits for their sagas without touching the storage, so that only they are measured."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.stack.stack import Stack
from local.stack.waiting import TooSlowError, ticks

_WITHIN_S = 180.0
_PAUSE_S = 0.2

#: Acks of one saga that goes well: ready, quiesced, resumed.
ACKS = 3


class SagaFailedError(Exception):
    """A saga did not end as it should; ``view`` is what the app says of it."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        why = "; ".join((*view.get("reasons", ()), *view.get("notes", ())))
        super().__init__(f"saga {view.get('saga')}: {view.get('outcome') or view.get('phase')}: {why}")
        self.view = view


async def invocations(stack: Stack) -> dict[str, int]:
    """Give how often each function was invoked since the host's start."""
    _, _, answer = await stack.api.call("GET", "/admin/local/invocations")
    return {name: function["count"] for name, function in answer["functions"].items()}


async def run_to_end(
    stack: Stack,
    vms: Sequence[str],
    guest: Mapping[str, Any],
    settled: Callable[[], bool] = lambda: True,
) -> str:
    """Start a run and wait until its sagas have nothing left to do; give its id.

    The host's counters are asked, and not the app, whose answer would cost storage requests and invocations.

    Raises:
        TooSlowError: not within three minutes.
    """
    before = (await invocations(stack))["agent_ack"]
    run_id = await stack.api.start_run(
        {"vms": [stack.vm_id(vm) for vm in vms], "guest_processing": dict(guest)}
    )
    try:
        async for _ in ticks(_WITHIN_S, f"run {run_id}", pause_s=_PAUSE_S):
            acks = (await invocations(stack))["agent_ack"] - before
            if acks >= ACKS * len(vms) and await idle(stack) and settled():
                break
    except TooSlowError:
        await views(stack, run_id, vms)  # says more, if a saga has failed
        raise
    return run_id


async def views(stack: Stack, run_id: str, vms: Sequence[str]) -> list[dict[str, Any]]:
    """Show the sagas of a run.

    Raises:
        SagaFailedError: one has not succeeded.
    """
    found = await asyncio.gather(*(stack.api.vm(run_id, vm) for vm in vms))
    for view in found:
        if view.get("outcome") != "succeeded":
            raise SagaFailedError(view)
    return list(found)


async def idle(stack: Stack) -> bool:
    """Say whether no invocation is under way."""
    _, _, answer = await stack.api.call("GET", "/admin/host/drain/status")
    return bool(answer["outstandingInvocations"] == 0)
