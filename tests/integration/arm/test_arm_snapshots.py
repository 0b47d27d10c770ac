"""Snapshots through the unmodified client."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.compute.models import SnapshotUpdate

from local.arm.contract import violations
from local.arm.settings import SimSettings
from tests.integration.arm.sim import (
    SNAPSHOT_GROUP,
    SUBSCRIPTION,
    VM_GROUP,
    Sim,
    code_of,
    simulated,
    snapshot_of,
    until,
)


async def _created(sim: Sim, name: str, disk: str, **tags: str) -> Any:
    poller = await sim.client.snapshots.begin_create_or_update(
        SNAPSHOT_GROUP, name, snapshot_of(disk, **tags)
    )
    return await poller.result()


async def test_a_snapshot_is_accepted_at_once_and_found_succeeded_by_our_own_polling(sim: Sim) -> None:
    before = datetime.now(UTC)

    await sim.client.snapshots.begin_create_or_update(
        SNAPSHOT_GROUP, "s1", snapshot_of("db1-journal", run="r1")
    )

    async def look() -> Any:
        return await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")

    snapshot = await until(look, lambda seen: seen.provisioning_state == "Succeeded")
    assert before <= snapshot.time_created <= datetime.now(UTC)
    assert (snapshot.disk_state, snapshot.incremental, snapshot.completion_percent) == (
        "Unattached",
        True,
        100,
    )
    assert (snapshot.tags, snapshot.sku.name) == ({"run": "r1"}, "Standard_ZRS")
    assert [item.snapshot_name for item in sim.disks.captured] == ["s1"]


async def test_the_clients_own_poller_reaches_the_same_end(sim: Sim) -> None:
    snapshot = await _created(sim, "s1", "db1-os")

    assert (snapshot.provisioning_state, snapshot.os_type, snapshot.name) == ("Succeeded", "Linux", "s1")


async def test_the_answer_to_a_put_has_two_signed_urls_of_the_services_length(sim: Sim) -> None:
    await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-journal"))

    (put,) = sim.world.journal.select(method="PUT")
    headers = put.response_headers
    assert put.status == 202
    assert "timeCreated" not in put.response_body["properties"]
    assert put.response_body["properties"]["provisioningState"] == "Updating"
    assert 2_800 < len(headers["azure-asyncoperation"]) < 4_000
    assert "monitor=true" in headers["location"]
    assert "HighCostSnapshotCreateHydrate3Min;999" in headers["x-ms-ratelimit-remaining-resource"]
    assert headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert "retry-after" not in headers


async def test_a_second_put_on_a_name_succeeds_and_takes_no_new_snapshot(sim: Sim) -> None:
    first = await _created(sim, "s1", "db1-journal", run="r1")

    second = await _created(sim, "S1", "db1-journal", run="r2")

    assert second.time_created == first.time_created
    assert second.unique_id == first.unique_id
    assert second.tags == {"run": "r2"}
    assert len(sim.disks.captured) == 1


async def test_a_second_put_while_the_first_goes_on_succeeds_with_the_first_ones_capture() -> None:
    async with simulated(settings=SimSettings(capture_delay_s=0.2)) as sim:
        first = await sim.client.snapshots.begin_create_or_update(
            SNAPSHOT_GROUP, "s1", snapshot_of("db1-journal")
        )
        second = await sim.client.snapshots.begin_create_or_update(
            SNAPSHOT_GROUP, "s1", snapshot_of("db1-journal")
        )

        results = [await first.result(), await second.result()]

        assert {item.provisioning_state for item in results} == {"Succeeded"}
        assert len(sim.disks.captured) == 1
        assert violations(sim.world.journal.select()) == []


async def test_a_put_on_a_name_with_another_disk_is_refused(sim: Sim) -> None:
    await _created(sim, "s1", "db1-journal")

    with pytest.raises(ResourceExistsError) as caught:
        await _created(sim, "s1", "db1-os")

    assert code_of(caught.value) == "PropertyChangeNotAllowed"


async def test_disks_of_one_vm_are_captured_one_after_the_other_with_the_gap_between() -> None:
    async with simulated(settings=SimSettings(capture_gap_s=0.1)) as sim:
        names = ["db1-os", "db1-journal", "db1-accounts"]
        await asyncio.gather(*(_created(sim, f"s-{name}", name) for name in names))

        captures = await sim.admin("captures?vm=db1")
        gaps = [
            later["startedMonotonic"] - earlier["endedMonotonic"] for earlier, later in pairwise(captures)
        ]
        assert [item["sequence"] for item in captures] == [1, 2, 3]
        assert len(gaps) == 2
        assert min(gaps) >= 0.1


async def test_an_operation_that_fails_says_so_in_its_url_and_leaves_a_failed_snapshot(sim: Sim) -> None:
    await sim.fault(
        match={"method": "PUT", "path_contains": "/snapshots/s1"},
        operation_fails={"code": "SnapshotsLimitReached", "message": "seeded"},
    )

    with pytest.raises(HttpResponseError) as caught:
        await _created(sim, "s1", "db1-journal")

    assert (caught.value.status_code, code_of(caught.value)) == (200, "SnapshotsLimitReached")
    left = await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")
    assert (left.provisioning_state, left.time_created) == ("Failed", None)
    assert sim.disks.captured == []


async def test_a_backend_that_breaks_is_a_failed_operation(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(_disk: str, _snapshot: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sim.disks, "capture", break_down)

    with pytest.raises(HttpResponseError) as caught:
        await _created(sim, "s1", "db1-journal")

    assert code_of(caught.value) == "InternalExecutionError"
    assert (await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")).provisioning_state == "Failed"


async def test_tags_can_be_patched_and_replace_all_former_ones(sim: Sim) -> None:
    created = await _created(sim, "s1", "db1-journal", run="r1", saga="x")

    poller = await sim.client.snapshots.begin_update(
        SNAPSHOT_GROUP, "s1", SnapshotUpdate(tags={"run": "r1", "grade": "application"})
    )
    updated = await poller.result()

    assert updated.tags == {"run": "r1", "grade": "application"}
    assert updated.time_created == created.time_created


async def test_tags_patched_while_the_snapshot_is_taken_are_kept() -> None:
    async with simulated(settings=SimSettings(capture_delay_s=0.2)) as sim:
        poller = await sim.client.snapshots.begin_create_or_update(
            SNAPSHOT_GROUP, "s1", snapshot_of("db1-os")
        )
        await sim.client.snapshots.begin_update(SNAPSHOT_GROUP, "s1", SnapshotUpdate(tags={"late": "yes"}))

        assert (await poller.result()).tags == {"late": "yes"}


async def test_deleting_answers_202_and_drops_the_copy_and_deleting_what_is_absent_answers_204(
    sim: Sim,
) -> None:
    await _created(sim, "s1", "db1-journal")

    await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()
    await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()

    assert [item.status for item in sim.world.journal.select(method="DELETE")] == [202, 204]
    assert sim.disks.discarded == ["s1"]
    with pytest.raises(ResourceNotFoundError):
        await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")


async def test_a_snapshot_deleted_while_it_is_taken_is_gone_with_its_copy() -> None:
    async with simulated(settings=SimSettings(capture_delay_s=0.2)) as sim:
        await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", snapshot_of("db1-os"))

        await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()

        assert [item.snapshot_name for item in sim.disks.captured] == ["s1"]
        assert sim.disks.discarded == ["s1"]
        assert sim.world.resources.snapshots == {}


async def test_lists_span_pages_and_keep_to_their_group() -> None:
    async with simulated(settings=SimSettings(page_size=2, capture_gap_s=0)) as sim:
        for name in ("s1", "s2", "s3"):
            await _created(sim, name, "db1-os")
        poller = await sim.client.snapshots.begin_create_or_update(VM_GROUP, "other", snapshot_of("db1-os"))
        await poller.result()

        listed = [item.name async for item in sim.client.snapshots.list_by_resource_group(SNAPSHOT_GROUP)]
        everything = [item.name async for item in sim.client.snapshots.list()]

        assert listed == ["s1", "s2", "s3"]
        assert everything == ["s1", "s2", "s3", "other"]
        assert violations(sim.world.journal.select()) == []


async def test_a_snapshot_of_premium_ssd_v2_succeeds_long_before_its_copy_is_complete() -> None:
    async with simulated(settings=SimSettings(background_copy_s=600)) as sim:
        early = await _created(sim, "s1", "db1-accounts")
        sim.clock.shift_s = 300
        middle = await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")
        sim.clock.shift_s = 700
        late = await sim.client.snapshots.get(SNAPSHOT_GROUP, "s1")

        assert early.provisioning_state == "Succeeded"
        assert early.completion_percent < 5
        assert 50 <= middle.completion_percent < 60
        assert late.completion_percent == 100
        states = [item.snapshot_access_state for item in (early, middle, late)]
        assert states == ["Pending", "Pending", "Available"]


async def test_a_fourth_copy_in_progress_of_one_premium_ssd_v2_disk_is_refused() -> None:
    async with simulated(settings=SimSettings(background_copy_s=600, capture_gap_s=0)) as sim:
        for name in ("s1", "s2", "s3"):
            await _created(sim, name, "db1-accounts")

        with pytest.raises(ResourceExistsError) as caught:
            await _created(sim, "s4", "db1-accounts")
        assert code_of(caught.value) == "OperationNotAllowed"

        sim.clock.shift_s = 700
        await _created(sim, "s4", "db1-accounts")


async def test_the_eighth_incremental_snapshot_of_a_disk_within_five_minutes_fails_later(sim: Sim) -> None:
    for number in range(7):
        await _created(sim, f"s{number}", "db1-journal")

    with pytest.raises(HttpResponseError) as caught:
        await _created(sim, "s7", "db1-journal")

    assert code_of(caught.value) == "SnapshotsLimitReached"
    await _created(sim, "other-disk", "db1-os")
    full = snapshot_of("db1-journal")
    full["properties"]["incremental"] = False
    await (await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "full", full)).result()
    sim.clock.shift_s = 301
    await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s7")).result()
    assert (await _created(sim, "s7", "db1-journal")).provisioning_state == "Succeeded"


async def test_a_disk_holds_only_so_many_incremental_snapshots_at_once() -> None:
    async with simulated(settings=SimSettings(snapshots_per_disk=2, capture_gap_s=0)) as sim:
        await _created(sim, "s1", "db1-os")
        await _created(sim, "s2", "db1-os")
        with pytest.raises(HttpResponseError) as caught:
            await _created(sim, "s3", "db1-os")
        assert code_of(caught.value) == "SnapshotsLimitReached"

        await (await sim.client.snapshots.begin_delete(SNAPSHOT_GROUP, "s1")).result()
        await _created(sim, "s4", "db1-os")


async def test_a_snapshot_of_a_disk_that_is_not_there_is_not_found(sim: Sim) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await _created(sim, "s1", "nowhere")

    assert code_of(caught.value) == "ResourceNotFound"


async def test_a_name_that_another_group_has_is_refused_as_backends_know_names_alone(sim: Sim) -> None:
    await _created(sim, "s1", "db1-os")

    with pytest.raises(ResourceExistsError) as caught:
        await sim.client.snapshots.begin_create_or_update(VM_GROUP, "s1", snapshot_of("db1-os"))

    assert code_of(caught.value) == "Conflict"


async def test_instant_access_is_only_for_disks_that_can_do_it(sim: Sim) -> None:
    body = snapshot_of("db1-journal")
    body["properties"]["creationData"]["instantAccessDurationMinutes"] = 60
    with pytest.raises(HttpResponseError) as caught:
        await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", body)
    assert caught.value.status_code == 400

    body = snapshot_of("db1-accounts")
    body["properties"]["creationData"]["instantAccessDurationMinutes"] = 60
    poller = await sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, "s1", body)
    assert (await poller.result()).snapshot_access_state == "InstantAccess"


async def test_many_snapshots_fired_at_once_are_all_accepted_before_any_is_polled(sim: Sim) -> None:
    names = [f"s{number}" for number in range(7)]

    await asyncio.gather(
        *(
            sim.client.snapshots.begin_create_or_update(SNAPSHOT_GROUP, name, snapshot_of("db1-journal"))
            for name in names
        )
    )

    async def captured() -> int:
        return len(sim.disks.captured)

    await until(captured, lambda count: count == 7)
    assert [item.method for item in sim.world.journal.select()] == ["PUT"] * 7


async def test_a_poller_is_taken_up_again_by_its_token_without_a_second_put(sim: Sim) -> None:
    poller = await sim.client.snapshots.begin_create_or_update(
        SNAPSHOT_GROUP, "s1", snapshot_of("db1-journal")
    )
    token = poller.continuation_token()

    again = await sim.client.snapshots.begin_create_or_update(
        SNAPSHOT_GROUP, "s1", {}, continuation_token=token
    )

    assert (await again.result()).provisioning_state == "Succeeded"
    assert len(list(sim.world.journal.select(method="PUT"))) == 1
    assert SUBSCRIPTION in str((await again.result()).id)
