"""Whether what a saga failed by can pass by waiting: only then is a VM tried again."""

from collections.abc import Mapping

from shared.saga.causes import Cause
from shared.saga.decide import PASSING_REASONS
from shared.saga.state import Outcome, SagaState, Trouble

#: Classes of Azure's errors (``shared/compute/errors.py``) that a later try may not meet.
AZURE_PASSES = frozenset({"throttled", "conflict", "limit_reached", "unavailable", "timed_out"})

#: The same of captures: time was short, another disk failed, Azure ended it without a reason of ours.
CAPTURE_PASSES = AZURE_PASSES | {"", "deadline", "abandoned", "operation_failed"}

#: Whether each cause passes by waiting; where that depends on its code, the codes with which it does.
PASSES: Mapping[Cause, bool | frozenset[str]] = {
    Cause.VM_UNREADABLE: AZURE_PASSES,
    Cause.VM_UNREADABLE_IN_TIME: True,
    Cause.NO_DISK: False,
    Cause.NOTHING_SELECTED: False,
    Cause.OBSTACLE: False,
    Cause.SCRIPT_TOO_LARGE: False,
    Cause.AGENT_NOT_STARTED: AZURE_PASSES,
    Cause.AGENT_SILENT: True,
    Cause.AGENT_TOO_OLD: False,
    Cause.DEAD_MAN_NOT_ARMED: True,
    Cause.NOT_ADMITTED: True,
    Cause.HOLD_UNCONFIRMED: True,
    Cause.QUIESCE_FAILED: PASSING_REASONS,
    Cause.RELEASED_EARLY: True,
    Cause.GROUP_BROKE: True,
    Cause.GROUP_LATE: True,
    Cause.GROUP_SILENT: True,
    Cause.GROUP_UNFIT: False,
    Cause.BUDGET_TOO_SHORT: True,
    Cause.SNAPSHOT_FAILED: CAPTURE_PASSES,
    Cause.SNAPSHOTS_UNSEEN: True,
    Cause.RESTORE_POINT_FAILED: CAPTURE_PASSES,
    Cause.NOT_PROVED: True,
    Cause.TOO_LITTLE_HELD: False,
    Cause.APPLICATION_REQUIRED: PASSING_REASONS,
    Cause.LOWER_CONSISTENCY: True,
    Cause.POST_SCRIPT_FAILED: False,
    Cause.WARNED: False,
    Cause.COPIES_LATE: False,  # its snapshots are kept, and may be whole by and by
    Cause.COPIES_LOST: True,
    Cause.COPY_FAILED: False,  # the recovery point is whole without its copy
    Cause.POISONED: True,
    Cause.CANCELLED: False,
    Cause.LEFT_OVER: False,
    Cause.UNRECORDED: False,
}


def passes(trouble: Trouble) -> bool:
    """Say whether this can be different at another time without anybody doing anything."""
    known = PASSES[trouble.cause]
    return known if isinstance(known, bool) else trouble.code in known


def is_tried_again(state: SagaState) -> bool:
    """Say whether this saga, which is done, is followed by another one of its VM in the same run.

    Never in a rehearsal: nobody's applications are held again for an answer that is there. Never of a group:
    one VM's later instant is not the one that its group shares.
    """
    if state.spec.rehearsal or state.spec.group is not None:
        return False
    failed = state.outcome is Outcome.FAILED and not state.recovery_point
    left = state.spec.try_number <= state.spec.retry.attempts
    return failed and left and state.trouble is not None and passes(state.trouble)
