from dataclasses import replace
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from local.arm.faults import Fault
from local.arm.settings import SimSettings
from local.arm.specs import POWER_STATES, DiskSpec, VmSpec
from shared.compute import ClientPool, Compute
from shared.compute.credentials import LoopbackCredential
from shared.compute.errors import Denied, NotFound
from shared.compute.names import InvalidResourceId
from shared.policy.snapshots import SnapshotSettings
from shared.saga.facts import VmShape
from tests.integration.compute.conftest import DB1, SNAPSHOTS, Azure, now_ms, serving, targets_of

ANYWHERE = SnapshotSettings(resource_group=SNAPSHOTS)


async def test_a_running_vm_is_read_with_all_its_disks(azure: Azure) -> None:
    facts = await azure.facts()

    assert (facts.vm_id, facts.name, facts.location) == (azure.vm_id, "db1", "westeurope")
    assert (facts.os_type, facts.power_state, facts.vm_agent_ready) == ("Linux", "running", True)
    assert facts.running
    assert facts.obstacles == ()
    assert [(disk.name, disk.slot, disk.sku, disk.size_gib) for disk in facts.disks] == [
        ("db1-os", "os", "Premium_LRS", 30),
        ("db1-journal", "0", "Premium_LRS", 4),
        ("db1-accounts", "1", "PremiumV2_LRS", 8),
    ]


async def test_what_a_restore_has_to_know_is_read_with_the_vm() -> None:
    cached = (replace(DB1.disks[0], caching="ReadOnly"), *DB1.disks[1:])
    async with serving(
        replace(DB1, disks=cached, size="Standard_E4s_v5", security_type="TrustedLaunch", zones=("2",))
    ) as azure:
        fast = azure.world.resources.disks[
            azure.vm_id.lower().replace("virtualmachines/db1", "disks/db1-accounts")
        ]
        tuned = {
            "diskIOPSReadWrite": 5000,
            "diskMBpsReadWrite": 300,
            "creationData": {"createOption": "Empty"},
        }
        azure.world.resources.disks[fast.id.key] = replace(fast, asked=tuned)
        facts = await azure.facts()

    assert facts.shape == VmShape(
        size="Standard_E4s_v5",
        generation="V2",
        security="TrustedLaunch",
        secure_boot=True,
        vtpm=True,
        zone="2",
    )
    assert [(disk.caching, disk.iops, disk.mbps) for disk in facts.disks] == [
        ("ReadOnly", 0, 0),
        ("None", 0, 0),
        ("None", 5000, 300),
    ]


async def test_the_vm_costs_one_request_and_each_disk_and_the_group_one(azure: Azure) -> None:
    await azure.facts()

    assert len(azure.requests("GET")) == 5


@pytest.mark.parametrize("power", POWER_STATES)
async def test_power_states_are_told_as_azure_names_them(power: str) -> None:
    async with serving(replace(DB1, power=power)) as azure:
        facts = await azure.facts()

    assert facts.power_state == power
    assert facts.running is (power == "running")
    assert facts.vm_agent_ready is (power == "running")


async def test_an_agent_that_does_not_report_is_not_ready() -> None:
    async with serving(replace(DB1, agent_ready=False)) as azure:
        assert not (await azure.facts()).vm_agent_ready


async def test_the_vms_own_tags_are_read() -> None:
    async with serving(replace(DB1, tags={"role": "db", "Env": "prod"})) as azure:
        assert (await azure.facts()).tags == (("Env", "prod"), ("role", "db"))


async def test_windows_is_told_from_linux() -> None:
    async with serving(replace(DB1, os_type="Windows")) as azure:
        assert (await azure.facts()).os_type == "Windows"


async def test_without_a_group_the_snapshots_beside_each_disk_are_looked_at(azure: Azure) -> None:
    await azure.compute.read_facts(azure.vm_id, SnapshotSettings())

    [listing] = azure.requests("GET", "stillframe-vms/providers/Microsoft.Compute/snapshots")
    assert listing.status == 200


async def test_seven_young_snapshots_of_a_disk_are_an_obstacle_over_several_pages() -> None:
    async with serving(settings=SimSettings(capture_gap_s=0.0, background_copy_s=0.0, page_size=5)) as azure:
        disks = (await azure.facts()).disks
        for generation in range(1, 8):  # without reading them in between: a list of several pages is kept
            await azure.capture(targets_of(disks, generation))
        facts = await azure.facts()

    assert [obstacle.partition(" got ")[0] for obstacle in facts.passing_obstacles] == [
        "disk db1-os",
        "disk db1-journal",
        "disk db1-accounts",
    ]


async def test_three_copies_in_flight_of_an_ultra_disk_are_an_obstacle() -> None:
    settings = SimSettings(capture_gap_s=0.0, background_copy_s=3600.0)
    async with serving(settings=settings) as azure:
        for generation in range(1, 4):
            await azure.capture(await azure.targets(generation))
        facts = await azure.facts()

    assert facts.passing_obstacles == (
        "disk db1-accounts (PremiumV2_LRS) has 3 snapshots in flight, and 3 are allowed",
    )


async def test_a_disk_that_is_still_being_filled_is_an_obstacle() -> None:
    vm = VmSpec(name="new", disks=(DiskSpec(name="new-os", completion_percent=12.5),))
    async with serving(vm) as azure:
        assert (await azure.facts()).obstacles == ("disk new-os is still being filled (12.5 %)",)


async def test_a_vm_that_is_not_there_is_not_found(azure: Azure) -> None:
    with pytest.raises(NotFound) as missing:
        await azure.compute.read_facts(azure.vm_id + "2", ANYWHERE)

    assert (missing.value.code, missing.value.passing) == ("ResourceNotFound", False)


async def test_a_target_group_that_is_not_there_is_found_out_before_anything_is_frozen(azure: Azure) -> None:
    missing_group = {"error": {"code": "ResourceGroupNotFound", "message": "no such group"}}
    azure.fault(Fault(method="GET", path_contains=f"{SNAPSHOTS}/", status=404, body=missing_group))

    with pytest.raises(NotFound) as missing:
        await azure.facts()

    assert missing.value.code == "ResourceGroupNotFound"


async def test_a_disk_that_may_not_be_read_is_denied(azure: Azure) -> None:
    denied = {"error": {"code": "AuthorizationFailed", "message": "no"}}
    azure.fault(Fault(method="GET", path_contains="/disks/db1-journal", status=403, body=denied))

    with pytest.raises(Denied):
        await azure.facts()


async def test_a_short_failure_of_the_service_is_tried_again(azure: Azure) -> None:
    azure.fault(Fault(method="GET", path_contains="/virtualMachines/", status=503), times=1)

    assert (await azure.facts()).name == "db1"


async def test_a_malformed_id_is_refused_before_anything_is_sent(azure: Azure) -> None:
    with pytest.raises(InvalidResourceId):
        await azure.compute.read_facts("db1", ANYWHERE)

    assert azure.requests("GET") == []


async def test_warming_asks_azure_for_nothing(azure: Azure) -> None:
    await azure.compute.warm(azure.vm_id)

    assert azure.requests("GET") == []


async def test_warming_without_a_token_says_that_there_is_none() -> None:
    class Nobody(LoopbackCredential):
        async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            raise ClientAuthenticationError("no managed identity here")

    compute = Compute(ClientPool(Nobody), now_ms)
    with pytest.raises(Denied) as denied:
        await compute.warm("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v")
    await compute.close()

    assert denied.value.code == "NoToken"
