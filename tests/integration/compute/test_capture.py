import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from local.arm.faults import Drop, Fault
from local.arm.settings import SimSettings
from shared.compute import CaptureTarget, ClientPool, Compute
from shared.compute.credentials import LoopbackCredential
from shared.compute.errors import LimitReached
from shared.compute.making import CLOCK_TOLERANCE_MS
from shared.saga.facts import DiskFacts
from tests.integration.compute.conftest import TAGS, Azure, lost_answer, now_ms, serving, throttled

GROUP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"


async def test_all_disks_are_captured_and_their_order_is_kept(azure: Azure) -> None:
    before, targets = now_ms(), await azure.targets()

    captures = await azure.capture(targets)

    assert [capture.lun for capture in captures] == [None, 0, 1]
    assert [capture.snapshot_id for capture in captures] == [target.snapshot_id for target in targets]
    for capture in captures:
        assert capture.captured, capture
        assert capture.time_created is not None
        assert capture.succeeded_seen_at is not None
        assert before <= capture.put_sent_at <= capture.time_created <= capture.succeeded_seen_at <= now_ms()
    assert len(azure.disks.captured) == 3


async def test_snapshots_are_incremental_closed_to_the_network_and_tagged(azure: Azure) -> None:
    targets = await azure.targets()

    await azure.capture(targets)

    for target in targets:
        [put] = azure.requests("PUT", target.snapshot_id)
        assert put.request_body == {
            "location": "westeurope",
            "tags": TAGS,
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": target.disk.disk_id},
                "incremental": True,
                "networkAccessPolicy": "DenyAll",
                "publicNetworkAccess": "Disabled",
            },
        }


async def test_the_url_of_the_operation_is_never_polled_in_the_window(azure: Azure) -> None:
    await azure.capture(await azure.targets())

    assert azure.requests("GET", "DiskOperations") == []


