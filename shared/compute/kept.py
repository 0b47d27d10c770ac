"""What was made and kept: whether it is still there, whose it is, and whether somebody is using it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from shared.compute.client import ClientPool
from shared.compute.errors import NotFound, Refused, classified
from shared.compute.names import Kind, is_restore_point, parse_id, parse_restore_point_id
from shared.compute.tags import GENERATION, POLICY, RUN, SAGA
from shared.compute.values import epoch_ms, spelling
from shared.saga.names import restore_point_name

if TYPE_CHECKING:
    from azure.core.async_paging import AsyncItemPaged
    from azure.mgmt.compute.models import RestorePoint, Snapshot

#: Disk states in which a snapshot's content is being read or written by somebody (DiskState in the provider's
#: REST specification). While a shared access signature is out, Azure refuses to delete.
_IN_USE = {
    "ActiveSAS": "a shared access signature for it is out (diskState ActiveSAS): it may be being read",
    "ActiveUpload": "it is being written to (diskState ActiveUpload)",
    "ReadyToUpload": "it is being written to (diskState ReadyToUpload)",
}

#: What is listed in a resource group, in this order; the name of a kind is where its list begins.
_LISTED = (Kind.SNAPSHOT, Kind.COLLECTION)

_POINT_NAME = re.compile("sf-([0-9a-f]{20})-g[0-9]+")


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
    ``is_copy``: a snapshot that was copied from another region. In a list, a restore point has the VM and the
    tags of its collection.
    """

    resource_id: str
    tags: Mapping[str, str]
    in_use: str = ""
    created: int | None = None
    is_copy: bool = False
    vm_id: str = ""
    collection_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def saga_id(self) -> str:
        """The saga that made it, by its tag or (a restore point) by its name; empty where there is none."""
        if is_restore_point(self.resource_id):
            named = _POINT_NAME.fullmatch(parse_restore_point_id(self.resource_id).name)
            return named[1] if named else ""
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
    """List a page of what there is of Stillframe in a resource group, and where to go on; empty at the end.

    First come snapshots with its tags, then restore points with its names; a group that is gone has none.
    Raises `ComputeError`, that is `Refused` for a marker that leads elsewhere: our token goes where it leads.
    """
    endpoint = pool.endpoint
    kind = next((each for each in _LISTED if leads_to(each, marker, endpoint, subscription_id, group)), None)
    if kind is None:
        raise Refused("ForeignLink", f"not the next page of what is in {group}")
    link = "" if marker in ("", *_LISTED) else marker
    try:
        with classified():
            if kind == Kind.SNAPSHOT:
                return await _snapshots_of(pool, subscription_id, group, link)
            return await _points_of(pool, subscription_id, group, link)
    except NotFound:
        return (), ""


async def _snapshots_of(
    pool: ClientPool, subscription_id: str, group: str, link: str
) -> tuple[tuple[Kept, ...], str]:
    listed = pool.of(subscription_id).patient.snapshots.list_by_resource_group(group)
    snapshots, following = await page_of(listed, link)
    found = [kept(snapshot) for snapshot in snapshots]
    return tuple(each for each in found if each.tags), following or Kind.COLLECTION.value


async def _points_of(
    pool: ClientPool, subscription_id: str, group: str, link: str
) -> tuple[tuple[Kept, ...], str]:
    collections = pool.of(subscription_id).patient.restore_point_collections
    page, following = await page_of(collections.list(group), link)
    found: list[Kept] = []
    for collection in page:
        name = collection.name or ""
        if name.startswith("sf-"):
            whole = await collections.get(group, name, expand="restorePoints")
            points = (whole.properties.restore_points if whole.properties else None) or []
            source = whole.properties.source if whole.properties else None
            vm_id, told = str(source.id or "") if source else "", _own_tags(whole.tags)
            found += [
                replace(_kept_point(str(point.id), point), vm_id=vm_id, collection_tags=told)
                for point in points
            ]
    return tuple(each for each in found if each.saga_id), following


async def page_of[T](listed: "AsyncItemPaged[T]", link: str) -> tuple[list[T], str]:
    """Give one page of a list, and the link to the next one."""
    pages = listed.by_page(continuation_token=link or None)
    async for page in pages:
        items = [item async for item in page]
        return items, str(getattr(pages, "continuation_token", None) or "")
    return [], ""


def leads_to(kind: Kind, marker: str, endpoint: str, subscription_id: str, group: str) -> bool:
    """Whether a marker is the beginning of the list of a kind, or a link to one of its pages."""
    if marker in ("", *_LISTED):
        return kind == (marker or Kind.SNAPSHOT)
    try:
        to, ours = urlsplit(marker), urlsplit(endpoint)
        same_door = (to.scheme, to.hostname, _port(to)) == (ours.scheme, ours.hostname, _port(ours))
    except ValueError:
        return False
    path = f"/subscriptions/{subscription_id}/resourceGroups/{group}/providers/Microsoft.Compute/{kind}"
    return same_door and not to.username and unquote(to.path).lower() == path.lower()


def _port(url: SplitResult) -> int | None:
    return url.port or {"https": 443, "http": 80}.get(url.scheme)


async def _restore_point(pool: ClientPool, resource_id: str) -> Kept:
    point = parse_restore_point_id(resource_id)
    client = pool.of(point.subscription_id).patient
    seen = await client.restore_points.get(point.resource_group, point.collection, point.name)
    return _kept_point(resource_id, seen)


def _kept_point(resource_id: str, point: "RestorePoint") -> Kept:
    created = epoch_ms(point.properties.time_created) if point.properties else None
    return Kept(resource_id=resource_id, tags={}, created=created)


def kept(snapshot: "Snapshot") -> Kept:
    """Say what of a snapshot matters here."""
    properties = snapshot.properties
    creation = properties.creation_data if properties else None
    return Kept(
        resource_id=str(snapshot.id),
        tags=_own_tags(snapshot.tags),
        is_copy=creation is not None and spelling(creation.create_option) == "CopyStart",
        in_use=_IN_USE.get(spelling(properties.disk_state), "") if properties else "",
        created=epoch_ms(properties.time_created) if properties else None,
    )


def _own_tags(given: Mapping[str, str] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (given or {}).items() if name.startswith("stillframe-")}
