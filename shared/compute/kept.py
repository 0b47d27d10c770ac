"""What was made and kept: whether it is still there, whose it is, and whether somebody is using it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.compute.client import ClientPool
from shared.compute.errors import NotFound, classified
from shared.compute.names import Kind, is_restore_point, parse_id, parse_restore_point_id
from shared.compute.tags import GENERATION, POLICY, RUN, SAGA
from shared.compute.values import epoch_ms, spelling
from shared.saga.names import restore_point_name

if TYPE_CHECKING:
    from azure.mgmt.compute.models import Snapshot

#: Disk states in which a snapshot's content is being read or written by somebody (DiskState in the provider's
#: REST specification). While a shared access signature is out, Azure refuses to delete.
_IN_USE = {
    "ActiveSAS": "a shared access signature for it is out (diskState ActiveSAS): it may be being read",
    "ActiveUpload": "it is being written to (diskState ActiveUpload)",
    "ReadyToUpload": "it is being written to (diskState ReadyToUpload)",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a snapshot or a restore point is."""

    policy: str
    run_id: str
    saga_id: str
    generation: int

    def tags(self) -> dict[str, str]:
        """Give the tags that say so."""
        return {POLICY: self.policy, RUN: self.run_id, SAGA: self.saga_id, GENERATION: str(self.generation)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A snapshot or a restore point as it is seen. ``tags`` are Stillframe's own: a restore point has none.

    ``in_use`` says in words by whom; empty when by nobody. ``created`` is ms since the epoch.
    """

    resource_id: str
    tags: Mapping[str, str]
    in_use: str = ""
    created: int | None = None

    def disagrees(self, owner: Owner) -> str:
        """Say in what it is not its owner's, by its tags or (a restore point) by its name; empty if it is."""
        if is_restore_point(self.resource_id):
            wanted = restore_point_name(owner.saga_id, owner.generation)
            name = parse_restore_point_id(self.resource_id).name
            return "" if name == wanted else f"its name is {name}, not {wanted}"
        wrong = [
            f"{name} is {self.tags.get(name, '(missing)')!r}, not {value!r}"
            for name, value in owner.tags().items()
            if self.tags.get(name) != value
        ]
        return f"its tags say otherwise: {', '.join(wrong)}" if wrong else ""


async def look_at(pool: ClientPool, resource_id: str) -> Kept | None:
    """Look at a snapshot or a restore point; None when it is not there. Raises other `ComputeError`."""
    try:
        with classified():
            if is_restore_point(resource_id):
                return await _restore_point(pool, resource_id)
            target = parse_id(resource_id, Kind.SNAPSHOT)
            client = pool.of(target.subscription_id).patient
            return kept(await client.snapshots.get(target.resource_group, target.name))
    except NotFound:
        return None


async def _restore_point(pool: ClientPool, resource_id: str) -> Kept:
    point = parse_restore_point_id(resource_id)
    client = pool.of(point.subscription_id).patient
    seen = await client.restore_points.get(point.resource_group, point.collection, point.name)
    created = epoch_ms(seen.properties.time_created) if seen.properties else None
    return Kept(resource_id=resource_id, tags={}, created=created)


def kept(snapshot: "Snapshot") -> Kept:
    """Say what of a snapshot matters here."""
    properties = snapshot.properties
    tags = {
        name: str(value) for name, value in (snapshot.tags or {}).items() if name.startswith("stillframe-")
    }
    return Kept(
        resource_id=str(snapshot.id),
        tags=tags,
        in_use=_IN_USE.get(spelling(properties.disk_state), "") if properties else "",
        created=epoch_ms(properties.time_created) if properties else None,
    )
