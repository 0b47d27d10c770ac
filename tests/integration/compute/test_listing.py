"""VMs of a subscription or a group, page by page, over the real SDK."""

import pytest

from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from shared.compute.errors import NotFound, Refused
from shared.policy.selection import Scope, VmSummary
from tests.integration.compute.conftest import Azure, serving

SUB = "00000000-0000-0000-0000-000000000001"


def spec(number: int, *, group: str = "shop", **tags: str) -> VmSpec:
    name = f"vm-{number:04}"
    disks = (DiskSpec(name=f"{name}-os"),)
    return VmSpec(name=name, disks=disks, resource_group=group, os_type="Windows", tags=tags)


async def all_of(azure: Azure, scope: Scope) -> list[VmSummary]:
    found: list[VmSummary] = []
    page, more = "", True
    while more:
        listed = await azure.compute.list_vms(scope, page)
        found += listed.vms
        page, more = listed.following, bool(listed.following)
    return found


async def test_a_vm_is_summed_up_as_rules_look_at_it() -> None:
    async with serving(spec(1, Env="prod"), settings=SimSettings()) as azure:
        [vm] = await all_of(azure, Scope(SUB, "shop"))
    assert (vm.name, vm.resource_group.lower(), vm.subscription) == ("vm-0001", "shop", SUB)
    assert (vm.location, vm.os, vm.tags) == ("westeurope", "Windows", (("Env", "prod"),))


async def test_two_thousand_vms_come_page_by_page_each_once() -> None:
    async with serving(*(spec(number) for number in range(2_000)), settings=SimSettings()) as azure:
        found = await all_of(azure, Scope(SUB))
        requests = azure.requests("GET", "virtualMachines")
    assert len({vm.id for vm in found}) == len(found) == 2_000
    assert len(requests) == 20


async def test_a_group_has_its_own_vms_and_a_group_that_is_not_there_is_told() -> None:
    async with serving(spec(1), spec(2, group="other"), settings=SimSettings()) as azure:
        assert [vm.name for vm in await all_of(azure, Scope(SUB, "other"))] == ["vm-0002"]
        with pytest.raises(NotFound):
            await all_of(azure, Scope(SUB, "nowhere"))
        with pytest.raises(NotFound):
            await all_of(azure, Scope(SUB[:-1] + "9"))


async def test_no_token_is_sent_where_a_foreign_link_leads() -> None:
    async with serving(spec(1), settings=SimSettings()) as azure:
        with pytest.raises(Refused) as refused:
            await azure.compute.list_vms(Scope(SUB), "https://elsewhere.invalid/subscriptions")
    assert refused.value.code == "ForeignLink"
