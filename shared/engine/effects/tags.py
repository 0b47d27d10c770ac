"""The tags of what a saga makes: those from its birth, and those once its grade is known."""

from shared.compute.tags import of_disk, of_group, when_graded
from shared.engine.effects.hands import Hands
from shared.engine.group_views import mark_of
from shared.policy.snapshots import MOST_BESIDE_SHAPE
from shared.saga.facts import DiskFacts
from shared.saga.snapshots import tags_of
from shared.saga.state import SagaState


def tags_at_birth(state: SagaState, disk: DiskFacts) -> dict[str, str]:
    """Give what a snapshot carries from its birth besides whose it is: the operator's tags, its VM's shape.

    The operator's come first where there is no room for both.
    """
    assert state.facts is not None
    asked = tags_of(state.spec.snapshots, disk)
    return asked | of_disk(state.facts, disk) if len(asked) <= MOST_BESIDE_SHAPE else asked


async def tags_when_graded(hands: Hands, state: SagaState) -> dict[str, str]:
    """Give what a recovery point carries once it is known what it is worth, its group's mark too."""
    tags = when_graded(
        grade=state.grade.value if state.grade else "",
        freeze_window_ms=state.evidence.freeze_window_ms if state.evidence else None,
        evidence=state.evidence.digest() if state.evidence else "",
        warnings=len(state.warnings),
        left_out=[disk.slot for disk in state.facts.left_out] if state.facts else (),
        outcome=state.outcome.value if state.outcome else "",
    )
    if hands.grouping is None or state.spec.group is None:
        return tags
    mark = mark_of(state, await hands.grouping.of(state))
    assert mark is not None
    names = [name(vm) for vm in mark.members]
    group = of_group(group=mark.name, members=names, skew_ms=mark.skew_ms, one_instant=mark.one_instant)
    return tags | group


def name(resource_id: str) -> str:
    """Give the last part of an ARM id."""
    return resource_id.rpartition("/")[2]
