"""The collections that a VM's restore points lie in, once they are empty.

Deleting a collection deletes every restore point in it (Restore Point Collections - Delete, Microsoft Learn).
So one is deleted only by who knows that nobody is about to make a point there, and has just seen it empty.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.compute.client import ClientPool
from shared.compute.deletion import delete_until_gone
from shared.compute.errors import NotFound, NotOurs, Refused, classified
from shared.compute.kept import leads_to, page_of
from shared.compute.names import Kind, parse_id
from shared.compute.tags import SAGA
from shared.saga.names import collection_name

if TYPE_CHECKING:
    from azure.mgmt.compute.models import RestorePointCollection


@dataclass(frozen=True, slots=True)
class OwnCollection:
    """A collection by its id, the VM that it is for, and the saga that made its newest point."""

    resource_id: str
    vm_id: str
    saga_id: str


async def list_own(
    pool: ClientPool, subscription_id: str, group: str, link: str = ""
) -> tuple[tuple[OwnCollection, ...], str]:
    """List a page of the collections in a resource group that Stillframe made, and the link to the next.

    A group that is gone has none. Raises `ComputeError`, that is `Refused` for a link that leads elsewhere.
    """
    if link and not leads_to(Kind.COLLECTION, link, pool.endpoint, subscription_id, group):
        raise Refused("ForeignLink", f"not the next page of what is in {group}")
    try:
        with classified():
            listed = pool.of(subscription_id).patient.restore_point_collections.list(group)
            page, following = await page_of(listed, link)
    except NotFound:
        return (), ""
    with classified():
        found = [_own(each) for each in page]
    return tuple(each for each in found if each is not None), following


async def is_empty(pool: ClientPool, collection_id: str) -> bool:
    """Whether there is a collection and it has no restore point. Raises `ComputeError`."""
    target = parse_id(collection_id, Kind.COLLECTION)
    collections = pool.of(target.subscription_id).patient.restore_point_collections
    try:
        with classified():
            whole = await collections.get(target.resource_group, target.name, expand="restorePoints")
            return not (whole.properties.restore_points if whole.properties else None)
    except NotFound:
        return False


async def delete(pool: ClientPool, collection: OwnCollection) -> None:
    """Delete a collection; one that is not there is fine. Returns when it is gone.

    Raises `NotOurs` for a name that Stillframe does not give, `TimedOut` and other `ComputeError`.
    """
    target = parse_id(collection.resource_id, Kind.COLLECTION)
    if target.name.lower() != collection_name(collection.vm_id).lower():
        raise NotOurs(collection.resource_id, collection.saga_id)
    collections = pool.of(target.subscription_id).patient.restore_point_collections

    async def is_there() -> bool:
        try:
            with classified():
                await collections.get(target.resource_group, target.name)
        except NotFound:
            return False
        return True

    await delete_until_gone(
        collection.resource_id, lambda: collections.begin_delete(target.resource_group, target.name), is_there
    )


def _own(collection: "RestorePointCollection") -> OwnCollection | None:
    source = collection.properties.source if collection.properties else None
    vm_id = str(source.id) if source and source.id else ""
    saga_id = str((collection.tags or {}).get(SAGA, ""))
    named = vm_id.count("/") > 4 and (collection.name or "").lower() == collection_name(vm_id).lower()
    return OwnCollection(str(collection.id), vm_id, saga_id) if named and saga_id else None
