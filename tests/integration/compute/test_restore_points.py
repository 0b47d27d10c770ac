"""Restore points through the app's own compute layer and the unmodified client."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from local.arm.faults import Drop, Fault
from local.arm.settings import SimSettings
from local.arm.specs import DiskSpec, VmSpec
from shared.compute import RestorePointTarget
from shared.compute.errors import NotFound, NotOurs, Unavailable
from shared.compute.names import InvalidResourceId
from shared.compute.restore_point import LEFT_OUT
from shared.policy.snapshots import RecoveryPointKind, SnapshotSettings
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import VmFacts
from shared.saga.names import collection_name, restore_point_id
from tests.integration.compute.conftest import SAGA, SNAPSHOTS, Azure, now_ms, serving

PLAIN = VmSpec(name="db1", disks=(DiskSpec(name="db1-os"), DiskSpec(name="db1-data", lun=0)))
WINDOWS = replace(PLAIN, os_type="Windows")
SETTINGS = SnapshotSettings(recovery_point=RecoveryPointKind.RESTORE_POINT, resource_group=SNAPSHOTS)
CRASH = "CrashConsistent"


def point_id(azure: Azure, generation: int = 1) -> str:
    return restore_point_id(azure.vm_id, SNAPSHOTS, SAGA, generation)


async def facts_of(azure: Azure) -> VmFacts:
    return await azure.compute.read_facts(azure.vm_id, SETTINGS)


async def take(
    azure: Azure,
    *,
    consistency: str = "",
    generation: int = 1,
    within_ms: int = 20_000,
    not_before: int | None = None,
    held: bool = True,
    facts: VmFacts | None = None,
    tags: Mapping[str, str] | None = None,
) -> tuple[tuple[DiskCapture, ...], RestorePointReport]:
    known = facts or await facts_of(azure)
    now = now_ms()
    target = RestorePointTarget(
        point_id=point_id(azure, generation),
        vm_id=azure.vm_id,
        location=known.location,
        consistency=consistency,
        disks=known.disks,
        tags=tags or {"cost-center": "7"},
    )
    return await azure.compute.take_restore_point(
        target,
        not_before=now if not_before is None else not_before,
        deadline=now + within_ms,
        held=held,
        on_failed=azure.failed.append,
    )


async def test_the_first_restore_point_of_a_vm_makes_its_collection_and_the_next_ones_do_not() -> None:
    async with serving(WINDOWS) as azure:
        await take(azure)
        first = azure.requests("PUT", "restorePointCollections")
        await take(azure, generation=2)

        assert [put.status for put in first] == [404, 201, 201]
        assert first[1].request_body == {
            "location": "westeurope",
            "tags": {"cost-center": "7"},
            "properties": {"source": {"id": azure.vm_id}},
        }
        assert first[1].path.endswith(collection_name(azure.vm_id))
        assert len(azure.requests("PUT", "restorePointCollections")) == 4


async def test_an_application_consistent_one_is_asked_for_by_leaving_it_out_and_read_back() -> None:
    async with serving(WINDOWS) as azure:
        captures, report = await take(azure)

        assert azure.requests("PUT", "/restorePoints/")[-1].request_body == {"properties": {}}
        assert report == RestorePointReport(
            point_id=point_id(azure), asked="", reached="ApplicationConsistent"
        )
        assert [capture.lun for capture in captures] == [None, 0]
        assert all(capture.captured for capture in captures)
        assert len({capture.time_created for capture in captures}) == 1
        assert len({capture.snapshot_id for capture in captures}) == 2


@pytest.mark.parametrize("fallback", ["FileSystemConsistent", CRASH])
async def test_a_silent_fallback_of_the_platform_is_seen(fallback: str) -> None:
    async with serving(replace(WINDOWS, restore_point_consistency=fallback)) as azure:
        captures, report = await take(azure)

        assert report.reached == fallback
        assert all(capture.captured for capture in captures)


async def test_a_crash_consistent_one_is_asked_for_by_name() -> None:
    async with serving(PLAIN) as azure:
        _, report = await take(azure, consistency=CRASH)

        body = azure.requests("PUT", "/restorePoints/")[-1].request_body
        assert body == {"properties": {"consistencyMode": CRASH}}
        assert (report.asked, report.reached) == (CRASH, CRASH)


async def test_a_put_whose_answer_is_lost_makes_one_restore_point_all_the_same() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        azure.fault(Fault(method="PUT", path_contains="-g2", drop=Drop.AFTER))
        captures, _ = await take(azure, generation=2)

        assert all(capture.captured for capture in captures)
        # The transport itself sends a PUT again on a connection that had been kept; the answer is a conflict.
        assert {put.status for put in azure.requests("PUT", "-g2")} <= {None, 409}
        assert len(azure.disks.captured) == 4


async def test_the_same_restore_point_asked_for_again_is_the_same_one() -> None:
    async with serving(PLAIN) as azure:
        before = now_ms()
        first, _ = await take(azure)
        again, _ = await take(azure, not_before=before)

        assert [capture.snapshot_id for capture in again] == [capture.snapshot_id for capture in first]
        assert len(azure.disks.captured) == 2


async def test_an_older_one_of_the_same_name_is_not_taken_for_a_new_one() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        captures, report = await take(azure, not_before=now_ms() + 60_000)

        assert {capture.error for capture in captures} == {"stale"}
        assert report.reached == ""


async def test_one_that_azure_fails_is_an_error_of_every_disk_and_its_reason_can_be_asked_for() -> None:
    async with serving(replace(WINDOWS, agent_ready=False)) as azure:
        captures, _ = await take(azure)

        assert {capture.error for capture in captures} == {"operation_failed"}
        [operation] = azure.failed
        reason = await azure.compute.explain(operation)
        assert reason is not None
        assert reason.code == "VMAgentStatusCommunicationError"


async def test_one_that_does_not_end_in_time_is_given_up_at_the_deadline() -> None:
    async with serving(PLAIN, settings=SimSettings(restore_point_latency_s=5)) as azure:
        started = now_ms()
        captures, _ = await take(azure, within_ms=300)

        assert {capture.error for capture in captures} == {"deadline"}
        assert now_ms() - started < 4_000


async def test_a_throttled_request_is_not_slept_through_while_a_guest_is_held() -> None:
    async with serving(PLAIN) as azure:
        error = {"code": "TooManyRequests", "message": "slow down"}
        azure.fault(
            Fault(method="PUT", status=429, body={"error": error}, headers={"Retry-After": "7"}), times=9
        )
        captures, _ = await take(azure)

        assert {capture.error for capture in captures} == {"throttled"}


async def test_a_disk_that_is_not_in_it_is_an_error_of_that_disk() -> None:
    async with serving(PLAIN) as azure:
        facts = await facts_of(azure)
        stranger = replace(facts.disks[1], disk_id=f"{facts.disks[1].disk_id}-2", name="db1-late")
        captures, _ = await take(azure, facts=replace(facts, disks=(facts.disks[0], stranger)))

        assert [capture.error for capture in captures] == ["", LEFT_OUT]


async def test_the_copy_is_watched_to_its_end() -> None:
    async with serving(PLAIN, settings=SimSettings(background_copy_s=600)) as azure:
        await take(azure)
        early, lost = await azure.compute.look_at_copies([point_id(azure)])

        assert lost == ()
        assert early[0].snapshot_id == point_id(azure)
        assert early[0].completion_percent < 100

        assert await azure.compute.look_at_copies([point_id(azure, 7)]) == ((), (point_id(azure, 7),))


async def test_the_tags_of_the_newest_point_go_on_its_collection_beside_those_of_others() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        await azure.compute.tag(point_id(azure), {"stillframe-grade": "application"})
        await azure.compute.tag(point_id(azure), {"stillframe-grade": "application"})

        [patch] = azure.requests("PATCH", "restorePointCollections")
        assert patch.request_body == {"tags": {"cost-center": "7", "stillframe-grade": "application"}}


async def test_tagging_one_whose_collection_is_gone_says_so() -> None:
    async with serving(PLAIN) as azure:
        with pytest.raises(NotFound):
            await azure.compute.tag(point_id(azure), {"stillframe-grade": "application"})


async def test_one_of_the_saga_is_deleted_and_deleting_it_again_is_fine() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        await azure.compute.delete(point_id(azure), SAGA)
        await azure.compute.delete(point_id(azure), SAGA)

        assert len(azure.requests("DELETE", "/restorePoints/")) == 1
        assert len(azure.disks.discarded) == 2


async def test_one_of_another_saga_is_never_deleted() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        for stranger in ("ffffffffffffffffffff", SAGA[:-1], ""):
            with pytest.raises(NotOurs):
                await azure.compute.delete(point_id(azure), stranger)

        assert azure.requests("DELETE") == []


async def test_a_service_that_is_down_is_not_a_lost_restore_point() -> None:
    async with serving(PLAIN) as azure:
        await take(azure)
        azure.fault(Fault(method="GET", status=503, body={"error": {"code": "x", "message": "y"}}), times=9)
        with pytest.raises(Unavailable):
            await azure.compute.look_at_copies([point_id(azure)])


@pytest.mark.parametrize("bad", ["", "/subscriptions/s", "/a/restorePoints/b", "/a/restorePoints/"])
async def test_a_malformed_id_is_refused_before_anything_is_sent(bad: str) -> None:
    async with serving(PLAIN) as azure:
        with pytest.raises(InvalidResourceId):
            await azure.compute.delete(bad, SAGA)
        assert azure.requests("DELETE") == []


# --- preflight ----------------------------------------------------------------------------------------


async def test_what_would_make_a_restore_point_fail_is_said_by_its_kind() -> None:
    copying = replace(PLAIN, disks=(PLAIN.disks[0], DiskSpec(name="db1-fast", lun=0, sku="UltraSSD_LRS")))
    async with serving(copying) as azure:
        facts = await facts_of(azure)

        assert facts.obstacles == facts.platform_obstacles == ()
        assert facts.crash_obstacles == (
            "disk db1-fast (UltraSSD_LRS) cannot be in a crash-consistent restore point",
        )


async def test_a_fourth_restore_point_of_a_kind_within_an_hour_is_not_begun() -> None:
    async with serving(PLAIN) as azure:
        for generation in (1, 2, 3):
            assert (await facts_of(azure)).crash_obstacles == ()
            await take(azure, consistency=CRASH, generation=generation)
        facts = await facts_of(azure)

        assert facts.crash_obstacles == (
            "the VM got 3 restore points of this kind within an hour, and 3 are allowed",
        )
        assert facts.platform_obstacles == ()


async def test_snapshots_and_their_limits_are_not_looked_at() -> None:
    async with serving(PLAIN) as azure:
        await facts_of(azure)

        assert azure.requests("GET", "/snapshots") == []
