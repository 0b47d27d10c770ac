"""One app, two subscriptions in two regions, each a simulated world behind the one Resource Manager."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from local.arm.app import running
from local.arm.disks import NoDisks
from local.arm.faults import Fault
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.arm.state import SimWorld
from shared.compute import CaptureTarget, ClientPool, Compute
from shared.compute.credentials import LoopbackCredential
from shared.compute.errors import ComputeError
from shared.policy.selection import Scope
from shared.policy.snapshots import SnapshotSettings
from shared.saga.evidence import DiskCapture
from shared.saga.names import snapshot_id
from tests.integration.compute.conftest import SAGA, SNAPSHOTS, TAGS, QuietGuest, now_ms

FIRST, SECOND = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
REGIONS = {FIRST: "westeurope", SECOND: "northeurope"}


@dataclass(frozen=True)
class Tenant:
    """The compute layer of one app, and the world of each subscription."""

    compute: Compute
    worlds: dict[str, SimWorld]

    def vm_id(self, subscription: str) -> str:
        return next(str(vm.id) for vm in self.worlds[subscription].resources.vms.values())

    async def capture(self, subscription: str) -> tuple[DiskCapture, ...]:
        facts = await self.compute.read_facts(
            self.vm_id(subscription), SnapshotSettings(resource_group=SNAPSHOTS)
        )
        targets = [CaptureTarget(disk, snapshot_id(disk, SNAPSHOTS, SAGA, 1)) for disk in facts.disks]
        now = now_ms()
        return await self.compute.capture(
            targets, tags=TAGS, not_before=now, deadline=now + 20_000, held=True, on_failed=lambda _: None
        )


def front_door(endpoints: dict[str, str], session: aiohttp.ClientSession) -> web.Application:
    """Pass each request to the world of the subscription in its path, as the host that it was sent to."""

    async def serve(request: web.Request) -> web.Response:
        endpoint = endpoints[request.path.split("/")[2].lower()]
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        body = await request.read()
        async with session.request(
            request.method, endpoint + request.path_qs, headers=headers, data=body, allow_redirects=False
        ) as answer:
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in ("content-length", "date")}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", serve)
    return app


@pytest.fixture
async def tenant() -> AsyncIterator[Tenant]:
    async with AsyncExitStack() as stack:
        worlds = {
            subscription: SimWorld(
                disks=NoDisks(),
                guests=QuietGuest(),
                vms=[
                    VmSpec(
                        name="db1",
                        disks=(DiskSpec(name="db1-os"), DiskSpec(name="db1-data", lun=0)),
                        location=region,
                    )
                ],
                groups=[SNAPSHOTS],
                subscription_id=subscription,
                settings=SimSettings(capture_gap_s=0.02, snapshot_latency_s=0.02),
            )
            for subscription, region in REGIONS.items()
        }
        endpoints = {
            subscription: await stack.enter_async_context(running(world))
            for subscription, world in worlds.items()
        }
        session = await stack.enter_async_context(aiohttp.ClientSession())
        server = await stack.enter_async_context(TestServer(front_door(endpoints, session)))
        endpoint = str(server.make_url("")).rstrip("/").replace("localhost", "127.0.0.1")
        compute = Compute(ClientPool(LoopbackCredential, endpoint=endpoint), now_ms)
        stack.push_async_callback(compute.close)
        yield Tenant(compute, worlds)


async def test_vms_of_the_same_name_are_captured_at_once_each_into_its_own_subscription_and_region(
    tenant: Tenant,
) -> None:
    captured = await asyncio.gather(*(tenant.capture(subscription) for subscription in REGIONS))

    for subscription, disks in zip(REGIONS, captured, strict=True):
        assert all(disk.captured for disk in disks)
        assert {disk.snapshot_id.split("/")[2] for disk in disks} == {subscription}
        puts = list(tenant.worlds[subscription].journal.select(method="PUT", path_contains="/snapshots/"))
        assert len(puts) == len(disks) == 2
        assert {put.request_body["location"] for put in puts} == {REGIONS[subscription]}


async def test_a_subscription_that_refuses_takes_nothing_from_the_other(tenant: Tenant) -> None:
    error = {"error": {"code": "AuthorizationFailed", "message": "no role here"}}
    tenant.worlds[SECOND].faults.add(
        Fault(method="GET", path_contains="virtualMachines", status=403, body=error), 9
    )

    with pytest.raises(ComputeError) as refused:
        await tenant.capture(SECOND)
    captured = await tenant.capture(FIRST)

    assert refused.value.code == "AuthorizationFailed"
    assert all(disk.captured for disk in captured)


async def test_a_selection_over_both_finds_the_vms_of_both(tenant: Tenant) -> None:
    pages = await asyncio.gather(
        *(tenant.compute.list_vms(Scope(subscription), "") for subscription in REGIONS)
    )

    found = [(vm.subscription, vm.location, vm.name) for page in pages for vm in page.vms]
    assert found == [(FIRST, "westeurope", "db1"), (SECOND, "northeurope", "db1")]


async def test_what_is_kept_is_found_and_deleted_in_its_own_subscription(tenant: Tenant) -> None:
    for subscription in REGIONS:
        await tenant.capture(subscription)
    kept = [str(each.id) for each in tenant.worlds[SECOND].resources.snapshots.values()]

    await tenant.compute.delete(kept[0], SAGA)

    listed = await tenant.compute.list_kept(SECOND, SNAPSHOTS, "")
    assert listed is not None
    assert len(tenant.worlds[FIRST].resources.snapshots) == 2
    assert len(list(tenant.worlds[SECOND].journal.select(method="DELETE"))) == 1
    assert list(tenant.worlds[FIRST].journal.select(method="DELETE")) == []
