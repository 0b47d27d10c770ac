"""Background copies are looked at, and copies in other regions begun and followed."""

from shared.compute.errors import ComputeError
from shared.compute.region_copies import CopyOrder
from shared.compute.tags import at_birth
from shared.engine.effects.hands import Hands
from shared.engine.effects.tags import tags_at_birth, tags_when_graded
from shared.saga.effects import CheckCopies, CopySnapshots
from shared.saga.events import CopiesSeen, Event, RegionCopiesSeen
from shared.saga.snapshots import snapshot_of
from shared.saga.state import SagaState


async def check_copies(hands: Hands, state: SagaState, effect: CheckCopies) -> Event:
    """See how far the background copies of the snapshots are."""
    if hands.following is not None and state.spec.group is not None and not state.pauses:
        # Its guest went on before, but its group might have tried again until all had proved that they held.
        await hands.following.guest_goes_on(state)
    try:
        copies, lost = await hands.compute.look_at_copies(effect.snapshot_ids)
    except ComputeError as error:
        return CopiesSeen((), unreadable=f"{error.detail} ({error.code})")
    return CopiesSeen(copies, lost)


async def copy_snapshots(hands: Hands, state: SagaState, effect: CopySnapshots) -> Event:
    """Begin and follow copies; they are born with all tags, as their source has its grade by now."""
    assert state.facts is not None
    spec = state.spec
    own = at_birth(policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=state.generation)
    targets = {target.region: target for target in spec.snapshots.copy_to}
    graded = await tags_when_graded(hands, state)
    disks = {snapshot_of(state, disk, state.generation): disk for disk in state.facts.disks}
    orders = [
        CopyOrder(
            copy=copy,
            target=targets[copy.region],
            settings=spec.snapshots,
            tags=tags_at_birth(state, disks[copy.source_id]) | own | graded,
        )
        for copy in effect.copies
    ]
    return RegionCopiesSeen(await hands.compute.copy_snapshots(orders, spec.saga_id))
