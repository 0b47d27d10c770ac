"""The incremental snapshots of a resource group, by their disks: what each VM's preflight has to know.

Azure lists snapshots by group or subscription only, never by disk. Two thousand VMs that each read the list
of their common group would ask for it two thousand times, and it grows with every one of them. So a list of
several pages is read by one at a time and kept for a moment; who uses it knows when it was read.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.compute.client import ClientPool
from shared.compute.errors import classified
from shared.compute.limits import SeenSnapshot
from shared.compute.values import epoch_ms, spelling

#: For how long a list of several pages is kept (ms). What we make meanwhile is noted at admission.
KEPT_MS = 30_000
#: Groups whose lists are kept.
MOST_GROUPS = 16


@dataclass(frozen=True, slots=True)
class GroupList:
    """The snapshots of a group as they were at ``read_at`` or a little later (ms since the epoch)."""

    read_at: int
    pages: int
    by_disk: Mapping[str, Sequence[SeenSnapshot]]

    def of(self, disk_ids: Iterable[str]) -> list[SeenSnapshot]:
        """Give the snapshots of these disks."""
        return [one for disk_id in disk_ids for one in self.by_disk.get(disk_id.lower(), ())]


@dataclass(slots=True)
class _Group:
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: GroupList | None = None


class GroupLists:
    """The lists of one process. ``clock`` gives ms since the epoch."""

    def __init__(self, pool: ClientPool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock
        self._groups: OrderedDict[tuple[str, str], _Group] = OrderedDict()

    async def of(self, subscription_id: str, group: str) -> GroupList:
        """Read the list of a group, or give one that is not old; one of a single page is always read.

        Raises:
            ComputeError: it cannot be read.
        """
        known = self._group(subscription_id.lower(), group.lower())
        if known.last is None or known.last.pages < 2:
            known.last = await self._read(subscription_id, group)
            return known.last
        async with known.reading:
            if self._clock() - known.last.read_at >= KEPT_MS:
                known.last = await self._read(subscription_id, group)
            return known.last

    def _group(self, subscription_id: str, group: str) -> _Group:
        named = (subscription_id, group)
        found = self._groups.setdefault(named, _Group())
        self._groups.move_to_end(named)
        if len(self._groups) > MOST_GROUPS:
            self._groups.popitem(last=False)
        return found

    async def _read(self, subscription_id: str, group: str) -> GroupList:
        client, began, pages = self._pool.of(subscription_id).patient, self._clock(), 0
        by_disk: dict[str, list[SeenSnapshot]] = {}
        with classified():
            async for page in client.snapshots.list_by_resource_group(group).by_page():
                pages += 1
                async for item in page:
                    if item.properties is None or not item.properties.incremental:
                        continue
                    seen = SeenSnapshot(
                        disk_id=item.properties.creation_data.source_resource_id or "",
                        provisioning_state=spelling(item.properties.provisioning_state),
                        created_at=epoch_ms(item.properties.time_created),
                        completion_percent=item.properties.completion_percent,
                        name=item.name or "",
                    )
                    by_disk.setdefault(seen.disk_id.lower(), []).append(seen)
        return GroupList(began, pages, by_disk)
