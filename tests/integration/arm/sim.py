"""What the simulator's tests share: a world that is served, and the real client of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute.aio import ComputeManagementClient

from local.arm.app import running
from local.arm.clock import SystemClock
from local.arm.disks import NoDisks
from local.arm.guests import GuestBackend, LocalShell
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.arm.state import SimWorld

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
VM_GROUP = "stillframe-vms"
SNAPSHOT_GROUP = "stillframe-snapshots"
LOCATION = "westeurope"

DB1 = VmSpec(
    name="db1",
    disks=(
        DiskSpec(name="db1-os", size_gb=30),
        DiskSpec(name="db1-journal", lun=0),
        DiskSpec(name="db1-accounts", lun=1, size_gb=8, sku="PremiumV2_LRS"),
    ),
    tags={"env": "test"},
)


class ShiftedClock(SystemClock):
    """The system's clock, which a test may turn forward."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.shift_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.shift_s


class FixedToken:
    """A credential without a service behind it."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("a-token", 2**40)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class PlainHttpOnLoopback(SansIOHTTPPolicy[Any, Any]):
    """Lets a token go over plain HTTP to this machine only; everything else of the client stays as it is."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        if urlsplit(request.http_request.url).hostname == "127.0.0.1":
            request.context.options["enforce_https"] = False


@dataclass(frozen=True)
class Sim:
    """A served world, its address, and the real client of it.

    The client is Any: its models call every member optional, and it takes plain dicts, which its stubs deny.
    """

    world: SimWorld
    base_url: str
    client: Any
    disks: NoDisks
    clock: ShiftedClock

    async def fault(self, **rule: Any) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.base_url}/_sim/faults", json=rule) as response,
        ):
            assert response.status == 204, await response.text()

    async def admin(self, path: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.base_url}/_sim/{path}") as response,
        ):
            return await response.json()


def client_for(base_url: str, **options: Any) -> Any:
    return ComputeManagementClient(
        FixedToken(),
        SUBSCRIPTION,
        base_url=base_url,
        per_call_policies=[PlainHttpOnLoopback()],
        polling_interval=0,
        retry_backoff_factor=0,
        **options,
    )


@asynccontextmanager
async def simulated(
    *vms: VmSpec,
    settings: SimSettings | None = None,
    guests: GuestBackend | None = None,
    **client_options: Any,
) -> AsyncIterator[Sim]:
    vms = vms or (DB1,)
    disks, clock = NoDisks(), ShiftedClock()
    world = SimWorld(
        disks=disks,
        guests=guests or LocalShell({vm.name: {} for vm in vms}),
        vms=vms,
        groups=[SNAPSHOT_GROUP],
        subscription_id=SUBSCRIPTION,
        settings=settings or SimSettings(capture_gap_s=0.0, snapshot_latency_s=0.0),
        clock=clock,
    )
    async with running(world) as base_url, client_for(base_url, **client_options) as client:
        yield Sim(world, base_url, client, disks, clock)


def header_of(error: HttpResponseError, name: str) -> str:
    response: Any = error.response
    return str(response.headers[name])


def code_of(error: HttpResponseError) -> str | None:
    assert error.error is not None
    return error.error.code


def disk_id(name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}/providers/Microsoft.Compute/disks/{name}"


def vm_id(name: str) -> str:
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{VM_GROUP}"
    return f"{group}/providers/Microsoft.Compute/virtualMachines/{name}"


def snapshot_of(disk: str, **tags: str) -> dict[str, Any]:
    return {
        "location": LOCATION,
        "tags": tags,
        "sku": {"name": "Standard_ZRS"},
        "properties": {
            "creationData": {"createOption": "Copy", "sourceResourceId": disk_id(disk)},
            "incremental": True,
            "networkAccessPolicy": "DenyAll",
            "publicNetworkAccess": "Disabled",
        },
    }


async def until[T](look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], within_s: float = 20.0) -> T:
    """Look again and again until what is seen holds; fail after a deadline."""
    async with asyncio.timeout(within_s):
        while not holds(seen := await look()):  # noqa: ASYNC110 - what is looked at tells of nothing by itself
            await asyncio.sleep(0.01)
        return seen
