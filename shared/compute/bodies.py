"""The bodies of requests, as the SDK's models: a member that does not exist is found by the type checker.

Models are imported when the first body is made; `client` says why.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.policy.snapshots import NetworkAccess, RegionCopySettings, SnapshotSettings
from shared.saga.facts import COPYING_SKUS, DiskFacts

if TYPE_CHECKING:
    from azure.mgmt.compute.models import (
        RestorePoint,
        RestorePointCollection,
        RestorePointCollectionUpdate,
        Snapshot,
        SnapshotUpdate,
        VirtualMachineRunCommand,
    )


#: The network access of a snapshot as Azure spells it, and whether a URL opens it from the internet.
_ACCESS = {
    NetworkAccess.DENY_ALL: ("DenyAll", "Disabled"),
    NetworkAccess.PRIVATE: ("AllowPrivate", "Disabled"),
    NetworkAccess.ALLOW_ALL: ("AllowAll", "Enabled"),
}


def disk_snapshot(disk: DiskFacts, tags: Mapping[str, str], settings: SnapshotSettings) -> "Snapshot":
    """Ask for the snapshot of a disk.

    What is not said is left out: without a SKU Azure takes zone-redundant storage where the region has it, or
    that of the disk's earlier ones. Instant access is refused for disks of other types, so it is asked for
    only where there is such a thing.
    """
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        CreationData,
        Snapshot,
        SnapshotProperties,
        SnapshotSku,
    )

    access, public = _ACCESS[settings.network_access]
    instant = settings.instant_access_minutes if disk.sku in COPYING_SKUS else None
    return Snapshot(
        location=disk.location,
        tags=dict(tags),
        sku=SnapshotSku(name=settings.sku.value) if settings.sku else None,
        properties=SnapshotProperties(
            creation_data=CreationData(
                create_option="Copy",
                source_resource_id=disk.disk_id,
                instant_access_duration_minutes=instant,
            ),
            incremental=settings.incremental,
            network_access_policy=access,
            public_network_access=public,
            disk_access_id=settings.disk_access_id or None,
        ),
    )


def snapshot_copy(
    source_id: str, target: RegionCopySettings, settings: SnapshotSettings, tags: Mapping[str, str]
) -> "Snapshot":
    """Ask for a snapshot to be copied to another region, which takes incremental ones only.

    The copy is as private as its source: where that is reached through a disk access, and none is named for
    the other region, nobody can download the copy.
    """
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        CreationData,
        Snapshot,
        SnapshotProperties,
        SnapshotSku,
    )

    wanted, sku = settings.network_access, target.sku or settings.sku
    if wanted is NetworkAccess.PRIVATE and not target.disk_access_id:
        wanted = NetworkAccess.DENY_ALL
    access, public = _ACCESS[wanted]
    return Snapshot(
        location=target.region,
        tags=dict(tags),
        sku=SnapshotSku(name=sku.value) if sku else None,
        properties=SnapshotProperties(
            creation_data=CreationData(create_option="CopyStart", source_resource_id=source_id),
            incremental=True,
            network_access_policy=access,
            public_network_access=public,
            disk_access_id=target.disk_access_id or None,
        ),
    )


def restore_point(consistency: str, excluded: Sequence[str] = ()) -> "RestorePoint":
    """Ask for a restore point of all disks but those ``excluded``.

    ``consistency`` empty is left out, and is the platform's best.
    """
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        ApiEntityReference,
        RestorePoint,
        RestorePointProperties,
    )

    asked = RestorePointProperties(consistency_mode=consistency) if consistency else RestorePointProperties()
    if excluded:
        asked.exclude_disks = [ApiEntityReference(id=disk) for disk in excluded]
    return RestorePoint(properties=asked)


def restore_point_collection(vm_id: str, location: str, tags: Mapping[str, str]) -> "RestorePointCollection":
    """Ask for the collection of a VM's restore points."""
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        RestorePointCollection,
        RestorePointCollectionProperties,
        RestorePointCollectionSourceProperties,
    )

    source = RestorePointCollectionSourceProperties(id=vm_id)
    return RestorePointCollection(
        location=location, tags=dict(tags), properties=RestorePointCollectionProperties(source=source)
    )


def collection_tag_update(tags: Mapping[str, str]) -> "RestorePointCollectionUpdate":
    """Ask for a collection to have these tags and no others."""
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        RestorePointCollectionUpdate,
    )

    return RestorePointCollectionUpdate(tags=dict(tags))


def tag_update(tags: Mapping[str, str]) -> "SnapshotUpdate":
    """Ask for a snapshot to have these tags and no others."""
    from azure.mgmt.compute.models import SnapshotUpdate  # noqa: PLC0415 - the module says why

    return SnapshotUpdate(tags=dict(tags))


def run_command(
    *, location: str, script: str, secrets: Mapping[str, str], timeout_s: int
) -> "VirtualMachineRunCommand":
    """Ask for a script to be run in a guest, without waiting for its end and whatever that will be.

    ``secrets`` become environment variables of the script (Linux) and never come back in an answer.
    """
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        RunCommandInputParameter,
        VirtualMachineRunCommand,
        VirtualMachineRunCommandProperties,
        VirtualMachineRunCommandScriptSource,
    )

    return VirtualMachineRunCommand(
        location=location,
        properties=VirtualMachineRunCommandProperties(
            source=VirtualMachineRunCommandScriptSource(script=script),
            protected_parameters=[
                RunCommandInputParameter(name=name, value=value) for name, value in secrets.items()
            ],
            async_execution=True,
            timeout_in_seconds=timeout_s,
            treat_failure_as_deployment_failure=False,
        ),
    )
