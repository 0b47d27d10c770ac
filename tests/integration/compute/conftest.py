"""The app's own compute layer against the served simulator."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from local.arm.app import running
from local.arm.contract import violations
from local.arm.disks import NoDisks
from local.arm.faults import Drop, Fault
from local.arm.guests import GuestBackend, GuestResult
from local.arm.journal import Exchange
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from local.arm.state import SimWorld
from shared.compute import CaptureTarget, ClientPool, Compute, FailedOperation
from shared.compute.credentials import LoopbackCredential
from shared.policy.snapshots import SnapshotSettings
from shared.saga.evidence import DiskCapture
from shared.saga.facts import DiskFacts, VmFacts
from shared.saga.names import snapshot_id
from tests.templates.rights import needs, roles

SNAPSHOTS = "stillframe-snapshots"
SAGA = "0123456789abcdef0123"
TAGS = {"stillframe-saga": SAGA, "stillframe-run": "r1"}

DB1 = VmSpec(
    name="db1",
    disks=(
        DiskSpec(name="db1-os", size_gb=30),
        DiskSpec(name="db1-journal", lun=0),
        DiskSpec(name="db1-accounts", lun=1, size_gb=8, sku="PremiumV2_LRS"),
    ),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class QuietGuest(GuestBackend):
    """Remembers the scripts that it was given, and ends each of them at once."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, dict[str, str]]] = []

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        self.runs.append((vm_name, script, dict(environment)))
        return GuestResult(0, "", "")


@dataclass
class Azure:
    """The simulated world, and the compute layer that talks to it."""

    world: SimWorld
    disks: NoDisks
    guest: QuietGuest
    compute: Compute
    endpoint: str
    failed: list[FailedOperation] = field(default_factory=list)

    @property
    def vm_id(self) -> str:
        return next(str(vm.id) for vm in self.world.resources.vms.values())

    async def facts(self) -> VmFacts:
        return await self.compute.read_facts(self.vm_id, SnapshotSettings(resource_group=SNAPSHOTS))

    async def targets(self, generation: int = 1) -> tuple[CaptureTarget, ...]:
        return targets_of((await self.facts()).disks, generation)

    async def capture(
        self,
        targets: Sequence[CaptureTarget],
        *,
        within_ms: int = 20_000,
        not_before: int | None = None,
        held: bool = True,
    ) -> tuple[DiskCapture, ...]:
        now = now_ms()
        return await self.compute.capture(
            targets,
            tags=TAGS,
            not_before=now if not_before is None else not_before,
            deadline=now + within_ms,
            held=held,
            on_failed=self.failed.append,
        )

    def fault(self, fault: Fault, times: int = 1) -> None:
        self.world.faults.add(fault, times)

    def requests(self, method: str, path_contains: str = "") -> list[Exchange]:
        return list(self.world.journal.select(method=method, path_contains=path_contains))


def targets_of(disks: Sequence[DiskFacts], generation: int) -> tuple[CaptureTarget, ...]:
    return tuple(CaptureTarget(disk, snapshot_id(disk, SNAPSHOTS, SAGA, generation)) for disk in disks)


def throttled(*, retry_after_s: int) -> Fault:
    """A throttled snapshot PUT in the provider's shape: the outer code is that of a conflict."""
    inner = {"code": "TooManyRequests", "target": "HighCostSnapshotCreateHydrate3Min", "message": "slow down"}
    error = {"code": "OperationNotAllowed", "message": "slow down", "details": [inner]}
    return Fault(
        method="PUT",
        path_contains="/snapshots/",
        status=429,
        body={"error": error},
        headers={"Retry-After": str(retry_after_s)},
    )


def lost_answer(*, method: str = "PUT", path_contains: str = "/snapshots/", drop: Drop = Drop.AFTER) -> Fault:
    return Fault(method=method, path_contains=path_contains, drop=drop)


@asynccontextmanager
async def serving(*vms: VmSpec, settings: SimSettings | None = None) -> AsyncIterator[Azure]:
    disks, guest = NoDisks(), QuietGuest()
    world = SimWorld(
        disks=disks,
        guests=guest,
        vms=vms or [DB1],
        groups=[SNAPSHOTS],
        settings=settings or SimSettings(capture_gap_s=0.02, snapshot_latency_s=0.02),
    )
    async with running(world) as endpoint:
        compute = Compute(ClientPool(LoopbackCredential, endpoint=endpoint), now_ms)
        try:
            yield Azure(world, disks, guest, compute, endpoint)
            asked = {need.action for need in needs(world.journal.select())}
            assert asked - set[str]().union(*roles().values()) == set(), "no role of the app gives it"
        finally:
            await compute.close()


@pytest.fixture
async def azure() -> AsyncIterator[Azure]:
    """One VM with three disks; whatever a test does, every request and answer keeps the SDK's schema."""
    async with serving() as served:
        yield served
        assert violations(served.world.journal.select()) == []
