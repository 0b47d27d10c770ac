"""The snapshots of a saga: what they are called, which tags they carry, and what their disks do not take."""

from collections.abc import Iterator
from datetime import UTC, datetime

from shared.policy.snapshot_names import expand_template
from shared.policy.snapshots import MOST_BESIDE_SHAPE, RegionCopySettings, SnapshotSettings
from shared.saga.facts import COPYING_SKUS, DiskFacts
from shared.saga.names import LONGEST_NAME, snapshot_id
from shared.saga.state import SagaState

#: Tags that say whose a snapshot is and what it is worth: a disk made of a snapshot may carry them.
OWN_TAGS = "stillframe-"


def snapshot_of(state: SagaState, disk: DiskFacts, generation: int) -> str:
    """Give the ARM id of the snapshot of a disk, derived from the saga alone.

    The time in it is that of the saga's start, which is stored before any snapshot is asked for.
    """
    spec = state.spec
    return snapshot_id(
        disk,
        spec.snapshots.resource_group,
        spec.saga_id,
        generation,
        beginning=_beginning(state, disk),
    )


def copy_of(state: SagaState, disk: DiskFacts, generation: int, target: RegionCopySettings) -> str:
    """Give the ARM id of the copy of a disk's snapshot in another region, derived from the saga alone."""
    spec = state.spec
    return snapshot_id(
        disk,
        target.resource_group or spec.snapshots.resource_group,
        spec.saga_id,
        generation,
        beginning=_beginning(state, disk),
        region=target.region,
    )


def _beginning(state: SagaState, disk: DiskFacts) -> str:
    spec = state.spec
    if "%" not in spec.snapshots.name:
        return spec.snapshots.name
    started = datetime.fromtimestamp(state.started_at / 1000, UTC)
    values = {
        "vmName": state.facts.name if state.facts else "",
        "diskName": disk.name,
        "lun": disk.slot,
        "policyName": spec.policy_name,
        "runId": spec.run_id,
        "date": started.strftime("%Y%m%d"),
        "time": started.strftime("%H%M%S"),
    }
    return expand_template(spec.snapshots.name, values, LONGEST_NAME)


def tags_of(settings: SnapshotSettings, disk: DiskFacts) -> dict[str, str]:
    """Give the tags that the operator wants on the snapshot of a disk: fixed ones win over the disk's.

    The case of a tag's name does not matter to Azure. The disk's tags are taken in the order of their names
    until there are as many as fit.
    """
    tags = dict(settings.tags)
    if settings.copy_disk_tags:
        taken = {name.lower() for name in tags}
        mine = [tag for tag in _copied(disk) if tag[0].lower() not in taken]
        tags |= dict(mine[: max(0, MOST_BESIDE_SHAPE - len(tags))])
    return tags


def remarks(settings: SnapshotSettings, disks: tuple[DiskFacts, ...]) -> Iterator[str]:
    """Say in sentences what the settings ask for that these disks do not have."""
    if settings.is_restore_point:
        return
    for disk in disks:
        if settings.instant_access_minutes is not None and disk.sku not in COPYING_SKUS:
            yield f"disk {disk.name} ({disk.sku}) has no instant access: its snapshot needs none"
        if settings.copy_disk_tags:
            wanted = {name.lower() for name, _ in (*_copied(disk), *settings.tags)}
            left_out = max(0, len(wanted) - max(MOST_BESIDE_SHAPE, len(settings.tags))) + disk.tags_left_out
            if left_out:
                yield f"{left_out} tags of disk {disk.name} do not fit on its snapshot beside the others"


def _copied(disk: DiskFacts) -> tuple[tuple[str, str], ...]:
    return tuple(tag for tag in disk.tags if not tag[0].lower().startswith(OWN_TAGS))
