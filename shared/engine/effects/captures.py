"""Snapshots and restore points are made, inside the time that the guest is held."""

from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.making import FailedOperation
from shared.compute.restore_point import RestorePointTarget
from shared.compute.tags import at_birth
from shared.engine.effects.hands import Hands
from shared.engine.effects.tags import tags_at_birth
from shared.logs import logger
from shared.saga.effects import Capture, TakeRestorePoint
from shared.saga.events import CaptureEnded, Event
from shared.saga.snapshots import snapshot_of
from shared.saga.state import SagaState

_log = logger("effects")


async def capture(hands: Hands, state: SagaState, effect: Capture) -> Event:
    """Make a snapshot of each disk, all at once."""
    spec = state.spec
    targets = [
        CaptureTarget(
            disk,
            snapshot_of(state, disk, effect.generation),
            tags=tags_at_birth(state, disk),
            settings=spec.snapshots,
        )
        for disk in effect.disks
    ]
    failed: list[FailedOperation] = []
    own = at_birth(policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=effect.generation)
    captures = await hands.compute.capture(
        targets,
        tags=own,
        not_before=effect.not_before,
        deadline=effect.deadline,
        held=_is_held(state),
        on_failed=failed.append,
    )
    await _note_failed(hands, state, failed)
    return CaptureEnded(effect.generation, captures)


async def take_restore_point(hands: Hands, state: SagaState, effect: TakeRestorePoint) -> Event:
    """Make a restore point over all disks, and come back as soon as the guest need not wait any longer."""
    assert state.facts is not None
    spec, facts = state.spec, state.facts
    target = RestorePointTarget(
        point_id=effect.point_id,
        vm_id=spec.vm_id,
        location=facts.location,
        consistency=effect.consistency,
        disks=effect.disks,
        excluded=tuple(disk.disk_id for disk in facts.left_out if disk.disk_id),
        tags=dict(spec.snapshots.tags),
    )
    failed: list[FailedOperation] = []
    captures, report = await hands.compute.take_restore_point(
        target,
        not_before=effect.not_before,
        deadline=effect.deadline,
        held=_is_held(state),
        on_failed=failed.append,
    )
    await _note_failed(hands, state, failed)
    return CaptureEnded(effect.generation, captures, report)


def _is_held(state: SagaState) -> bool:
    return state.evidence is not None and state.evidence.quiesced is not None


async def _note_failed(hands: Hands, state: SagaState, failed: list[FailedOperation]) -> None:
    """Have the reasons asked for once no guest waits: after the order to resume, or now if none follows."""
    if failed:
        hands.failed[state.spec.saga_id] = failed
    if not _is_held(state):
        await explain(hands, state)


async def explain(hands: Hands, state: SagaState) -> None:
    """Learn why snapshots failed; it changes nothing, so no guest has to wait for it."""
    for failed in hands.failed.pop(state.spec.saga_id, []):
        reason = await hands.compute.explain(failed)
        _log.warning("%s failed: %s", failed.resource_id, reason)
