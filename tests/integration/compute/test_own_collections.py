"""Collections of restore points through the app's own compute layer and the unmodified client."""

from dataclasses import replace

import pytest

from local.arm.faults import Fault
from local.arm.settings import SimSettings
from shared.compute.collections import OwnCollection
from shared.compute.errors import Denied, NotOurs, Refused
from tests.integration.compute.conftest import SAGA, SNAPSHOTS, Azure, serving
from tests.integration.compute.test_restore_points import PLAIN, point_id, take

TAGS = {"stillframe-saga": SAGA, "cost-center": "7"}


def collection_id(azure: Azure) -> str:
    return point_id(azure).partition("/restorePoints/")[0]


def subscription(azure: Azure) -> str:
    return azure.vm_id.split("/")[2]


async def listed(azure: Azure) -> list[OwnCollection]:
    found: list[OwnCollection] = []
    link = ""
    while True:
        page, link = await azure.compute.list_collections(subscription(azure), SNAPSHOTS, link)
        found += page
        if not link:
            return found


async def test_a_collection_is_empty_once_its_last_point_is_deleted_and_is_deleted_then() -> None:
    async with serving(PLAIN) as azure:
        await take(azure, tags=TAGS)
        await take(azure, tags=TAGS, generation=2)
        [own] = await listed(azure)
        assert own == OwnCollection(own.resource_id, azure.vm_id, SAGA)
        assert own.resource_id.lower() == collection_id(azure).lower()
        await azure.compute.delete(point_id(azure), SAGA)
        assert not await azure.compute.is_empty(own.resource_id)
        await azure.compute.delete(point_id(azure, 2), SAGA)
        assert await azure.compute.is_empty(own.resource_id)
        await azure.compute.delete_collection(own)
        assert await listed(azure) == []
        assert not await azure.compute.is_empty(own.resource_id)
        await take(azure, tags=TAGS, generation=3)  # the next run makes it anew
        assert len(await listed(azure)) == 1


async def test_one_that_says_nothing_of_a_saga_or_has_another_name_is_none_of_ours() -> None:
    async with serving(PLAIN) as azure:
        await take(azure, tags={"cost-center": "7"})
        assert await listed(azure) == []
        resources = azure.world.resources
        [made] = resources.collections.values()
        foreign = replace(made, id=replace(made.id, path=(made.id.path[0], "sf-of-others")), tags=TAGS)
        resources.collections[foreign.id.key] = foreign
        assert await listed(azure) == []
        stranger = OwnCollection(str(foreign.id), azure.vm_id, SAGA)
        with pytest.raises(NotOurs):
            await azure.compute.delete_collection(stranger)
        assert azure.requests("DELETE") == []


async def test_collections_come_page_by_page_and_a_link_that_leads_elsewhere_is_not_followed() -> None:
    async with serving(PLAIN, settings=SimSettings(page_size=1)) as azure:
        await take(azure, tags=TAGS)
        resources = azure.world.resources
        [made] = resources.collections.values()
        another = replace(made, id=replace(made.id, path=(made.id.path[0], "sf-of-others")), tags=TAGS)
        resources.collections[another.id.key] = another
        assert len(await listed(azure)) == 1
        for link in ("https://elsewhere.example/steal", "nonsense"):
            with pytest.raises(Refused) as refused:
                await azure.compute.list_collections(subscription(azure), SNAPSHOTS, link)
            assert refused.value.code == "ForeignLink"


async def test_a_group_that_is_gone_has_none() -> None:
    async with serving(PLAIN) as azure:
        assert await azure.compute.list_collections(subscription(azure), "gone") == ((), "")


async def test_who_may_not_delete_is_told() -> None:
    async with serving(PLAIN) as azure:
        await take(azure, tags=TAGS)
        await azure.compute.delete(point_id(azure), SAGA)
        [own] = await listed(azure)
        denied = {"error": {"code": "AuthorizationFailed", "message": "no"}}
        azure.fault(Fault(method="DELETE", status=403, body=denied), times=1)
        with pytest.raises(Denied):
            await azure.compute.delete_collection(own)
