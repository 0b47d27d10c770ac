"""What of a VM cannot be read, piece by piece: for people who want to know before a run. Only GETs."""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from shared.compute.at_once import all_at_once
from shared.compute.attached import attached_disks
from shared.compute.client import ClientPool
from shared.compute.errors import ComputeError, classified
from shared.compute.names import Kind, ResourceId, parse_id
from shared.policy.snapshots import SnapshotSettings


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that Azure would not show. ``what`` is its kind, ``cause`` the class of Azure's error.

    ``detail`` is Azure's own message: where a right is missing, it names the action.
    """

    what: str
    name: str
    cause: str
    detail: str


VM, DISK, GROUP = "vm", "disk", "resource group"


async def diagnose(pool: ClientPool, vm_id: str, settings: SnapshotSettings) -> tuple[Refusal, ...]:
    """Read VM, disks and groups of the snapshots one by one, and say which of them could not be read."""
    target = parse_id(vm_id, Kind.VM)
    vms = pool.of(target.subscription_id).patient.virtual_machines
    try:
        with classified():
            vm = await vms.get(target.resource_group, target.name, expand="instanceView")
            attached = attached_disks(vm.properties.storage_profile if vm.properties else None)
    except ComputeError as error:
        return (_refusal(VM, target.name, error),)
    disks = [each.id for each in attached.managed]
    own = {each.resource_group.lower(): each.resource_group for each in disks}
    groups = [settings.resource_group] if settings.resource_group else sorted(own.values())
    found = await all_at_once(_try(DISK, each.name, _read_disk(pool, each)) for each in disks)
    return (
        *(refusal for refusal in found if refusal),
        *await look_at_groups(pool, target.subscription_id, groups),
    )


async def look_at_groups(
    pool: ClientPool, subscription_id: str, groups: Iterable[str]
) -> tuple[Refusal, ...]:
    """Say in which of these resource groups snapshots could not even be listed: missing, or not ours."""
    jobs = (_try(GROUP, group, _list_first(pool, subscription_id, group)) for group in groups)
    return tuple(refusal for refusal in await all_at_once(jobs) if refusal)


async def _read_disk(pool: ClientPool, disk: ResourceId) -> None:
    await pool.of(disk.subscription_id).patient.disks.get(disk.resource_group, disk.name)


async def _list_first(pool: ClientPool, subscription_id: str, group: str) -> None:
    snapshots = pool.of(subscription_id).patient.snapshots
    async for _ in snapshots.list_by_resource_group(group).by_page():
        return


async def _try(what: str, name: str, job: Awaitable[None]) -> Refusal | None:
    try:
        with classified():
            await job
    except ComputeError as error:
        return _refusal(what, name, error)
    return None


def _refusal(what: str, name: str, error: ComputeError) -> Refusal:
    return Refusal(what, name, error.cause, f"{error.detail} ({error.code})")
