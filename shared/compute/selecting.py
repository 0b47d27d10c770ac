"""Which of a VM's disks are to be in the recovery point, and reading them: each at most once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.compute.at_once import all_at_once
from shared.compute.attached import AttachedDisk, AttachedDisks, attached_disks
from shared.compute.client import ClientPool
from shared.compute.errors import classified
from shared.compute.names import ResourceId
from shared.policy.disks import DiskSelection, SelectableDisk
from shared.saga.facts import LeftOut

if TYPE_CHECKING:
    from azure.mgmt.compute.models import Disk, VirtualMachine


@dataclass(frozen=True, slots=True)
class Selected:
    """The disks of a VM that are selected, and those that are not."""

    attached: AttachedDisks
    left_out: tuple[LeftOut, ...]


class DiskReader:
    """Reads disks, each once. Raises `ComputeError`."""

    def __init__(self, pool: ClientPool) -> None:
        self._pool = pool
        self._known: dict[str, Disk] = {}

    async def read(self, attached: Iterable[AttachedDisk]) -> "list[Disk]":
        """Give the disks in their order."""
        wanted = [each.id for each in attached]
        missing = [each for each in wanted if str(each) not in self._known]
        found = await all_at_once(self._get(each) for each in missing)
        self._known |= {str(each): disk for each, disk in zip(missing, found, strict=True)}
        return [self._known[str(each)] for each in wanted]

    async def _get(self, disk: ResourceId) -> "Disk":
        with classified():
            return await self._pool.of(disk.subscription_id).patient.disks.get(disk.resource_group, disk.name)


async def select(vm: "VirtualMachine", selection: DiskSelection, reader: DiskReader) -> Selected:
    """Sort a VM's disks; only where a rule looks at tags do those that are left out have to be read.

    Raises `ComputeError`.
    """
    with classified():
        attached = attached_disks(vm.properties.storage_profile if vm.properties else None)
    tags: dict[str, Mapping[str, str]] = {}
    if selection.looks_at_tags:
        disks = await reader.read(attached.managed)
        with classified():
            tags = {
                str(each.id): {name.lower(): value for name, value in (disk.tags or {}).items()}
                for each, disk in zip(attached.managed, disks, strict=True)
            }
    left_out: list[LeftOut] = []

    def is_in(name: str, lun: int | None, disk_id: str = "") -> bool:
        why = selection.why_out(SelectableDisk(name=name, lun=lun, tags=tags.get(disk_id, {})))
        if why:
            left_out.append(LeftOut(disk_id=disk_id, name=name, lun=lun, why=why))
        return not why

    managed = tuple(each for each in attached.managed if is_in(each.id.name, each.lun, str(each.id)))
    hindered = tuple(each for each in attached.hindered if is_in(each.name, each.lun))
    return Selected(AttachedDisks(managed, hindered), tuple(left_out))
