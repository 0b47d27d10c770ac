"""The bodies of requests, as the SDK's models: a member that does not exist is found by the type checker.

Models are imported when the first body is made; `client` says why.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.saga.facts import DiskFacts

if TYPE_CHECKING:
    from azure.mgmt.compute.models import (
        RestorePoint,
        RestorePointCollection,
        RestorePointCollectionUpdate,
        Snapshot,
        SnapshotUpdate,
        VirtualMachineRunCommand,
    )


def incremental_snapshot(disk: DiskFacts, tags: Mapping[str, str]) -> "Snapshot":
    """Ask for an incremental snapshot that nobody can download over the network.

    No SKU: Azure takes zone-redundant storage where the region has it, or that of the disk's earlier ones.
    """
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        CreationData,
        Snapshot,
        SnapshotProperties,
    )

    return Snapshot(
        location=disk.location,
        tags=dict(tags),
        properties=SnapshotProperties(
            creation_data=CreationData(create_option="Copy", source_resource_id=disk.disk_id),
            incremental=True,
            network_access_policy="DenyAll",
            public_network_access="Disabled",
        ),
    )


def restore_point(consistency: str) -> "RestorePoint":
    """Ask for a restore point of all disks; ``consistency`` empty is left out, and is the platform's best."""
    from azure.mgmt.compute.models import (  # noqa: PLC0415 - the module says why
        RestorePoint,
        RestorePointProperties,
    )

    asked = RestorePointProperties(consistency_mode=consistency) if consistency else RestorePointProperties()
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