async def test_a_put_whose_answer_is_lost_is_found_by_looking_and_not_repeated(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(lost_answer(path_contains="-os"))

    captures = await azure.capture(targets)

    assert all(capture.captured for capture in captures)
    assert len(azure.disks.captured) == 3


async def test_a_put_that_never_arrived_is_sent_again(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(lost_answer(path_contains="-os", drop=Drop.BEFORE), times=2)

    captures = await azure.capture(targets)

    assert all(capture.captured for capture in captures)
    assert len(azure.requests("PUT", "-os")) >= 2


async def test_a_service_that_fails_inside_without_asking_for_a_pause_is_tried_again(azure: Azure) -> None:
    targets = await azure.targets()
    error = {"error": {"code": "InternalServerError", "message": "sorry"}}
    azure.fault(Fault(method="PUT", path_contains="-os", status=500, body=error))
    azure.fault(Fault(method="GET", path_contains="/snapshots/", status=502), times=2)

    assert all(capture.captured for capture in await azure.capture(targets))


async def test_a_capture_that_is_delivered_twice_takes_no_second_snapshot(azure: Azure) -> None:
    targets, asked_at = await azure.targets(), now_ms()

    first = await azure.capture(targets, not_before=asked_at)
    second = await azure.capture(targets, not_before=asked_at)

    assert all(capture.captured for capture in second)
    assert [c.time_created for c in second] == [c.time_created for c in first]
    assert len(azure.disks.captured) == 3


async def test_an_older_snapshot_of_the_name_is_stale_and_not_a_capture(azure: Azure) -> None:
    targets = await azure.targets()
    await azure.capture(targets)

    later = now_ms() + CLOCK_TOLERANCE_MS + 1_000
    captures = await azure.capture(targets, not_before=later)

    assert {capture.error for capture in captures} <= {"stale", "abandoned"}
    assert "stale" in {capture.error for capture in captures}
    assert not any(capture.captured for capture in captures)


async def test_a_failed_operation_is_seen_at_once_and_explained_afterwards(azure: Azure) -> None:
    targets = await azure.targets()
    failure = ("SnapshotsLimitReached", "too many")
    azure.fault(Fault(method="PUT", path_contains="-g1-0", operation_fails=failure))

    captures = await azure.capture(targets)

    assert captures[1].error == "operation_failed"
    assert azure.requests("GET", "DiskOperations") == []
    [operation] = azure.failed
    assert operation.resource_id == targets[1].snapshot_id
    reason = await azure.compute.explain(operation)
    assert isinstance(reason, LimitReached)
    assert reason.code == "SnapshotsLimitReached"


async def test_a_throttled_request_ends_the_generation_and_is_not_slept_through(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(throttled(retry_after_s=3600))

    async with asyncio.timeout(60):
        captures = await azure.capture(targets, within_ms=600_000)

    assert [capture.error for capture in captures].count("throttled") == 1
    assert all(capture.error in {"throttled", "abandoned"} or capture.captured for capture in captures)
    assert len(azure.requests("PUT")) <= 3


async def test_where_no_guest_is_held_a_throttled_request_is_sent_again_later(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(throttled(retry_after_s=1), times=4)

    captures = await azure.capture(targets, held=False)

    assert all(capture.captured for capture in captures)
    assert len(azure.requests("PUT")) == 7


async def test_a_throttled_look_ends_the_generation_too(azure: Azure) -> None:
    targets = await azure.targets()
    fault = throttled(retry_after_s=3600)
    azure.fault(
        Fault(method="GET", path_contains="-g1-1", status=429, body=fault.body, headers=fault.headers)
    )

    captures = await azure.capture(targets)

    assert captures[2].error == "throttled"


async def test_an_unavailable_service_that_asks_for_a_pause_ends_the_generation(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(
        Fault(
            method="PUT", path_contains="-os", status=503, headers={"Retry-After": "30"}, body={"error": {}}
        )
    )

    captures = await azure.capture(targets)

    assert captures[0].error == "unavailable"


async def test_the_first_failure_gives_up_the_disks_that_are_still_waited_for() -> None:
    slow = SimSettings(capture_gap_s=3600.0)
    async with serving(settings=slow) as azure:
        targets = await azure.targets()
        denied = {"error": {"code": "LinkedAuthorizationFailed", "message": "no"}}
        azure.fault(Fault(method="PUT", path_contains="-g1-1", status=403, body=denied, delay_ms=500))

        async with asyncio.timeout(60):
            captures = await azure.capture(targets, within_ms=600_000)

        assert captures[2].error == "denied"
        assert captures[2].detail.startswith("LinkedAuthorizationFailed")
        assert "abandoned" in {capture.error for capture in captures[:2]}
        assert all(capture.put_sent_at > 0 for capture in captures)


async def test_at_the_deadline_what_is_not_seen_to_have_succeeded_is_given_up() -> None:
    async with serving(settings=SimSettings(capture_gap_s=3600.0)) as azure:
        targets = await azure.targets()

        captures = await azure.capture(targets, within_ms=1_500)

        assert sorted(capture.error for capture in captures) == ["", "deadline", "deadline"]
        assert len(azure.requests("PUT")) == 3


async def test_a_put_that_hangs_is_left_at_the_deadline(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(Fault(method="PUT", path_contains="-os", delay_ms=60_000))

    async with asyncio.timeout(30):
        captures = await azure.capture(targets, within_ms=1_000)

    assert captures[0].error == "deadline"


async def test_a_put_that_hangs_is_given_up_after_seconds_and_sent_again(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(Fault(method="PUT", path_contains="-os", delay_ms=60_000))

    captures = await azure.capture(targets, within_ms=50_000)

    assert all(capture.captured for capture in captures)


async def test_a_cancelled_capture_leaves_nothing_running() -> None:
    async with serving(settings=SimSettings(capture_gap_s=3600.0)) as azure:
        targets, before = await azure.targets(), asyncio.all_tasks()
        capture = asyncio.create_task(azure.capture(targets, within_ms=600_000))
        async with asyncio.timeout(30):
            while len(azure.requests("GET", "/snapshots/")) < 3:  # noqa: ASYNC110 - the simulator sends no event
                await asyncio.sleep(0.01)

        capture.cancel()
        with pytest.raises(asyncio.CancelledError):
            await capture

        takes = [task for task in asyncio.all_tasks() - before if "take" in repr(task.get_coro())]
        assert takes == []


@pytest.mark.parametrize(
    "seen",
    [
        {"provisioningState": "Updating", "timeCreated": "2100-01-01T00:00:00.0000000+00:00"},
        {"provisioningState": "Succeeded"},
        {},
    ],
)
async def test_only_a_snapshot_that_succeeded_and_has_a_time_is_a_capture(
    azure: Azure, seen: dict[str, str]
) -> None:
    targets = await azure.targets()
    body = {"location": "l", "properties": {"creationData": {"createOption": "Copy"}, **seen}}
    azure.fault(Fault(method="GET", path_contains="-os", status=200, body=body), times=1000)

    captures = await azure.capture(targets, within_ms=1_500)

    assert captures[0].error == "deadline"


async def test_an_operation_that_did_not_fail_has_no_reason(azure: Azure) -> None:
    targets = await azure.targets()
    properties = {"provisioningState": "Failed", "creationData": {"createOption": "Copy"}}
    failed = {"id": "x", "name": "x", "location": "l", "properties": properties}
    azure.fault(Fault(method="GET", path_contains="-os", status=200, body=failed))

    captures = await azure.capture(targets)

    assert captures[0].error == "operation_failed"
    assert await azure.compute.explain(azure.failed[0]) is None


async def test_after_the_deadline_nothing_is_sent_at_all(azure: Azure) -> None:
    targets = await azure.targets()

    captures = await azure.capture(targets, within_ms=0)

    assert [(capture.error, capture.put_sent_at) for capture in captures] == [("deadline", 0)] * 3
    assert azure.requests("PUT") == []


async def test_a_missing_target_group_is_a_failure_of_the_disk_and_is_not_raised(azure: Azure) -> None:
    targets = await azure.targets()
    azure.world.resources.groups.clear()

    captures = await azure.capture(targets)

    assert "not_found" in {capture.error for capture in captures}


async def test_a_conflict_with_nothing_there_is_a_failure(azure: Azure) -> None:
    targets = await azure.targets()
    busy = {"error": {"code": "AnotherOperationInProgress", "message": "busy"}}
    azure.fault(Fault(method="PUT", path_contains="-os", status=409, body=busy))

    captures = await azure.capture(targets)

    assert captures[0].error == "conflict"


async def test_a_conflict_with_an_earlier_put_of_the_name_is_none(azure: Azure) -> None:
    targets, asked_at = await azure.targets(), now_ms()
    await azure.capture(targets, not_before=asked_at)
    busy = {"error": {"code": "AnotherOperationInProgress", "message": "busy"}}
    azure.fault(Fault(method="PUT", path_contains="-os", status=409, body=busy))

    captures = await azure.capture(targets, not_before=asked_at)

    assert captures[0].captured


@pytest.mark.parametrize("count", [3, 150])
async def test_all_puts_are_under_way_before_any_is_answered(count: int) -> None:
    all_here = asyncio.Barrier(count)

    async def refuse_when_all_are_here(_: web.Request) -> web.Response:
        await all_here.wait()
        return web.json_response({"error": {"code": "InvalidParameter", "message": "no"}}, status=400)

    app = web.Application()
    app.router.add_put("/{anything:.*}", refuse_when_all_are_here)
    disk = DiskFacts(disk_id=f"{GROUP}/disks/d", name="d", lun=0, location="l", sku="Premium_LRS", size_gib=1)
    targets = [CaptureTarget(disk, f"{GROUP}/snapshots/s{number}") for number in range(count)]
    async with TestServer(app) as server:
        pool = ClientPool(LoopbackCredential, endpoint=str(server.make_url("")).rstrip("/"))
        compute = Compute(pool, now_ms)
        captures = await compute.capture(
            targets, tags={}, not_before=0, deadline=now_ms() + 60_000, held=True
        )
        await compute.close()

    refusals = {capture.detail.partition(":")[0] for capture in captures if capture.error == "refused"}
    assert refusals == {"InvalidParameter"}
    assert {capture.error for capture in captures} <= {"refused", "abandoned"}
