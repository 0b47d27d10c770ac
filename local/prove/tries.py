"""One try: a run by the public API, its recovery point restored and checked, and deleted."""

import asyncio
from dataclasses import dataclass

from local.guests.control import ask
from local.prove.modes import Mode
from local.stack.stack import Stack
from local.world.specs import GuestSpec

_RUN_WITHIN_S = 300.0
_ORDER_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What one try came to.

    ``grade`` is None without a recovery point, ``freeze_window_ms`` where nothing was held. ``reason`` says
    what the restored application is worth; without a recovery point why there is none.
    """

    application: str
    mode: str
    guest_processing: bool
    grade: str | None
    restored_ok: bool
    reason: str
    freeze_window_ms: int | None

    @property
    def has_recovery_point(self) -> bool:
        """Whether there was something to restore."""
        return self.grade is not None


async def make_try(stack: Stack, guest: GuestSpec, mode: Mode) -> Try:
    """Take a recovery point of a guest that writes, restore it beside the live one, and delete it.

    Raises:
        ControlError: the application does not write.
        TooSlowError: the run does not end.
    """
    assert guest.application is not None
    await _order(stack, guest, "go-on")
    run_id = await stack.api.start_run(
        {"vms": [stack.vm_id(guest.vm_name)], "guest_processing": mode.asked(stack, guest.vm_name)}
    )
    view = await stack.api.vm_ended(run_id, guest.vm_name, within_s=_RUN_WITHIN_S)
    await _order(stack, guest, "pause")  # the check wants the processors
    points = [point["snapshot"] for point in view["recovery_point"]]
    if not points:
        said = "; ".join((*view["reasons"], *view["notes"]))
        grade, whole, reason = None, False, f"no recovery point: {said}"
    else:
        verdict = await stack.restore(guest, points)
        grade, whole, reason = view["grade"], verdict.whole, verdict.reason
        await stack.delete_recovery_points([view])
    return Try(
        application=guest.application,
        mode=mode.name,
        guest_processing=mode.guest_processing,
        grade=grade,
        restored_ok=whole,
        reason=reason,
        freeze_window_ms=view["freeze_window_ms"],
    )


async def _order(stack: Stack, guest: GuestSpec, order: str) -> None:
    """Order the clients. "go-on" ends with a transfer: an application at rest would prove nothing."""
    await asyncio.to_thread(ask, str(stack.guests.get(guest.vm_name).socket), order, _ORDER_TIMEOUT_S)
