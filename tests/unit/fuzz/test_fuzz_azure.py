"""Azure's answers: whatever a body says, a saga gets facts that can be stored, or one of the typed errors."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local.arm.disks import NoDisks
from local.arm.guests import GuestBackend, GuestResult
from local.arm.specs import DiskSpec, VmSpec
from local.arm.state import SimWorld
from local.arm.vms import disk_json, instance_view_json, vm_json
from shared.compute import CaptureTarget
from shared.compute.capture import capture
from shared.compute.errors import ComputeError
from shared.compute.facts import read_facts
from shared.compute.making import Window
from shared.compute.names import InvalidResourceId
from shared.compute.restore_point import RestorePointTarget, take_restore_point
from shared.compute.restore_points import look_at_copy
from shared.compute.snapshots import delete, look_at_copies
from shared.policy.snapshots import RecoveryPointKind, SnapshotSettings
from shared.saga.codec import decode, encode
from shared.saga.facts import DiskFacts, VmFacts
from shared.saga.names import restore_point_id, snapshot_id
from tests.unit.fuzz.answering import Answer, Answering
from tests.unit.fuzz.examples import fuzz
from tests.unit.fuzz.mutating import mutated, mutated_text

SAGA = "0123456789abcdef0123"
NOW = 1_800_000_000_000
TIME = "2027-01-15T08:00:00.0000000+00:00"
SPEC = VmSpec(name="db1", disks=(DiskSpec(name="db1-os", size_gb=30), DiskSpec(name="db1-data", lun=0)))
ERRORS = [
    {"error": {"code": "NotAllowed", "message": "slow down", "details": [{"code": "TooManyRequests"}]}},
    {"error": {"code": "Conflict", "message": "busy", "innererror": {"internalErrorCode": "ResourceIsBusy"}}},
    {"code": "AuthorizationFailed", "message": "no"},
]  # fmt: skip


class Quiet(GuestBackend):
    async def run(self, *_: Any) -> GuestResult:
        return GuestResult(0, "", "")


@cache
def azure() -> Answering:
    return Answering()


@cache
def bodies() -> dict[str, Any]:
    """Give the bodies of a VM, of its disk, of its snapshot and its restore point."""
    world = SimWorld(disks=NoDisks(), guests=Quiet(), vms=[SPEC])
    [vm] = world.resources.vms.values()
    whole = vm_json(world, vm)
    whole["properties"]["instanceView"] = instance_view_json(world, vm)
    disk = disk_json(world.disks_of(vm)[0])
    properties = {
        "provisioningState": "Succeeded", "timeCreated": TIME, "incremental": True, "completionPercent": 40.0,
        "creationData": {"createOption": "Copy", "sourceResourceId": disk["id"]}, "diskSizeGB": 30,
    }  # fmt: skip
    tags = {"stillframe-saga": SAGA}
    snapshot = {"name": "s", "location": "westeurope", "tags": tags, "properties": properties}
    return {"vm": whole, "disk": disk, "snapshot": snapshot, "point": point(whole)}


def point(vm: dict[str, Any]) -> dict[str, Any]:
    """Give a restore point of all disks of a VM."""
    profile = vm["properties"]["storageProfile"]
    made = {"id": f"{vm['id']}/diskRestorePoints/d"}
    disks = [profile["osDisk"], *profile["dataDisks"]]
    sources = [{"managedDisk": {"id": each["managedDisk"]["id"]}, "diskRestorePoint": made} for each in disks]
    status = {"replicationStatus": {"completionPercent": 30, "status": {"code": "x"}}}
    properties = {
        "provisioningState": "Succeeded", "timeCreated": TIME, "consistencyMode": "CrashConsistent",
        "sourceMetadata": {"storageProfile": {"osDisk": sources[0], "dataDisks": sources[1:]}},
        "instanceView": {"diskRestorePoints": [status]},
    }  # fmt: skip
    return {"name": f"sf-{SAGA}-g1", "properties": properties}


@cache
def texts() -> list[str]:
    return [json.dumps(bodies()["snapshot"]), *(json.dumps(error) for error in ERRORS)]


@cache
def disks() -> tuple[DiskFacts, ...]:
    return asyncio.run(facts_of(azure(), bodies()["vm"], bodies()["disk"], {"value": []})).disks


async def facts_of(
    pool: Answering, vm: Any, disk: Any, listed: Any, kind: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS
) -> VmFacts:
    collection = {"properties": {"restorePoints": [bodies()["point"]]}} if kind else {}
    pool.transport.answers = {
        "/virtualMachines/": Answer(json.dumps(vm)),
        "/disks/": Answer(json.dumps(disk)),
        "/snapshots": Answer(json.dumps(listed)),
        "/restorePointCollections/": Answer(json.dumps(collection)),
    }
    settings = SnapshotSettings(recovery_point=kind)
    return await read_facts(pool, bodies()["vm"]["id"], settings, clock=lambda: NOW)


def typed[T](work: Callable[[Answering], Awaitable[T]]) -> T | None:
    """Do something over a table of answers; None when it ends in one of the errors that its callers know."""

    async def done() -> T | None:
        try:
            return await work(azure())
        except (ComputeError, InvalidResourceId) as error:
            json.dumps(str(error))
            return None

    return asyncio.run(done())


def assert_storable(*records: Any) -> None:
    for record in records:
        stored = json.loads(json.dumps(encode(record)))
        assert decode(type(record), stored) is not None


def window() -> Window:
    """Give a window whose deadline comes after a few looks."""
    ticks = iter(range(NOW, NOW + 10**9, 20))

    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    return Window(held=True, not_before=NOW, deadline=NOW + 60, clock=lambda: next(ticks), pause=pause)


def test_what_is_genuine_is_read() -> None:
    assert [disk.name for disk in disks()] == ["db1-os", "db1-data"]


@fuzz(100)
@given(
    st.deferred(lambda: mutated([bodies()["vm"]])),
    st.deferred(lambda: mutated([bodies()["disk"]], most=1)),
    st.deferred(lambda: mutated([{"value": [bodies()["snapshot"]]}], most=1)),
    st.sampled_from(RecoveryPointKind),
)
def test_a_vm_of_any_description_has_facts_or_is_refused(
    vm: Any, disk: Any, listed: Any, kind: RecoveryPointKind
) -> None:
    found = typed(lambda pool: facts_of(pool, vm, disk, listed, kind))
    if found is not None:
        assert_storable(found)


@fuzz(80)
@given(st.deferred(lambda: mutated([bodies()["snapshot"]])), st.deferred(lambda: mutated_text(texts())))
def test_a_snapshot_of_any_description_is_captured_or_not_and_never_raises(seen: Any, put: str) -> None:
    async def work(pool: Answering) -> None:
        pool.transport.answers = {"/snapshots/": Answer(json.dumps(seen))}
        targets = [CaptureTarget(disk, snapshot_id(disk, None, SAGA, 1)) for disk in disks()]
        done = await capture(pool, targets, window(), tags={}, on_failed=lambda _: None)
        assert len(done) == len(targets)
        assert_storable(*done)
        pool.transport.answers = {"/snapshots/": Answer(put)}
        assert_storable(*await capture(pool, targets, window(), tags={}, on_failed=lambda _: None))

    asyncio.run(work(azure()))


@fuzz(80)
@given(st.deferred(lambda: mutated([bodies()["point"]])))
def test_a_restore_point_of_any_description_is_captured_or_not_and_never_raises(seen: Any) -> None:
    async def work(pool: Answering) -> None:
        pool.transport.answers = {"/restorePoints/": Answer(json.dumps(seen))}
        vm = bodies()["vm"]["id"]
        point_id = restore_point_id(vm, None, SAGA, 1)
        target = RestorePointTarget(
            point_id=point_id, vm_id=vm, location="westeurope", disks=disks(), consistency="", tags={}
        )
        done, report = await take_restore_point(pool, target, window(), on_failed=lambda _: None)
        assert_storable(*done, report)

    asyncio.run(work(azure()))


@fuzz(80)
@given(
    st.deferred(lambda: mutated([bodies()["snapshot"]])), st.deferred(lambda: mutated([bodies()["point"]]))
)
def test_copies_of_any_description_are_looked_at_and_deleted_or_refused(snapshot: Any, point: Any) -> None:
    of_point = restore_point_id(bodies()["vm"]["id"], None, SAGA, 1)
    of_snapshot = snapshot_id(disks()[0], None, SAGA, 1)

    async def looked(pool: Answering) -> None:
        pool.transport.answers = {"/snapshots/": Answer(json.dumps(snapshot))}
        assert_storable(*(await look_at_copies(pool, [of_snapshot]))[0])

    async def looked_at_point(pool: Answering) -> None:
        pool.transport.answers = {"/restorePoints/": Answer(json.dumps(point))}
        copy = await look_at_copy(pool, of_point)
        assert_storable(*([] if copy is None else [copy]))

    async def deleted(pool: Answering) -> None:
        pool.transport.answers = {"/snapshots/": Answer(json.dumps(snapshot), 409)}
        await delete(pool, of_snapshot, SAGA)

    for work in (looked, looked_at_point, deleted):
        typed(work)


@fuzz(150)
@given(
    st.deferred(lambda: mutated_text([json.dumps(error) for error in ERRORS])),
    st.sampled_from([200, 201, 202, 204, 301, 400, 401, 403, 404, 408, 409, 412, 429, 500, 503, 504]),
    st.sampled_from([{}, {"Retry-After": "7"}, {"Retry-After": "-1"}, {"Retry-After": "soon"}]),
)
def test_an_error_of_any_description_is_one_of_the_typed_ones(
    text: str, status: int, headers: dict[str, str]
) -> None:
    async def work(pool: Answering) -> VmFacts:
        pool.transport.answers = {"/": Answer(text, status, headers)}
        settings = SnapshotSettings()
        return await read_facts(pool, bodies()["vm"]["id"], settings, clock=lambda: NOW)

    typed(work)
