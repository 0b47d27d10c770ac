"""What was made and kept: whether it is still there, whose it is, and whether somebody is using it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from shared.compute.client import ClientPool
from shared.compute.errors import NotFound, Refused, classified
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

    @property
    def saga_id(self) -> str:
        """The saga that made it, by its tag; empty where there is none."""
        return self.tags.get(SAGA, "")

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


async def list_kept(
    pool: ClientPool, subscription_id: str, group: str, marker: str = ""
) -> tuple[tuple[Kept, ...], str]:
    """List a page of the snapshots of a resource group that have tags of Stillframe, and where to go on.

    A group that is not there has none. Raises `ComputeError`, that is `Refused` for a marker that leads
    elsewhere: our token goes where it leads.
    """
    if marker and not _leads_to_snapshots(marker, pool.endpoint, subscription_id, group):
        raise Refused("ForeignLink", f"not the next page of the snapshots of {group}")
    listed = pool.of(subscription_id).patient.snapshots.list_by_resource_group(group)
    try:
        with classified():
            pages = listed.by_page(continuation_token=marker or None)
            async for page in pages:
                found = [kept(snapshot) async for snapshot in page]
                following = str(getattr(pages, "continuation_token", None) or "")
                return tuple(each for each in found if each.tags), following
    except NotFound:
        pass
    return (), ""


def _leads_to_snapshots(link: str, endpoint: str, subscription_id: str, group: str) -> bool:
    try:
        to, ours = urlsplit(link), urlsplit(endpoint)
        same_door = (to.scheme, to.hostname, _port(to)) == (ours.scheme, ours.hostname, _port(ours))
    except ValueError:
        return False
    path = f"/subscriptions/{subscription_id}/resourceGroups/{group}/providers/Microsoft.Compute/snapshots"
    return same_door and not to.username and unquote(to.path).lower() == path.lower()


def _port(url: SplitResult) -> int | None:
    return url.port or {"https": 443, "http": 80}.get(url.scheme)


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
